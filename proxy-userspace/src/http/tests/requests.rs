//! What is read from request heads.

use super::{LIMITS, get, request};
use crate::{
    http::{HeadLimits, MethodKind, RequestFraming, parse_request},
    reason::Reason,
};

#[test]
fn framing_by_rfc_9112_section_6_3() {
    use RequestFraming::{Chunked, Length, None};
    let cases: &[(&str, Result<RequestFraming, u16>)] = &[
        // Item 7: neither field.
        ("", Ok(None)),
        // Item 6: a valid Content-Length.
        ("Content-Length: 0\r\n", Ok(Length(0))),
        ("content-length:5\r\n", Ok(Length(5))),
        ("Content-Length:   5  \r\n", Ok(Length(5))),
        (
            "Content-Length: 9223372036854775807\r\n",
            Ok(Length(i64::MAX as u64)),
        ),
        // Item 5: an invalid one.
        ("Content-Length:\r\n", Err(400)),
        ("Content-Length: 9223372036854775808\r\n", Err(400)),
        ("Content-Length: 18446744073709551621\r\n", Err(400)),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(400)),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(400)),
        ("Content-Length: 5, 5\r\n", Err(400)),
        // Item 4: Transfer-Encoding.
        ("Transfer-Encoding: chunked\r\n", Ok(Chunked)),
        ("TRANSFER-ENCODING:  Chunked  \r\n", Ok(Chunked)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(501)),
        ("Transfer-Encoding: gzip\r\n", Err(400)),
        ("Transfer-Encoding: chunked, gzip\r\n", Err(400)),
        ("Transfer-Encoding: chunked, chunked\r\n", Err(400)),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(400),
        ),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            Err(400),
        ),
        // Item 3: both.
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Err(400),
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Err(400),
        ),
        ("Content-Length: 0\r\nTransfer-Encoding: gzip\r\n", Err(400)),
    ];
    for (fields, expected) in cases {
        let framing = request(get(fields))
            .map(|head| head.framing)
            .map_err(|r| r.status);
        assert_eq!(framing, *expected, "{fields:?}");
    }
}

#[test]
fn framing_of_http_1_0_section_6_1() {
    let old = |fields: &str| request(format!("POST / HTTP/1.0\r\n{fields}\r\n"));
    assert_eq!(
        old("Content-Length: 3\r\n").unwrap().framing,
        RequestFraming::Length(3)
    );
    assert_eq!(
        old("Transfer-Encoding: chunked\r\n").unwrap_err().status,
        400
    );
}

#[test]
fn persistence_section_9_3() {
    let cases = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        (
            "1.1",
            "Connection: foo\r\nConnection: bar, CLOSE\r\n",
            false,
        ),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
        ("1.7", "", true),
    ];
    for (version, fields, persistent) in cases {
        let head = request(format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n")).unwrap();
        assert_eq!(head.persistent, persistent, "{version} {fields:?}");
    }
}

#[test]
fn host_section_3_2() {
    let with = |line: &str, fields: &str| {
        let head = format!("{line}\r\n{fields}\r\n");
        request(&head)
            .map(|h| h.host(head.as_bytes()).map(str::to_owned))
            .map_err(|r| r.status)
    };
    let host = |host: &str| Ok(Some(host.to_owned()));
    assert_eq!(with("GET / HTTP/1.1", "Host: a:80 \r\n"), host("a:80"));
    assert_eq!(with("GET / HTTP/1.1", "Host:\r\n"), host(""));
    assert_eq!(with("GET / HTTP/1.1", ""), Err(400));
    assert_eq!(with("GET / HTTP/1.9", ""), Err(400));
    assert_eq!(with("GET / HTTP/1.0", ""), Ok(None));
    for version in ["1.0", "1.1"] {
        let line = format!("GET / HTTP/{version}");
        assert_eq!(with(&line, "Host: a\r\nHost: a\r\n"), Err(400));
        for bad in ["a b", "a/b", "a@b", "a, b", "\u{e4}", "a\tb", "a:b"] {
            assert_eq!(with(&line, &format!("Host: {bad}\r\n")), Err(400), "{bad}");
        }
    }
    // Section 3.2.2: the target's authority counts.
    assert_eq!(
        with("GET http://a/ HTTP/1.1", "Host: A:80\r\n"),
        host("A:80")
    );
    assert_eq!(
        with("GET http://a:81/ HTTP/1.1", "Host: b\r\n"),
        host("a:81")
    );
    assert_eq!(with("GET http://a/ HTTP/1.0", "Host:\r\n"), host("a"));
    assert_eq!(with("GET http://a/ HTTP/1.1", ""), Err(400));
    assert_eq!(with("GET http://a/ HTTP/1.1", "Host: b c\r\n"), Err(400));
    assert_eq!(
        with("GET http://a/ HTTP/1.1", "Host: b\r\nHost: a\r\n"),
        Err(400)
    );
    assert_eq!(with("GET http://a/ HTTP/1.0", ""), host("a"));
    assert_eq!(
        with("CONNECT a:443 HTTP/1.1", "Host: a:443\r\n"),
        host("a:443")
    );
    assert_eq!(with("CONNECT a:443 HTTP/1.1", "Host: b:443\r\n"), Err(400));
}

