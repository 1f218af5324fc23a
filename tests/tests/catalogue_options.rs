//! The transparency catalogue: what an operator may choose about HTTP.

use std::{
    net::{Shutdown, SocketAddr},
    thread,
    time::Duration,
};

use weir_tests::{Connection, End, Family, GET, OK, Stage, connect, until, until_some};

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SOON: Duration = Duration::from_secs(20);

#[test]
fn what_is_not_http_can_be_rejected() {
    let stage = Stage::with("[http]\nnot_http = \"reject\"\n");
    let cases: [&[u8]; 4] = [b"\x16\x03\x01\x02", b"SSH-2.0-x\r\n", b"\0", b"QUIT\r\n"];
    for (first, family) in cases.into_iter().zip(Family::BOTH.into_iter().cycle()) {
        let mut client = stage.client(family);
        client.send(first).unwrap();
        refused(&mut client, 400, "not-http");
    }
    stage.expect_nobody(Family::V4);
    stage.expect_nobody(Family::V6);
    assert_eq!(stage.weir.outcomes("not-http"), cases.len() as u64);
    assert_eq!(stage.weir.outcomes("tunnel"), 0);
}

#[test]
fn http2_without_asking_is_tunnelled_or_rejected() {
    let tunnels = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = tunnels.begin(family, PREFACE);
        origin.expect(PREFACE);
        origin.send("\0\0\0\x04\0\0\0\0\0").unwrap();
        client.expect("\0\0\0\x04\0\0\0\0\0");
    }
    let rejects = Stage::with("[http]\nhttp2_preface = \"reject\"\n");
    for family in Family::BOTH {
        let mut client = rejects.client(family);
        client.send(PREFACE).unwrap();
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 505 "), "{head}");
        client.to_end().unwrap();
        rejects.expect_nobody(family);
    }
}

/// RFC 9110 §7.6.3: behind a Via that is there, with the version that the message came in.
#[test]
fn via_names_us_if_it_is_wanted() {
    let stage = Stage::with("[http]\nvia = true\n");
    let cases = [
        ("GET / HTTP/1.1\r\nHost: lab\r\nVia: 1.0 before\r\n", "1.1"),
        ("GET / HTTP/1.0\r\nHost: lab\r\nVia: 1.0 before\r\n", "1.0"),
    ];
    for family in Family::BOTH {
        for (request, version) in cases {
            let (mut client, mut origin) = stage.begin(family, format!("{request}\r\n"));
            let head = origin.head();
            let ours = head
                .strip_prefix(request)
                .unwrap_or_else(|| panic!("{head}"));
            assert!(ours.starts_with(&format!("Via: {version} ")), "{head}");
            assert_eq!(ours.matches("\r\n").count(), 2, "nothing else: {head}");
            origin.send(OK).unwrap();
            let head = client.head();
            assert!(head.contains("\r\nVia: 1.1 "), "{head}");
        }
    }
}

#[test]
fn the_clients_address_is_told_if_it_is_wanted() {
    let client = |family: Family| family.client().to_string();
    for word in ["x-forwarded-for", "forwarded"] {
        let stage = Stage::with(&format!("[http]\nforwarded = \"{word}\"\n"));
        for family in Family::BOTH {
            let line = match (word, family) {
                ("x-forwarded-for", _) => format!("X-Forwarded-For: {}\r\n", client(family)),
                (_, Family::V4) => format!("Forwarded: for={}\r\n", client(family)),
                (_, Family::V6) => format!("Forwarded: for=\"[{}]\"\r\n", client(family)),
            };
            // What was there before, whoever said it, comes first.
            let before =
                "GET / HTTP/1.1\r\nHost: lab\r\nForwarded: for=x\r\nX-Forwarded-For: y\r\n";
            let (mut client, mut origin) = stage.begin(family, format!("{before}\r\n"));
            origin.expect(format!("{before}{line}\r\n"));
            origin.send(OK).unwrap();
            client.expect(OK);
        }
    }
}

