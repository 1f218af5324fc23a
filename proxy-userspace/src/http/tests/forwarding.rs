//! What is written in place of a request's head that came, and what edits change.

use super::{GET, get, request, response};
use crate::http::Edits;

fn forwarded_request(head: &str) -> (String, bool) {
    let parsed = request(head).unwrap();
    let mut out = Vec::new();
    parsed.write_forwarded(head.as_bytes(), &Edits::NONE, &mut out);
    (
        String::from_utf8(out).unwrap(),
        parsed.is_verbatim(&Edits::NONE),
    )
}

#[test]
fn requests_as_they_came() {
    let fields = [
        "",
        "accept:*/*  \r\nX-CASE:\t a  b \t\r\nX-CASE: \r\nCookie: a=b; c\r\n",
        "Connection: keep-alive\r\n",
        "CONNECTION:Close\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n",
        "Connection: Upgrade,keep-alive\r\nUpgrade: websocket\r\n",
        "TE: Trailers\r\nConnection: te\r\n",
        "Transfer-Encoding:  Chunked\r\n",
        "Expect: 100-continue\r\nContent-Length: 05\r\n",
        "Via: 1.1 x\r\nX-Forwarded-For: y\r\nProxy-Authorization: z\r\n",
    ];
    for fields in fields {
        let head = get(fields);
        assert_eq!(forwarded_request(&head), (head.clone(), true), "{fields:?}");
    }
    for line in [
        "GET /a?b#c HTTP/1.0",
        "OPTIONS * HTTP/1.0",
        "GET http://a/ HTTP/1.0",
    ] {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(forwarded_request(&head), (head.clone(), true));
    }
}

#[test]
fn requests_without_what_is_connection_level() {
    let cases = [
        // Named fields, and those that are connection-level by nature.
        (
            "A: b\r\nConnection: x-hop\r\nX-Hop: 1\r\nC: d\r\n",
            "A: b\r\nC: d\r\n",
        ),
        (
            "X-Hop: 1\r\nConnection: close, X-HOP\r\nx-hop: 2\r\n",
            "Connection: close\r\n",
        ),
        (
            "connection:  Keep-Alive \r\nKeep-Alive: timeout=5\r\n",
            "connection:  Keep-Alive \r\n",
        ),
        ("Proxy-Connection: keep-alive\r\nA: b\r\n", "A: b\r\n"),
        // Our own stands in the place of the first.
        (
            "A: b\r\nConnection: x\r\nC: d\r\nConnection: close\r\n",
            "A: b\r\nConnection: close\r\nC: d\r\n",
        ),
        ("Connection: keep-alive, close\r\n", "Connection: close\r\n"),
        (
            "Connection: close\r\nConnection: close\r\n",
            "Connection: close\r\n",
        ),
        ("Connection:\r\nA: b\r\n", "A: b\r\n"),
        ("Connection: a b\r\n", ""),
        // TE
        (
            "TE: gzip, trailers;q=1, trailers\r\nConnection: TE\r\n",
            "TE: trailers\r\nConnection: TE\r\n",
        ),
        (
            "TE: gzip\r\nConnection: TE, close\r\n",
            "Connection: close\r\n",
        ),
        ("TE: trailers\r\n", "TE: trailers\r\nConnection: TE\r\n"),
        ("Connection: TE\r\n", ""),
        // Upgrade
        ("Upgrade: websocket\r\n", ""),
        ("Connection: Upgrade\r\n", ""),
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nA: b\r\n",
            "A: b\r\n",
        ),
        (
            "connection: upgrade\r\nupgrade: h2c , websocket,foo/1\r\n",
            "connection: upgrade\r\nupgrade: websocket, foo/1\r\n",
        ),
        (
            "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
        ),
    ];
    for (came, goes) in cases {
        assert_eq!(
            forwarded_request(&get(came)),
            (get(goes), false),
            "{came:?}"
        );
    }
}

