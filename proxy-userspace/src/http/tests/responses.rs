//! What is read from response heads.

use super::{GET, LIMITS, response};
use crate::{
    http::{Edits, RequestContext, ResponseFraming, ResponseFraming as F, parse_response},
    reason::Reason,
};

const HEAD: RequestContext = RequestContext { head: true, ..GET };
const CONNECT: RequestContext = RequestContext {
    connect: true,
    ..GET
};
const UPGRADE: RequestContext = RequestContext {
    upgrade: true,
    ..GET
};
const OLD: RequestContext = RequestContext { minor: 0, ..GET };

const LENGTH: &str = "Content-Length: 5\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const SWITCH: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

#[test]
fn framing_by_rfc_9112_section_6_3() {
    let cases: &[(RequestContext, &str, &str, Result<ResponseFraming, ()>)] = &[
        // Item 1: no body, whatever the fields say.
        (HEAD, "1.1 200", "", Ok(F::None)),
        (HEAD, "1.1 200", LENGTH, Ok(F::None)),
        (HEAD, "1.1 200", CHUNKED, Ok(F::None)),
        (GET, "1.1 204", "", Ok(F::None)),
        (GET, "1.1 204", LENGTH, Ok(F::None)),
        (GET, "1.1 304", LENGTH, Ok(F::None)),
        (GET, "1.1 304", CHUNKED, Ok(F::None)),
        (GET, "1.1 100", "", Ok(F::None)),
        (GET, "1.1 103", "Link: x\r\n", Ok(F::None)),
        (GET, "1.1 100", "Content-Length: 0\r\n", Ok(F::None)),
        (GET, "1.1 100", LENGTH, Err(())),
        (GET, "1.1 100", CHUNKED, Err(())),
        // To be dropped, not to be answered with a 502.
        (OLD, "1.1 100", "", Ok(F::None)),
        (OLD, "1.1 103", "Link: x\r\n", Ok(F::None)),
        (OLD, "1.1 101", SWITCH, Err(())),
        (GET, "1.0 100", "", Err(())),
        // Item 2: a tunnel.
        (CONNECT, "1.1 200", "", Ok(F::Tunnel)),
        (CONNECT, "1.0 200", "", Ok(F::Tunnel)),
        (CONNECT, "1.1 299", LENGTH, Ok(F::Tunnel)),
        (CONNECT, "1.1 204", "", Ok(F::Tunnel)),
        (CONNECT, "1.1 204", LENGTH, Ok(F::Tunnel)),
        (CONNECT, "1.1 407", LENGTH, Ok(F::Length(5))),
        (CONNECT, "1.1 100", "", Ok(F::None)),
        // RFC 9110 §7.8, §15.2.2.
        (UPGRADE, "1.1 101", SWITCH, Ok(F::Tunnel)),
        (UPGRADE, "1.1 200", LENGTH, Ok(F::Length(5))),
        (UPGRADE, "1.1 101", "", Err(())),
        (UPGRADE, "1.1 101", "Upgrade: websocket\r\n", Err(())),
        (
            UPGRADE,
            "1.1 101",
            "Connection: upgrade\r\nUpgrade: h2c\r\n",
            Err(()),
        ),
        (
            UPGRADE,
            "1.1 101",
            "Connection: upgrade\r\nUpgrade: h2c, foo\r\n",
            Err(()),
        ),
        (GET, "1.1 101", SWITCH, Err(())),
        (HEAD, "1.1 101", SWITCH, Err(())),
        // Item 3: both.
        (
            GET,
            "1.1 200",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Err(()),
        ),
        (
            HEAD,
            "1.1 200",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Err(()),
        ),
        // Item 4: Transfer-Encoding.
        (GET, "1.1 200", CHUNKED, Ok(F::Chunked)),
        (
            GET,
            "1.1 200",
            "Transfer-Encoding: gzip, Chunked\r\n",
            Ok(F::Chunked),
        ),
        (
            GET,
            "1.1 200",
            "Transfer-Encoding: gzip\r\n",
            Ok(F::UntilClose),
        ),
        (
            GET,
            "1.1 200",
            "Transfer-Encoding: chunked, gzip\r\n",
            Err(()),
        ),
        (GET, "1.0 200", CHUNKED, Err(())),
        // Item 5: an invalid Content-Length.
        (GET, "1.1 200", "Content-Length: 5, 5\r\n", Err(())),
        (
            GET,
            "1.1 200",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            Err(()),
        ),
        (GET, "1.1 304", "Content-Length: x\r\n", Err(())),
        // Items 6 and 8.
        (GET, "1.1 200", LENGTH, Ok(F::Length(5))),
        (GET, "1.0 200", LENGTH, Ok(F::Length(5))),
        (GET, "1.1 200", "", Ok(F::UntilClose)),
        (GET, "1.0 200", "", Ok(F::UntilClose)),
    ];
    for (context, line, fields, expected) in cases {
        let head = format!("HTTP/{line} X\r\n{fields}\r\n");
        let framing = response(&head, *context)
            .map(|head| head.framing)
            .map_err(|_| ());
        assert_eq!(framing, *expected, "{context:?} {head:?}");
    }
}