#[test]
fn methods() {
    let kind = |line: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        let parsed = request(&head).unwrap();
        (parsed.kind, parsed.method(head.as_bytes()).to_owned())
    };
    assert_eq!(kind("HEAD /"), (MethodKind::Head, "HEAD".to_owned()));
    assert_eq!(
        kind("CONNECT a:1"),
        (MethodKind::Connect, "CONNECT".to_owned())
    );
    assert_eq!(
        kind("PROPFIND /"),
        (MethodKind::Other, "PROPFIND".to_owned())
    );
    assert_eq!(kind("get /"), (MethodKind::Other, "get".to_owned()));
    assert_eq!(kind("OPTIONS *"), (MethodKind::Other, "OPTIONS".to_owned()));
    // RFC 9110 §9.3.6.
    for fields in ["Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n"] {
        let head = format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{fields}\r\n");
        assert_eq!(request(head).unwrap_err().status, 400);
    }
}

#[test]
fn upgrade_rfc_9110_section_7_8() {
    let cases = [
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", true),
        (
            "Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n",
            true,
        ),
        ("Connection: upgrade\r\nUpgrade: h2c, websocket\r\n", true),
        ("Connection: upgrade\r\nUpgrade: TLS/1.0\r\n", true),
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
            false,
        ),
        ("Connection: upgrade\r\nUpgrade: H2C\r\n", false),
        ("Connection: upgrade\r\nUpgrade: h2c-14\r\n", false),
        ("Connection: upgrade\r\nUpgrade:\r\n", false),
        ("Connection: upgrade\r\nUpgrade: web socket\r\n", false),
        ("Upgrade: websocket\r\n", false),
        ("Connection: upgrade\r\n", false),
    ];
    for (fields, upgrade) in cases {
        assert_eq!(request(get(fields)).unwrap().upgrade, upgrade, "{fields:?}");
    }
    let old = "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert!(!request(old).unwrap().upgrade);
}

#[test]
fn expect_rfc_9110_section_10_1_1() {
    let expects = |head: &str| request(head).unwrap().expects_continue;
    assert!(expects(&get("Expect: 100-Continue\r\n")));
    assert!(!expects(&get("Expect: something\r\n")));
    assert!(!expects("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"));
}

#[test]
fn nobody_takes_framing_away_by_naming_it() {
    for name in ["content-length", "Transfer-Encoding", "HOST", "expect"] {
        let fields = format!("Connection: close, {name}\r\n");
        assert_eq!(request(get(&fields)).unwrap_err().status, 400, "{name}");
    }
    let many: Vec<String> = (0..40).map(|index| format!("x{index}")).collect();
    let fields = format!("Connection: {}\r\n", many.join(","));
    assert_eq!(request(get(&fields)).unwrap_err().status, 400);
}

#[test]
fn limits() {
    let limits = HeadLimits {
        head_bytes: 100,
        fields: 3,
    };
    let refused = |head: &str| {
        let refusal = parse_request(head.as_bytes(), &limits).unwrap_err();
        (refusal.status, refusal.reason)
    };
    assert_eq!(refused(&"G".repeat(100)), (414, Reason::TargetTooLong));
    assert_eq!(
        refused(&format!("GET /{}", "x".repeat(95))),
        (414, Reason::TargetTooLong)
    );
    let long = get(&format!("X: {}\r\n", "x".repeat(100)));
    assert_eq!(refused(&long), (431, Reason::HeadTooLarge));
    assert_eq!(
        refused(&get("A: b\r\nC: d\r\nE: f\r\n")),
        (431, Reason::HeadTooLarge)
    );
    assert!(parse_request(get("A: b\r\nC: d\r\n").as_bytes(), &limits).is_ok());
    let many = get(&"A: b\r\n".repeat(99));
    assert!(
        parse_request(many.as_bytes(), &LIMITS).is_ok(),
        "more than fit inline"
    );
}

#[test]
fn versions() {
    let refused = |line: &str| {
        let refusal = request(format!("{line}\r\nHost: a\r\n\r\n")).unwrap_err();
        (refusal.status, refusal.reason)
    };
    assert_eq!(refused("GET / HTTP/2.0"), (505, Reason::UnknownVersion));
    assert_eq!(refused("GET / HTTP/0.9"), (505, Reason::UnknownVersion));
    assert_eq!(refused("GET / HTTQ/1.1"), (400, Reason::BadRequest));
    // Known without waiting for the rest of the head.
    assert!(parse_request(b"GET / HTTP/3.0\r\n", &LIMITS).is_err());
    assert!(matches!(
        parse_request(b"GET / HTTP/1.1\r\n", &LIMITS),
        Ok(None)
    ));
}
