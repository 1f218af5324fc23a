//! HTTP through the daemon: what is passed on as it came, and what is refused.

use std::time::Duration;

use weir_tests::{Echo, Family, Fnv, Pattern, World, until};

const MIB: usize = 1 << 20;
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_thousand_requests_on_one_connection() {
    let world = World::new();
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        let mut connection = world.connect(family);
        for request in 1..=1000 {
            let echo = connection.echo(&format!("/{request}")).unwrap();
            assert_eq!(
                echo.place(),
                (number, request),
                "one connection to the origin, too"
            );
            assert_eq!(echo.0["target"], format!("/{request}"));
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let world = World::new();
    let mut connection = world.connect(Family::V4);
    let requests: String = (0..100)
        .map(|number| match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: lab\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: lab\r\nContent-Length: 4\r\n\r\nbody"),
            _ => format!(
                "PUT /{number} HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n"
            ),
        })
        .collect();
    connection.send(requests).unwrap();
    for number in 0..100 {
        let echo = Echo::of(&connection.response().unwrap(), connection.local).unwrap();
        assert_eq!(echo.0["target"], format!("/{number}"));
        assert_eq!(echo.body_length(), [0, 4, 6][number % 3]);
    }
}

#[test]
fn bytes_that_come_one_at_a_time() {
    let world = World::new();
    let mut connection = world.connect(Family::V6);
    let request = "POST /slowly HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nfoo\r\n3\r\nbar\r\n0\r\nX-T: v\r\n\r\n";
    for _ in 0..2 {
        for octet in request.bytes() {
            connection.send([octet]).unwrap();
        }
        let echo = Echo::of(&connection.response().unwrap(), connection.local).unwrap();
        assert_eq!(echo.body_checksum(), Fnv::of(b"foobar").to_string());
        assert_eq!(echo.0["body"]["trailers"][0], "X-T: v");
    }
}

#[test]
fn chunks_both_ways_with_their_trailers() {
    let world = World::new();
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        for length in [0, 1, 65536, 3 * MIB] {
            let response = connection.get(&format!("/chunked/{length}")).unwrap();
            assert_eq!(response.body, Pattern::bytes(length));
            assert_eq!(
                response.trailers,
                [format!("X-Checksum: {}", Fnv::of(&response.body))]
            );

            let head = "POST / HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n";
            connection
                .send(format!("{head}Trailer: X-Sum\r\n\r\n"))
                .unwrap();
            for piece in Pattern::bytes(length).chunks(10_000) {
                connection
                    .send(format!("{:X};ext=\"1\"\r\n", piece.len()))
                    .unwrap();
                connection.send(piece).unwrap();
                connection.send("\r\n").unwrap();
            }
            connection.send("0\r\nX-Sum: abc\r\n\r\n").unwrap();
            let echo = Echo::of(&connection.response().unwrap(), connection.local).unwrap();
            assert_eq!(echo.body_length(), length as u64);
            assert_eq!(
                echo.body_checksum(),
                Pattern::checksum(length as u64).to_string()
            );
            assert_eq!(echo.0["body"]["trailers"][0], "X-Sum: abc");
        }
    }
}

#[test]
fn heads_arrive_octet_for_octet_but_for_connection_fields() {
    let world = World::new();
    let mut connection = world.connect(Family::V4);
    let head = "GET /a%20b?c=d&e HTTP/1.1\r\nhOsT: lab\r\nX-Twice: 1\r\nAccept:*/*\r\n\
                X-Twice:   2  3\r\nx-empty:\r\nVia: 1.0 somebody\r\n\
                X-Latin: caf\u{e9}\r\n\r\n";
    connection.send(head).unwrap();
    let echo = Echo::of(&connection.response().unwrap(), connection.local).unwrap();
    assert_eq!(echo.head(), head);

    connection
        .send(
            "GET / HTTP/1.1\r\nHost: lab\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
             X-End: 2\r\n\r\n",
        )
        .unwrap();
    let echo = Echo::of(&connection.response().unwrap(), connection.local).unwrap();
    assert!(
        echo.head().contains("X-End: 2") && !echo.head().contains("X-Hop: 1"),
        "{echo:?}"
    );
}