#[test]
fn persistence_section_9_3() {
    let cases = [
        (GET, "1.1 200", LENGTH, true),
        (GET, "1.1 200", CHUNKED, true),
        (GET, "1.1 200", "", false),
        (GET, "1.1 200", "Connection: keep-alive\r\n", false),
        (
            GET,
            "1.1 200",
            "Connection: close\r\nContent-Length: 0\r\n",
            false,
        ),
        (GET, "1.0 200", LENGTH, false),
        (
            GET,
            "1.0 200",
            "Connection: keep-alive\r\nContent-Length: 5\r\n",
            true,
        ),
        (GET, "1.1 204", "", true),
        (GET, "1.1 204", "Content-Length: 0\r\n", true),
        // Announces a body that it must not have.
        (GET, "1.1 204", LENGTH, false),
        (GET, "1.1 204", CHUNKED, false),
        (HEAD, "1.1 200", LENGTH, true),
        (GET, "1.1 304", LENGTH, true),
        (CONNECT, "1.1 200", "", false),
        (UPGRADE, "1.1 101", SWITCH, false),
        (OLD, "1.1 200", LENGTH, true),
        (OLD, "1.1 200", CHUNKED, false),
    ];
    for (context, line, fields, persistent) in cases {
        let head = response(format!("HTTP/{line} X\r\n{fields}\r\n"), context).unwrap();
        assert_eq!(head.persistent, persistent, "{context:?} {line} {fields:?}");
    }
}

#[test]
fn status_lines_section_4() {
    let status = |line: &[u8]| {
        let head = [line, b"\r\nContent-Length: 0\r\n\r\n"].concat();
        response(head, GET)
            .map(|head| head.status)
            .map_err(|refusal| refusal.reason)
    };
    let accepted: [(&[u8], u16); 6] = [
        (b"HTTP/1.1 200 OK", 200),
        (b"HTTP/1.1 200 ", 200),
        (b"HTTP/1.1 200", 200),
        (b"HTTP/1.0 404 Not\tFound \xe4", 404),
        (b"HTTP/1.5 200 OK", 200),
        (b"HTTP/1.1 999 Odd", 999),
    ];
    for (line, expected) in accepted {
        assert_eq!(status(line), Ok(expected), "{line:?}");
    }
    let refused: [&[u8]; 14] = [
        b"HTTP/1.1",
        b"HTTP/1.1 ",
        b"HTTP/1.1 20",
        b"HTTP/1.1 2000",
        b"HTTP/1.1 099 X",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/2.0 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 200 \0",
    ];
    for line in refused {
        assert_eq!(status(line), Err(Reason::BadResponse), "{line:?}");
    }
}

#[test]
fn interim_responses_are_followed_by_another() {
    let interim = |line: &str, context| {
        let fields = if line == "101" { SWITCH } else { "" };
        response(format!("HTTP/1.1 {line} X\r\n{fields}\r\n"), context)
            .unwrap()
            .interim
    };
    assert!(interim("100", GET) && interim("102", HEAD) && interim("103", CONNECT));
    assert!(!interim("101", UPGRADE) && !interim("200", GET) && !interim("204", GET));
}

#[test]
fn incomplete_and_too_large() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\n\r\n",
        "x".repeat(LIMITS.head_bytes)
    );
    let refusal = parse_response(long.as_bytes(), &LIMITS, &GET).unwrap_err();
    assert_eq!((refusal.status, refusal.reason), (502, Reason::BadResponse));
    assert!(matches!(
        parse_response(b"HTTP/1.1 200 OK\r\n", &LIMITS, &GET),
        Ok(None)
    ));
    assert!(parse_response(b"HTTP/1.1 2x0 OK\r\n", &LIMITS, &GET).is_err());
}

/// By the letter of RFC 2616, as large CDNs do.
#[test]
fn transfer_encoding_may_be_named_by_an_origin() {
    let head = format!("HTTP/1.1 200 OK\r\n{CHUNKED}Connection: Transfer-Encoding\r\n\r\n");
    let parsed = response(&head, GET).unwrap();
    let mut out = Vec::new();
    parsed.write_forwarded(head.as_bytes(), true, &Edits::NONE, &mut out);
    assert_eq!(out, format!("HTTP/1.1 200 OK\r\n{CHUNKED}\r\n").as_bytes());
}
