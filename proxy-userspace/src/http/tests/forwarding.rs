//! What is written in place of a head that came.

use super::{GET, get, request, response};
use crate::http::{Edits, RequestContext};

fn forwarded_request(head: &str) -> (String, bool) {
    let parsed = request(head).unwrap();
    let mut out = Vec::new();
    parsed.write_forwarded(head.as_bytes(), &Edits::NONE, &mut out);
    (
        String::from_utf8(out).unwrap(),
        parsed.is_verbatim(&Edits::NONE),
    )
}

fn forwarded_response(head: &str, context: RequestContext, persistent: bool) -> (String, bool) {
    let parsed = response(head, context).unwrap();
    let mut out = Vec::new();
    parsed.write_forwarded(head.as_bytes(), persistent, &Edits::NONE, &mut out);
    (
        String::from_utf8(out).unwrap(),
        parsed.is_verbatim(persistent, &Edits::NONE),
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
fn max_forwards_is_one_less() {
    for method in ["TRACE", "OPTIONS"] {
        for (came, goes) in [
            ("1", "0"),
            ("010", "9"),
            ("99999999999999999999", "9223372036854775806"),
        ] {
            let head = |left| {
                format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-FORWARDS: {left}\r\nA: b\r\n\r\n")
            };
            assert_eq!(
                forwarded_request(&head(came)),
                (head(goes), false),
                "{came}"
            );
        }
    }
    let head = get("Max-Forwards: 1\r\n");
    assert_eq!(forwarded_request(&head), (head.clone(), true));
}

#[test]
fn later_minor_versions_become_ours() {
    let came = "GET /x HTTP/1.2\r\nHost: a\r\nA:b\r\n\r\n";
    let goes = "GET /x HTTP/1.1\r\nHost: a\r\nA:b\r\n\r\n";
    assert_eq!(forwarded_request(came), (goes.to_owned(), false));
    let came = "HTTP/1.9 200 Fine\r\nContent-Length: 0\r\n\r\n";
    let goes = "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        forwarded_response(came, GET, true),
        (goes.to_owned(), false)
    );
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
fn responses_that_persist() {
    let same = [
        "HTTP/1.1 200 OK\r\ncontent-length:0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 426 X\r\nContent-Length: 0\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
        // Ends with the connection, as everybody can see.
        "HTTP/1.1 200 OK\r\n\r\n",
    ];
    for head in same {
        assert_eq!(
            forwarded_response(head, GET, true),
            (head.to_owned(), true),
            "{head:?}"
        );
    }
    let came = "HTTP/1.1 200 OK\r\nConnection: keep-alive, x\r\nKeep-Alive: timeout=5\r\nX: y\r\n\
        Proxy-Connection: x\r\nUpgrade: h2,h2c\r\nContent-Length: 0\r\n\r\n";
    let goes = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        forwarded_response(came, GET, true),
        (goes.to_owned(), false)
    );
    let came = "HTTP/1.1 200 OK\r\nTE: trailers\r\nContent-Length: 0\r\n\r\n";
    let goes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        forwarded_response(came, GET, true),
        (goes.to_owned(), false)
    );
    let came = "HTTP/1.1 200 OK\r\nUpgrade: h2,h2c\r\nConnection: Upgrade\r\n\
        Content-Length: 0\r\n\r\n";
    let goes = "HTTP/1.1 200 OK\r\nUpgrade: h2\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        forwarded_response(came, GET, true),
        (goes.to_owned(), false)
    );
}

#[test]
fn responses_that_end_the_connection() {
    let cases = [
        (
            "1.1 200",
            "Content-Length: 0\r\nA: b\r\n",
            "Content-Length: 0\r\nA: b\r\nConnection: close\r\n",
        ),
        (
            "1.1 200",
            "Connection: keep-alive\r\nContent-Length: 0\r\n",
            "Connection: close\r\nContent-Length: 0\r\n",
        ),
        (
            "1.1 200",
            "Connection: keep-alive\r\n",
            "Connection: close\r\n",
        ),
        ("1.1 200", "A: b\r\n", "A: b\r\n"),
        ("1.1 100", "", ""),
        ("1.1 204", "", "Connection: close\r\n"),
    ];
    for (line, came, goes) in cases {
        let head = |fields: &str| format!("HTTP/{line} X\r\n{fields}\r\n");
        let expected = (head(goes), came == goes);
        assert_eq!(
            forwarded_response(&head(came), GET, false),
            expected,
            "{line} {came:?}"
        );
    }
}

