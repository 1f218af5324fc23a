//! The lab's origin, without Weir: what the other tests take for granted about it.

use std::time::Duration;

use weir_tests::{Connection, Echo, Family, Fnv, Layout, Origin, Pattern, connect, network, until};

#[test]
fn the_origin_answers_as_documented() {
    let net = network(&Layout::default());
    let origin = Origin::start(&net.origin).unwrap();
    let fresh = || connect(&net.client, (Family::V4.client(), 0), Family::V4.http());
    let mut kept = fresh();
    let echo = kept.echo("/x?y").unwrap();
    assert_eq!(
        (echo.0["method"].as_str(), echo.0["target"].as_str()),
        (Some("GET"), Some("/x?y"))
    );
    assert_eq!(echo.head(), "GET /x?y HTTP/1.1\r\nHost: lab\r\n\r\n");
    for length in [0, 1, 100_000] {
        kept.download(length).unwrap();
        let chunked = kept.get(&format!("/chunked/{length}")).unwrap();
        assert_eq!(chunked.body, Pattern::bytes(length));
        assert_eq!(
            chunked.trailers,
            [format!("X-Checksum: {}", Fnv::of(&chunked.body))]
        );
        kept.upload(length).unwrap();
    }
    for status in [204, 304, 404] {
        let response = kept.get(&format!("/status/{status}")).unwrap();
        assert_eq!(
            (response.status, response.body.is_empty()),
            (status, status != 404)
        );
    }
    assert_eq!(kept.get("/hints").unwrap().interim.len(), 1);
    assert_eq!(kept.get("/slow/20").unwrap().status, 200);
    kept.send("HEAD /bytes/7 HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    assert_eq!(
        kept.response_to_head().unwrap().field("content-length"),
        Some("7")
    );
    assert_eq!(kept.echo("/").unwrap().place(), (1, 17));

    let mut connection = fresh();
    assert_eq!(
        connection.get("/close/1000").unwrap().body,
        Pattern::bytes(1000)
    );
    let mut connection = fresh();
    assert!(connection.get("/truncate/1000").is_err());
    let mut connection = fresh();
    assert!(connection.get("/truncate-chunked/1000").is_err());
    let mut connection = fresh();
    let reset = connection.get("/reset").unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(origin.broken(), 0);
}

#[test]
fn the_origin_reads_what_it_is_sent() {
    let net = network(&Layout::default());
    let origin = Origin::start(&net.origin).unwrap();
    let fresh = || connect(&net.client, (Family::V6.client(), 0), Family::V6.http());

    let mut connection = fresh();
    let head = "PUT / HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n";
    connection
        .send(format!("{head}Expect: 100-continue\r\n\r\n"))
        .unwrap();
    assert_eq!(
        connection.through(b"\r\n\r\n").unwrap(),
        b"HTTP/1.1 100 Continue\r\n\r\n"
    );
    connection
        .send("3\r\nfoo\r\n3;x=y\r\nbar\r\n0\r\nX-End: yes\r\n\r\n")
        .unwrap();
    let echo = Echo::of(&connection.response().unwrap(), connection.local).unwrap();
    assert_eq!(
        (echo.body_length(), echo.body_checksum()),
        (6, "85944171f73967e8")
    );
    assert_eq!(echo.0["body"]["trailers"][0], "X-End: yes");

    let echoes = |mut connection: Connection| {
        connection.send("tail").unwrap();
        connection.half_close().unwrap();
        connection.to_end().unwrap()
    };
    for (request, answer) in [
        ("GET /upgrade", "HTTP/1.1 101 "),
        ("CONNECT a:1", "HTTP/1.1 200 "),
    ] {
        let mut connection = fresh();
        connection
            .send(format!("{request} HTTP/1.1\r\nHost: lab\r\n\r\nahead "))
            .unwrap();
        let head = connection.through(b"\r\n\r\n").unwrap();
        assert!(
            head.starts_with(answer.as_bytes()),
            "{}",
            String::from_utf8_lossy(&head)
        );
        assert_eq!(echoes(connection), b"ahead tail");
    }
    for octets in ["\x16\x03\x01", "SSH-2.0-x\r\n"] {
        let mut connection = fresh();
        connection.send(octets).unwrap();
        assert_eq!(echoes(connection), format!("{octets}tail").into_bytes());
    }

    let mut connection = fresh();
    connection
        .send("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    assert_eq!(connection.response().unwrap().status, 400);
    let mut connection = fresh();
    connection
        .send("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")
        .unwrap();
    drop(connection);
    until(Duration::from_secs(5), "the broken request", || {
        origin.broken() == 1
    });
}