/// Whatever it says, the origin that was dialled is the one that is asked.
#[test]
fn host_is_compared_with_the_address_that_was_dialled() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let own = match family {
            Family::V4 => "203.0.113.2".to_owned(),
            Family::V6 => "[fd77:2::2]".to_owned(),
        };
        for (host, label) in [
            (own.clone(), "verified"),
            (format!("{own}:80"), "verified"),
            (format!("{own}:81"), "mismatch"),
            ("203.0.113.3".to_owned(), "mismatch"),
            ("[fd77:2::3]:80".to_owned(), "mismatch"),
            ("lab.example".to_owned(), "unverified"),
        ] {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let (mut client, mut origin) = stage.begin(family, &request);
            origin.expect(&request);
            origin.send(OK).unwrap();
            client.expect(OK);
            let record = record(&stage, &client);
            assert_eq!(record["host_check"], label, "{record}");
        }
    }
}

#[test]
fn a_host_that_names_another_address_can_be_refused() {
    let stage = Stage::with("[http]\nhost_check = \"strict\"\n");
    for family in Family::BOTH {
        let mut client = stage.client(family);
        client
            .send("GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n")
            .unwrap();
        refused(&mut client, 403, "host-mismatch");
        stage.expect_nobody(family);
        let good = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", family.http());
        let (_client, mut origin) = stage.begin(family, &good);
        origin.expect(&good);
    }
    let off = Stage::with("[http]\nhost_check = \"off\"\n");
    let (mut client, mut origin) = off.begin(Family::V4, GET);
    origin.expect(GET);
    origin.send(OK).unwrap();
    client.expect(OK);
    let record = record(&off, &client);
    assert!(record["host_check"].is_null(), "{record}");
}

/// One client's connections, not everybody's.
#[test]
fn a_client_with_too_many_connections_is_told() {
    let stage = Stage::with("[limits]\nclient_connections = 4\n");
    for family in Family::BOTH {
        let mut open: Vec<_> = (0..4)
            .map(|_| {
                let (client, mut origin) = stage.begin(family, GET);
                origin.expect(GET);
                (client, origin)
            })
            .collect();
        let mut fifth = stage.client(family);
        let _ = fifth.send(GET);
        refused(&mut fifth, 503, "client-limit");
        let from = SocketAddr::new(family.second_client(), 0);
        let mut other = connect(&stage.net.client, from, family.http());
        other.send(GET).unwrap();
        let mut origin = stage.accept(&other);
        origin.expect(GET);
        // The four are served, and the next one is when one of them has gone.
        for (client, origin) in &mut open {
            origin.send(OK).unwrap();
            client.expect(OK);
        }
        open.pop();
        until(SOON, "room for another", || {
            let mut client = stage.client(family);
            let _ = client.send(GET);
            stage.origin(family).waiting().is_some()
        });
    }
}

#[test]
fn a_body_that_comes_too_slowly_is_not_waited_for() {
    let stage = Stage::with("[limits]\nmin_send_rate = \"64KiB\"\nrate_grace = \"500ms\"\n");
    let head = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 1000000\r\n\r\n";
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        let (mut slow, mut origin) = stage.begin(family, head);
        origin.expect(head);
        let mut sender = slow.stream.try_clone().unwrap();
        let trickle = thread::spawn(move || {
            while std::io::Write::write_all(&mut sender, b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        refused(&mut slow, 408, "slow-client");
        let _ = slow.stream.shutdown(Shutdown::Both);
        trickle.join().unwrap();
        assert_eq!(origin.rest().unwrap().1, End::Reset, "not a whole request");
        until(SOON, "slow-client counted", || {
            stage.weir.outcomes("slow-client") == number
        });

        let (mut quick, mut origin) = stage.begin(family, head);
        quick.send(vec![0; 1_000_000]).unwrap();
        origin.expect(head);
        origin.expect(vec![0; 1_000_000]);
        origin.send(OK).unwrap();
        quick.expect(OK);
    }
}

#[track_caller]
fn refused(client: &mut Connection, status: u16, reason: &str) {
    let head = client.head();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    let body = client.to_end().unwrap();
    let told = body.ends_with(format!("{reason}\n").as_bytes());
    assert!(told, "{}", body.escape_ascii());
}

/// The access log's line about the one request of this client.
#[track_caller]
fn record(stage: &Stage, client: &Connection) -> serde_json::Value {
    let port = client.local.port();
    until_some(SOON, "a record", || {
        let log = stage.weir.access_log();
        log.into_iter().find(|record| record["client_port"] == port)
    })
}
