//! Connections that are no HTTP, or no longer.

use std::{io, time::Duration};

use weir_tests::{Connection, Family, Pattern, World, until};

const MIB: usize = 1 << 20;

#[test]
fn upgrades_and_connect_become_tunnels() {
    let world = World::new();
    let upgrade = "GET /upgrade HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: echo";
    for (request, status) in [(upgrade, 101), ("CONNECT a:1 HTTP/1.1\r\nHost: a:1", 200)] {
        for family in Family::BOTH {
            let mut connection = world.connect(family);
            connection.echo("/first").unwrap();
            connection.send(format!("{request}\r\n\r\n")).unwrap();
            let head = String::from_utf8(connection.through(b"\r\n\r\n").unwrap()).unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            if status == 101 {
                assert!(head.contains("\r\nUpgrade: echo\r\n"), "{head}");
            }
            echoes(&mut connection);
        }
    }
}

#[test]
fn what_is_not_http_is_tunnelled() {
    let world = World::new();
    for family in Family::BOTH {
        for first in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"SSH-2.0-x\r\n",
            b"\x00",
            b"\xff\xfe",
        ] {
            let mut connection = world.connect(family);
            connection.send(first).unwrap();
            assert_eq!(connection.exactly(first.len()).unwrap(), first);
            echoes(&mut connection);
        }
    }
    assert_eq!(world.origin.requests(), 0);
}

/// `printf foo | nc origin 80`: a word that could begin a request, and then the end.
#[test]
fn a_word_and_the_end_reach_the_origin() {
    let world = World::new();
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        connection.send("GET").unwrap();
        connection.half_close().unwrap();
        until(
            Duration::from_secs(20),
            "a connection at the origin",
            || world.origin.connections() > 0,
        );
        let _ = connection.to_end();
    }
    assert_eq!(world.weir.outcomes("tunnel"), 2);
}

/// A tunnel to the origin's echo: both ways at once, a half-close, and nothing lost.
#[track_caller]
fn echoes(connection: &mut Connection) {
    let mut sender = connection.stream.try_clone().unwrap();
    let body = Pattern::bytes(MIB);
    let sent = std::thread::spawn({
        let body = body.clone();
        move || io::Write::write_all(&mut sender, &body)
    });
    assert!(
        connection.exactly(MIB).unwrap() == body,
        "other octets came back"
    );
    sent.join().unwrap().unwrap();
    connection.send("the end").unwrap();
    connection.half_close().unwrap();
    assert_eq!(connection.to_end().unwrap(), b"the end");
}
