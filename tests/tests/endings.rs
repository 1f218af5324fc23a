//! How connections end, and that both legs end the same way.

use std::{io, net::SocketAddr, time::Duration};

use weir_tests::{Family, Pattern, World, connect, until};

const MIB: usize = 1 << 20;
const SOON: Duration = Duration::from_secs(20);

#[test]
fn half_closed_clients_get_their_answer() {
    let world = World::new();
    for target in [
        "/slow/300",
        "/bytes/1000000",
        "/close/1000000",
        "/chunked/1000000",
    ] {
        let mut connection = world.connect(Family::V4);
        connection
            .send(format!("GET {target} HTTP/1.1\r\nHost: lab\r\n\r\n"))
            .unwrap();
        connection.half_close().unwrap();
        assert_eq!(connection.response().unwrap().status, 200, "{target}");
        assert!(connection.to_end().unwrap().is_empty(), "then the end");
    }
    until(SOON, "every connection's end at the origin", || {
        world.origin.open() == 0
    });
}

#[test]
fn truncated_responses_arrive_truncated() {
    let world = World::new();
    let mut connection = world.connect(Family::V4);
    connection
        .send("GET /truncate/100000 HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(connection.through(b"\r\n\r\n").unwrap()).unwrap();
    assert!(head.contains("Content-Length: 100000\r\n"), "{head}");
    assert_eq!(connection.to_end().unwrap(), Pattern::bytes(50000));
    drop(connection);

    let mut connection = world.connect(Family::V4);
    let error = connection.get("/truncate-chunked/100000").unwrap_err();
    assert_eq!(
        error.kind(),
        io::ErrorKind::UnexpectedEof,
        "no last chunk was made up"
    );
    drop(connection);
    until(SOON, "every connection's end at the origin", || {
        world.origin.open() == 0
    });
}

#[test]
fn truncated_requests_arrive_truncated() {
    let world = World::new();
    for head in [
        "Content-Length: 100000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffff\r\n",
    ] {
        let broken = world.origin.broken();
        let mut connection = world.connect(Family::V6);
        connection
            .send(format!("POST / HTTP/1.1\r\nHost: lab\r\n{head}some"))
            .unwrap();
        until(SOON, "the request at the origin", || {
            world.origin.open() == 1
        });
        drop(connection);
        until(SOON, "its breaking", || world.origin.broken() == broken + 1);
    }
}

#[test]
fn responses_to_the_close_end_with_it() {
    let world = World::new();
    for length in [0, 1, MIB] {
        let mut connection = world.connect(Family::V6);
        let response = connection.get(&format!("/close/{length}")).unwrap();
        assert_eq!(response.body, Pattern::bytes(length));
    }
}

#[test]
fn an_old_client_is_answered_and_left() {
    let world = World::new();
    let mut connection = world.connect(Family::V4);
    connection.send("GET /bytes/10 HTTP/1.0\r\n\r\n").unwrap();
    let head = String::from_utf8(connection.through(b"\r\n\r\n").unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(connection.to_end().unwrap(), Pattern::bytes(10));
}

#[test]
fn resets_travel() {
    let world = World::new();
    let mut connection = world.connect(Family::V4);
    let error = connection.get("/reset").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");

    let mut connection = world.connect(Family::V4);
    connection.send([0x16, 3, 1]).unwrap();
    connection.exactly(3).unwrap();
    let broken = world.origin.broken();
    connection.reset();
    until(SOON, "the reset at the origin", || {
        world.origin.broken() == broken + 1
    });
}

#[test]
fn origins_that_cannot_be_reached() {
    let world = World::new();
    // An address that the origin refuses, and one that nobody has.
    world
        .net
        .origin
        .nft(
            r#"
                    table inet origin {
                        chain input {
                            type filter hook input priority filter;
                            ip daddr 203.0.113.3 reject with tcp reset
                            ip6 daddr fd77:2::3 reject with tcp reset
                        }
                    }
                "#,
        )
        .unwrap();
    for family in Family::BOTH {
        let refused = SocketAddr::new(family.origin(1), 80);
        let mut connection = connect(&world.net.client, (family.client(), 0), refused);
        let error = connection.get("/").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }
    let nobody = "203.0.113.99:80".parse::<SocketAddr>().unwrap();
    let mut connection = connect(&world.net.client, (Family::V4.client(), 0), nobody);
    let response = connection.get("/").unwrap();
    assert!(matches!(response.status, 502 | 504), "{}", response.head);
}
