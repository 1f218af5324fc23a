//! What is written in place of a response's head that came.

use super::{GET, response};
use crate::http::{Edits, RequestContext};

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

#[test]
fn later_minor_versions_become_ours() {
    let came = "HTTP/1.9 200 Fine\r\nContent-Length: 0\r\n\r\n";
    let goes = "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        forwarded_response(came, GET, true),
        (goes.to_owned(), false)
    );
}
