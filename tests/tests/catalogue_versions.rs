//! The transparency catalogue: each side is spoken to in a version that it knows.

use weir_tests::{Connection, End, Family, GET, OK, Stage};

const OLD: &str = "GET / HTTP/1.0\r\n\r\n";
const KEEPS: &str = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";

/// RFC 9110 §6.2: the version in a message is its sender's, and the sender is us. What the
/// origin's meant for the connection is said in the terms of 1.1.
#[test]
fn answers_of_an_old_origin_are_ours_to_word() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for (response, body) in [
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nX:  y\r\n\r\nok",
                "ok",
            ),
            (
                "HTTP/1.0 404 None\r\nX:  y\r\n\r\nto the close",
                "to the close",
            ),
        ] {
            let (mut client, mut origin) = stage.begin(family, GET);
            origin.expect(GET);
            origin.send(response).unwrap();
            origin.half_close().unwrap();
            let head = client.head();
            assert!(
                head.starts_with(&response[..9].replace("1.0", "1.1")),
                "{head}"
            );
            assert!(head.contains("\r\nX:  y\r\n"), "{head}");
            if response.contains("Content-Length") {
                assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
            }
            client.expect_last(body);
            origin.expect_end();
        }
    }
}

#[test]
fn an_old_origin_that_keeps_the_connection() {
    let stage = Stage::new();
    let kept = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
    for family in Family::BOTH {
        for request in [GET, KEEPS] {
            let (mut client, mut origin) = stage.begin(family, request.repeat(3));
            for _ in 0..3 {
                origin.expect(request);
                origin.send(kept).unwrap();
                let head = client.head();
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
                assert!(!head.contains("close"), "{head}");
                if request == KEEPS {
                    // A client of 1.0 has to be told.
                    assert!(head.contains("\r\nConnection: keep-alive\r\n"), "{head}");
                }
                client.expect("ok");
            }
        }
    }
}

/// RFC 9112 §6.1, §7.1.3: a client of 1.0 does not know chunks; the end is its framing.
#[test]
fn an_old_client_gets_no_chunks() {
    let stage = Stage::new();
    let chunked = "HTTP/1.1 200 OK\r\nA:  b\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\
                   C: d\r\n\r\n5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n";
    for family in Family::BOTH {
        for request in [OLD, KEEPS] {
            let (mut client, mut origin) = stage.begin(family, request);
            origin.expect(request);
            origin.send(chunked).unwrap();
            let head = client.head();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\nA:  b\r\n"), "{head}");
            assert!(head.contains("\r\nC: d\r\n"), "{head}");
            for field in ["transfer-encoding", "trailer", "keep-alive"] {
                assert!(!head.to_ascii_lowercase().contains(field), "{head}");
            }
            client.expect_last("hello world");
            origin.expect_end();
        }
    }
}

/// Without its chunks it would look whole, if it ended like a whole one.
#[test]
fn what_is_cut_short_ends_with_a_reset_for_an_old_client() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for part in ["", "5\r\nhe", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n"] {
            let (mut client, mut origin) = stage.begin(family, OLD);
            origin.expect(OLD);
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            origin.send(format!("{head}{part}")).unwrap();
            origin.half_close().unwrap();
            client.head();
            let (body, end) = client.rest().unwrap();
            assert!(b"hello".starts_with(&body[..]), "{}", body.escape_ascii());
            assert_eq!(end, End::Reset, "{part:?}");
        }
    }
}

/// RFC 9112 §3.2.2: the target has the last word about whom a request is for.
#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    let stage = Stage::new();
    let cases = [
        ("http://other.example:8080/x?y", "lab", "other.example:8080"),
        ("http://other.example/", "lab", "other.example"),
        ("http://lab/", "lab", "lab"),
        ("HTTP://Lab:80/", "", "Lab:80"),
    ];
    for ((target, host, replaced), family) in
        cases.into_iter().zip(Family::BOTH.into_iter().cycle())
    {
        let head = |host| format!("GET {target} HTTP/1.1\r\nA: b\r\nHost: {host}\r\nC: d\r\n\r\n");
        let (mut client, mut origin) = stage.begin(family, head(host));
        origin.expect(head(replaced));
        origin.send(OK).unwrap();
        client.expect(OK);
    }
    // What is no Host is none here either.
    let mut client = stage.client(Family::V4);
    client
        .send("GET http://lab/ HTTP/1.1\r\nHost: a b\r\n\r\n")
        .unwrap();
    assert!(client.head().starts_with("HTTP/1.1 400 "));
}