#[test]
fn responses_without_bodies_keep_the_connection_in_step() {
    let world = World::new();
    let mut connection = world.connect(Family::V4);
    for _ in 0..3 {
        connection
            .send("HEAD /bytes/1000 HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
        let response = connection.response_to_head().unwrap();
        assert_eq!(response.field("content-length"), Some("1000"));
        connection
            .send("HEAD /chunked/1000 HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
        assert_eq!(connection.response_to_head().unwrap().status, 200);
        assert_eq!(connection.get("/status/204").unwrap().status, 204);
        assert_eq!(connection.get("/status/304").unwrap().status, 304);
        assert_eq!(connection.get("/status/404").unwrap().status, 404);
        let hinted = connection.get("/hints").unwrap();
        assert!(hinted.interim[0].starts_with("HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n"));
        connection.echo("/").unwrap();
    }
}

#[test]
fn a_body_may_wait_for_100_continue() {
    let world = World::new();
    let mut connection = world.connect(Family::V4);
    connection
        .send("PUT / HTTP/1.1\r\nHost: lab\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n")
        .unwrap();
    let interim = connection.through(b"\r\n\r\n").unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100 Continue\r\n"));
    connection.send("foobar").unwrap();
    let echo = Echo::of(&connection.response().unwrap(), connection.local).unwrap();
    assert_eq!(echo.body_checksum(), Fnv::of(b"foobar").to_string());
    connection.echo("/").unwrap();
}

#[test]
fn ambiguous_framing_is_refused_and_never_forwarded() {
    let world = World::new();
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 4",
        "Content-Length: +3",
        "Content-Length: 0x3",
        "Content-Length: -3",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding : chunked",
        "Content-Length : 3",
        "Transfer-Encoding:\x0bchunked",
        "X: 1\r\n Transfer-Encoding: chunked",
    ] {
        let mut connection = world.connect(Family::V4);
        let request = format!("POST / HTTP/1.1\r\nHost: lab\r\n{fields}\r\n\r\n0\r\n\r\n");
        connection.send(request).unwrap();
        let response = connection
            .response()
            .unwrap_or_else(|error| panic!("{fields:?}: {error}"));
        assert_eq!(response.status, 400, "{fields:?}: {}", response.head);
        // Whatever follows on this connection cannot be trusted either.
        assert!(connection.to_end().unwrap().is_empty(), "{fields:?}");
    }
    for request in [
        "GET / HTTP/1.1\nHost: lab\n\n",
        "GET / HTTP/1.1\r\nHost: lab\nX: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\nX: a\0b\r\n\r\n",
    ] {
        let mut connection = world.connect(Family::V4);
        connection.send(request).unwrap();
        assert_eq!(connection.response().unwrap().status, 400, "{request:?}");
    }
    assert_eq!(
        world.origin.requests(),
        0,
        "the origin has seen one of them"
    );
    assert!(world.get(Family::V4).intercepted());
}

#[test]
fn a_refused_head_has_no_content() {
    let world = World::new();
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        connection.send("HEAD / HTTP/1.1\r\n\r\n").unwrap();
        let answer = String::from_utf8(connection.to_end().unwrap()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\n") && answer.matches("\r\n\r\n").count() == 1);
    }
    assert_eq!(world.origin.requests(), 0);
}

#[test]
fn every_request_has_its_record() {
    let world = World::new();
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        let echo = connection.echo("/seen?yes").unwrap();
        connection.upload(1000).unwrap();
        connection.get("/status/404").unwrap();
        let port = connection.local.port();
        drop(connection);
        let of_this = || -> Vec<serde_json::Value> {
            let log = world.weir.access_log();
            log.into_iter()
                .filter(|record| record["client_port"] == port)
                .collect()
        };
        until(SOON, "three records", || of_this().len() == 3);
        let records = of_this();
        for record in &records {
            assert_eq!(record["client"], family.client().to_string());
            assert_eq!(record["origin"], family.origin(0).to_string());
            assert_eq!(record["origin_port"], 80);
            assert_eq!(record["spoofed_port"], echo.peer().port());
            assert_eq!(record["host"], "lab");
            assert_eq!(record["reason"], "served");
            for key in ["time", "bytes_in", "bytes_out", "duration_ms"] {
                assert!(!record[key].is_null(), "{key}: {record}");
            }
        }
        let of = |key: &str| records.iter().map(|r| r[key].clone()).collect::<Vec<_>>();
        assert_eq!(of("method"), ["GET", "POST", "GET"]);
        assert_eq!(of("target"), ["/seen?yes", "/up", "/status/404"]);
        assert_eq!(of("status"), [200, 200, 404]);
    }
}