#[test]
fn clients_of_1_0_know_no_transfer_coding() {
    let old = RequestContext { minor: 0, ..GET };
    let came = "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n";
    let goes = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    assert_eq!(
        forwarded_response(came, old, true),
        (goes.to_owned(), false)
    );
    let stays = "HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive\r\n\r\n";
    let head = response(came, old).unwrap();
    let mut body = head.decoder(came.as_bytes());
    assert!(body.advance(b"5\r\n").is_ok_and(|p| p.dropped == 3));
    assert!(
        body.advance(b"hello\r\n0\r\nX: y\r\n\r\n")
            .is_ok_and(|p| p.forward == 5 && p.done)
    );
    // A response to HEAD says how the body would be coded.
    let context = RequestContext { head: true, ..old };
    assert_eq!(
        forwarded_response(came, context, true),
        (stays.to_owned(), false)
    );
    // Without the field, nobody would know of these.
    for coding in ["gzip, chunked", "gzip"] {
        let came = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n");
        assert_eq!(response(&came, old).unwrap_err().status, 502, "{coding}");
        assert!(response(&came, context).is_ok(), "{coding}");
    }
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
    let came = "Cookie: a\r\nTE: trailers\r\nConnection: upgrade, TE\r\nx-gone: 1\r\n\
        Upgrade: foo\r\nX-Gone-Not: 2\r\nCOOKIE:\r\nContent-Length: 5\r\n";
    let goes = "TE: trailers\r\nConnection: upgrade, TE\r\nUpgrade: foo\r\nX-Gone-Not: 2\r\n\
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

/// An answer of HTTP/1.0 goes on as one of 1.1; whether the connection stays up is said in words
/// where the version has said it.
#[test]
fn both_sides_agree_whether_the_connection_stays() {
    let old = RequestContext { minor: 0, ..GET };
    let ended = |context| RequestContext {
        persistent: false,
        ..context
    };
    const LENGTH: &str = "Content-Length: 0\r\n";
    const STAYS: &str = "Connection: keep-alive\r\nContent-Length: 0\r\n";
    const CLOSES: &str = "Connection: close\r\nContent-Length: 0\r\n";
    const STAYS_BEHIND: &str = "Content-Length: 0\r\nConnection: keep-alive\r\n";
    const CLOSES_BEHIND: &str = "Content-Length: 0\r\nConnection: close\r\n";
    const ANSWER_UPGRADE: &str = "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n";
    let cases = [
        // A client of 1.1 that would go on.
        (GET, "1.0", LENGTH, CLOSES_BEHIND),
        (GET, "1.0", STAYS, STAYS),
        (GET, "1.0", CLOSES, CLOSES),
        (GET, "1.0", "A: b\r\n", "A: b\r\n"),
        (
            GET,
            "1.0",
            "Connection: keep-alive\r\n",
            "Connection: close\r\n",
        ),
        (GET, "1.1", LENGTH, LENGTH),
        (GET, "1.1", STAYS, STAYS),
        // One that ends the connection and knows it.
        (ended(GET), "1.0", LENGTH, CLOSES_BEHIND),
        (ended(GET), "1.0", STAYS, CLOSES),
        (ended(GET), "1.1", LENGTH, LENGTH),
        (ended(GET), "1.1", STAYS, CLOSES),
        (ended(GET), "1.1", CLOSES, CLOSES),
        (
            ended(GET),
            "1.1",
            ANSWER_UPGRADE,
            "Connection: close, upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n",
        ),
        // A client of 1.0 has to be told that its wish is granted.
        (old, "1.0", LENGTH, CLOSES_BEHIND),
        (old, "1.0", STAYS, STAYS),
        (old, "1.1", LENGTH, STAYS_BEHIND),
        (old, "1.1", STAYS, STAYS),
        (old, "1.1", CLOSES, CLOSES),
        (old, "1.1", "A: b\r\n", "A: b\r\n"),
        (ended(old), "1.0", LENGTH, CLOSES_BEHIND),
        (ended(old), "1.0", STAYS, CLOSES),
        (ended(old), "1.1", LENGTH, LENGTH),
        (ended(old), "1.1", STAYS, CLOSES),
    ];
    for (context, version, came, goes) in cases {
        let head = |version, fields: &str| format!("HTTP/{version} 200 X\r\n{fields}\r\n");
        let expected = (head("1.1", goes), version == "1.1" && came == goes);
        assert_eq!(
            forwarded_response(&head(version, came), context, true),
            expected,
            "{context:?} {version} {came:?}"
        );
    }
}

#[test]
fn switching_protocols_says_so() {
    let context = RequestContext {
        upgrade: true,
        ..GET
    };
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
    for persistent in [true, false] {
        assert_eq!(
            forwarded_response(head, context, persistent),
            (head.to_owned(), true)
        );
    }
    let connect = RequestContext {
        connect: true,
        ..GET
    };
    let head = "HTTP/1.1 200 Connection established\r\n\r\n";
    assert_eq!(
        forwarded_response(head, connect, false),
        (head.to_owned(), true)
    );
}