/// RFC 9110 §7.6.2.
#[test]
fn max_forwards_counts_down_for_trace_and_options() {
    let stage = Stage::new();
    for (method, family) in ["TRACE", "OPTIONS"].into_iter().zip(Family::BOTH) {
        let head = |number: &str| {
            format!("{method} / HTTP/1.1\r\nHost: lab\r\nMax-Forwards: {number}\r\nA: b\r\n\r\n")
        };
        let (mut client, mut origin) = stage.begin(family, head("10"));
        origin.expect(head("9"));
        origin.send(OK).unwrap();
        client.expect(OK);
        // At 0 we are whom it was sent to; nothing of it is for the origin, and more may follow.
        client.send(head("0")).unwrap();
        let answer = client.response().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.head);
        if method == "TRACE" {
            assert_eq!(answer.field("content-type"), Some("message/http"));
            assert!(
                answer
                    .text()
                    .starts_with("TRACE / HTTP/1.1\r\nHost: lab\r\n")
            );
        } else {
            assert_eq!(answer.body, b"");
        }
        for wrong in ["-1", "x", "", "1, 2"] {
            let mut client = stage.client(family);
            client.send(head(wrong)).unwrap();
            let head = client.head();
            assert!(head.starts_with("HTTP/1.1 400 "), "{wrong:?}: {head}");
        }
        stage.expect_nobody(family);
    }
    let other = "GET / HTTP/1.1\r\nHost: lab\r\nMax-Forwards: 0\r\n\r\n";
    let (_client, mut origin) = stage.begin(Family::V4, other);
    origin.expect(other);
}

/// RFC 9110 §9.3.8: secrets are not shown to whoever asks for a trace.
#[test]
fn a_trace_of_ours_has_no_secrets() {
    let stage = Stage::new();
    let mut client = stage.client(Family::V6);
    let head = "TRACE / HTTP/1.1\r\nHost: lab\r\nMax-Forwards: 0\r\nCookie: secret\r\n\
                Authorization: Basic secret\r\nProxy-Authorization: secret\r\n\r\n";
    client.send(head).unwrap();
    let answer = client.response().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert!(!answer.text().contains("secret"), "{}", answer.text());
    stage.expect_nobody(Family::V6);
}

/// Streams of SHOUTcast, and HTTP/0.9: to the close, as they come.
#[test]
fn answers_that_are_no_http_are_relayed_to_the_close() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for first in ["ICY 200 OK\r\nicy-name: x\r\n\r\n", "<html>", "\0\x01\x02"] {
            for request in [GET, OLD] {
                let (mut client, mut origin) = stage.begin(family, request);
                origin.expect(request);
                origin.send(first).unwrap();
                client.expect(first);
                origin.send([0xff; 1000]).unwrap();
                origin.half_close().unwrap();
                client.expect_last([0xff; 1000]);
                origin.rest().unwrap();
                assert_eq!(origin.received(), request.as_bytes());
            }
        }
    }
}

/// Nothing of ours gets into what is not ours to frame.
#[test]
fn an_answer_that_is_no_http_and_stops_is_cut_off() {
    let stage = Stage::with("[limits]\norigin_timeout = \"500ms\"\n");
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send("ICY 200 OK\r\n\r\nstream").unwrap();
        client.expect("ICY 200 OK\r\n\r\nstream");
        let (rest, end) = client.rest().unwrap();
        assert_eq!((&rest[..], end), (&b""[..], End::Reset));
    }
    assert_eq!(stage.weir.outcomes("origin-stalled"), 2);
}

/// On a connection that has had answers, the same is a sign of being out of step.
#[test]
fn later_answers_that_are_no_http_are_refused() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send(OK).unwrap();
        client.expect(OK);
        client.send(GET).unwrap();
        origin.expect(GET);
        origin.send("ICY 200 OK\r\n\r\nstream").unwrap();
        refused(&mut client);
        origin.rest().unwrap();
    }
}

#[track_caller]
fn refused(client: &mut Connection) {
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert!(client.to_end().unwrap().ends_with(b"bad-response\n"));
}