/// RFC 9112 §3.2.2.
#[test]
fn host_is_what_the_target_says() {
    let cases = [
        ("http://a/x", "Host: b\r\n", "Host: a\r\n"),
        (
            "http://a:81",
            "A: c\r\nhOST:  a  \r\nD: e\r\n",
            "A: c\r\nhOST: a:81\r\nD: e\r\n",
        ),
        ("http://[::1]:80/", "Host:\r\n", "Host: [::1]:80\r\n"),
        ("ftp://a:21/", "Host: a\r\n", "Host: a:21\r\n"),
    ];
    for (target, came, goes) in cases {
        for version in ["1.0", "1.1"] {
            let head = |fields| format!("GET {target} HTTP/{version}\r\n{fields}\r\n");
            assert_eq!(
                forwarded_request(&head(came)),
                (head(goes), false),
                "{target}"
            );
            assert_eq!(
                forwarded_request(&head(goes)),
                (head(goes), true),
                "{target}"
            );
        }
    }
    for (target, host) in [
        ("http://a/", "A:80"),
        ("https://a", "a:443"),
        ("http://a:80/", "a"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(forwarded_request(&head), (head.clone(), true), "{target}");
    }
}

#[test]
fn later_minor_versions_become_ours() {
    let came = "GET /x HTTP/1.2\r\nHost: a\r\nA:b\r\n\r\n";
    let goes = "GET /x HTTP/1.1\r\nHost: a\r\nA:b\r\n\r\n";
    assert_eq!(forwarded_request(came), (goes.to_owned(), false));
}

#[test]
fn targets_keep_their_octets() {
    let head = b"GET /\xff\xc3\xa4 HTTP/1.1\r\nHost: a\r\nA: \xff\r\nKeep-Alive: x\r\n\r\n";
    let mut out = Vec::new();
    request(head)
        .unwrap()
        .write_forwarded(head, &Edits::NONE, &mut out);
    assert_eq!(
        out,
        b"GET /\xff\xc3\xa4 HTTP/1.1\r\nHost: a\r\nA: \xff\r\n\r\n"
    );
}

#[test]
fn trailers_that_connection_names_go_no_further() {
    let body = b"0\r\nX-Hop: 1\r\nA: b\r\n\r\n";
    let fields = "Connection: close, x-hop\r\nTransfer-Encoding: chunked\r\n";
    let head = get(fields);
    let mut up = request(&head).unwrap().decoder(head.as_bytes());
    let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let mut down = response(&head, GET).unwrap().decoder(head.as_bytes());
    for decoder in [&mut up, &mut down] {
        let first = decoder.advance(body).unwrap();
        assert_eq!((first.forward, first.dropped), (3, 10));
        let rest = decoder.advance(&body[13..]).unwrap();
        assert_eq!((rest.forward, rest.dropped, rest.done), (8, 0, true));
    }
}

#[test]
fn edits_add_and_leave_out_what_is_end_to_end() {
    let remove: Vec<Box<str>> = [
        "cookie",
        "X-Gone",
        "HOST",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "upgrade",
        "te",
    ]
    .map(Box::from)
    .into();
    let edits = Edits {
        append: b"Via: 1.1 weir\r\nX: y\r\n",
        remove: &remove,
    };
    let came = "Cookie: a\r\nTE: trailers\r\nconnection:  te ,Upgrade\r\nx-gone: 1\r\n\
        Upgrade: foo\r\nX-Gone-Not: 2\r\nCOOKIE:\r\nContent-Length: 5\r\n";
    let goes = "TE: trailers\r\nconnection:  te ,Upgrade\r\nUpgrade: foo\r\nX-Gone-Not: 2\r\n\
        Content-Length: 5\r\nVia: 1.1 weir\r\nX: y\r\n";
    let head = get(came);
    let parsed = request(&head).unwrap();
    assert!(parsed.is_verbatim(&Edits::NONE) && !parsed.is_verbatim(&edits));
    let mut out = Vec::new();
    parsed.write_forwarded(head.as_bytes(), &edits, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), get(goes));

    let head = |fields| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let came = head("Set-Cookie: a\r\nX-Gone: b\r\nTransfer-Encoding: chunked\r\n");
    let parsed = response(&came, GET).unwrap();
    assert!(!parsed.is_verbatim(true, &edits));
    let mut out = Vec::new();
    parsed.write_forwarded(came.as_bytes(), false, &edits, &mut out);
    let goes = head(
        "Set-Cookie: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\
        Via: 1.1 weir\r\nX: y\r\n",
    );
    assert_eq!(String::from_utf8(out).unwrap(), goes);
}

#[test]
fn fields_can_be_asked_for() {
    let head = get("User-Agent:  x y \r\nuser-agent: z\r\n");
    let parsed = request(&head).unwrap();
    let field = |name| parsed.field(head.as_bytes(), name);
    assert_eq!(field("user-agent"), Some(&b"x y"[..]));
    assert_eq!(field("Referer"), None);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n";
    let parsed = response(head, GET).unwrap();
    assert_eq!(
        parsed.field(head.as_bytes(), "content-type"),
        Some(&b"a/b"[..])
    );
}
