//! The transparency catalogue: requests, octet for octet at the origin, and those that must not
//! come to one.

use weir_tests::{Family, GET, OK, Stage};

/// Forwarded as it is, and the next request begins where it ends.
#[track_caller]
fn arrives(stage: &Stage, family: Family, request: &str) {
    let (mut client, mut origin) = stage.begin(family, format!("{request}{GET}"));
    origin.expect(request);
    origin.send(OK).unwrap();
    origin.expect(GET);
    origin.send(OK).unwrap();
    client.expect(format!("{OK}{OK}"));
    client.half_close().unwrap();
    origin.expect_end();
    client.expect_end();
}

/// Refused with this status, and whatever stands behind it is not looked at.
#[track_caller]
fn refused(stage: &Stage, family: Family, request: &str, status: u16) {
    let mut client = stage.client(family);
    // Malformed heads may be refused before their end, and nothing is read then.
    let _ = client.send(format!("{request}{GET}"));
    let head = client.head();
    let line = format!("HTTP/1.1 {status} ");
    assert!(head.starts_with(&line), "{request:?}: {head}");
    assert!(
        head.contains("\r\nConnection: close\r\n"),
        "{request:?}: {head}"
    );
    let body = client.to_end().unwrap();
    assert!(body.starts_with(b"weir: "), "one answer: {request:?}");
}

#[test]
fn bodies_end_where_their_framing_says() {
    let stage = Stage::new();
    let post = "POST /a?b HTTP/1.1\r\nHost: lab\r\n";
    let requests = [
        GET.to_owned(),
        format!("{post}\r\n"),
        format!("{post}Content-Length: 0\r\n\r\n"),
        format!("{post}Content-Length: 5\r\n\r\nhello"),
        format!("{post}content-length:005\r\n\r\nhello"),
        format!("{post}CONTENT-LENGTH:   5  \r\n\r\nGET /"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding:CHUNKED\r\n\r\n5\r\nhello\r\n00\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\nA\r\n0\r\n\r\nGET /\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nT: v\r\n\r\n"),
        "DELETE / HTTP/1.1\r\nHost: lab\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        "GET / HTTP/1.1\r\nHost: lab\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: lab\r\n\r\n".to_owned(),
        "BREW /pot HTTP/1.1\r\nHost: lab\r\nContent-Length: 1\r\n\r\nx".to_owned(),
    ];
    for (request, family) in requests.iter().zip(Family::BOTH.into_iter().cycle()) {
        arrives(&stage, family, request);
    }
}

/// RFC 9112 §3.2.4 would have the first one turned into the second. No Max-Forwards is made up
/// (RFC 9110 §9.3.7).
#[test]
fn targets_of_options_keep_their_form() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for target in ["http://lab", "*", "http://lab/", "/"] {
            let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: lab\r\n\r\n");
            arrives(&stage, family, &request);
        }
    }
}

/// RFC 9110 §13.2.1: whoever neither is the origin nor has a cache judges none of them.
#[test]
fn conditions_are_the_origins_to_judge() {
    let stage = Stage::new();
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let conditions = format!(
        "If-Match: \"a\", W/\"b\"\r\nIf-None-Match: *\r\nIf-Modified-Since: {date}\r\n\
         If-Unmodified-Since: {date}\r\nRange: bytes=0-1\r\nIf-Range: \"a\"\r\n"
    );
    for family in Family::BOTH {
        let request = format!("GET / HTTP/1.1\r\nHost: lab\r\n{conditions}\r\n");
        arrives(&stage, family, &request);
    }
}

#[test]
fn framing_that_can_be_read_in_two_ways_never_arrives() {
    let stage = Stage::new();
    let fields = [
        // Both fields, in either order.
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "content-length: 5\r\nX: y\r\ntRANSFER-eNCODING: chunked",
        "Transfer-Encoding: identity\r\nContent-Length: 5",
        // Repeated, equal or not.
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        // No decimal number, or one that does not fit everybody's.
        "Content-Length:",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 0",
        "Content-Length: 5;",
        "Content-Length: 5.0",
        "Content-Length: \t5",
        "Content-Length: 9223372036854775808",
        "Content-Length: 18446744073709551621",
        // No coding that ends with chunked, or one that only some take for it.
        "Transfer-Encoding:",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: \tchunked",
        // Seen by one reader and not by the next.
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Content-Length : 5",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\r\n\tContent-Length: 5",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\x0c",
        "Transfer-Encoding: chunked\0",
        "Content-Length\0: 5",
        // Taken away on the way.
        "Content-Length: 5\r\nConnection: content-length",
        "Transfer-Encoding: chunked\r\nConnection: close, transfer-encoding",
    ];
    for (fields, family) in fields.iter().zip(Family::BOTH.into_iter().cycle()) {
        let request = format!("POST / HTTP/1.1\r\nHost: lab\r\n{fields}\r\n\r\n0\r\n\r\n");
        refused(&stage, family, &request, 400);
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(&stage, Family::V4, old, 400);
    let coded = "POST / HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    refused(&stage, Family::V6, coded, 501);
    stage.expect_nobody(Family::V4);
    stage.expect_nobody(Family::V6);
}

#[test]
fn lines_that_can_be_divided_in_two_ways_never_arrive() {
    let stage = Stage::new();
    let requests = [
        "GET / HTTP/1.1\nHost: lab\n\n",
        "GET / HTTP/1.1\r\nHost: lab\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\n\n",
        "GET / HTTP/1.1\r\nHost: lab\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\nX: a\x1fb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\nX: a\x7fb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: lab\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\nX y: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\nX : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\nX(y): a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: lab\r\n\u{e4}: a\r\n\r\n",
    ];
    for (request, family) in requests.iter().zip(Family::BOTH.into_iter().cycle()) {
        refused(&stage, family, request, 400);
    }
    stage.expect_nobody(Family::V4);
    stage.expect_nobody(Family::V6);
}

#[test]
fn request_lines_are_read_strictly() {
    let stage = Stage::new();
    let lines = [
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET\t/ HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("\r\n\r\nGET / HTTP/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET /\x0b HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1", 400),
        ("GET / HTTP/1.1.1", 400),
        ("GET / HTTP/01.1", 400),
        ("GET /", 400),
        ("GET lab/ HTTP/1.1", 400),
        ("head / HTTP/1.1", 400),
        ("CONNECT / HTTP/1.1", 400),
        ("CONNECT lab HTTP/1.1", 400),
        ("GET http://user@lab/ HTTP/1.1", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/9.9", 505),
    ];
    for ((line, status), family) in lines.iter().zip(Family::BOTH.into_iter().cycle()) {
        refused(
            &stage,
            family,
            &format!("{line}\r\nHost: lab\r\n\r\n"),
            *status,
        );
    }
    stage.expect_nobody(Family::V4);
    stage.expect_nobody(Family::V6);
}

/// RFC 9112 §2.2: one empty line before the request line is nothing. It is not passed on.
#[test]
fn an_empty_line_before_a_request_is_dropped() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, format!("\r\n{GET}\r\n{GET}"));
        for _ in 0..2 {
            origin.expect(GET);
            origin.send(OK).unwrap();
            client.expect(OK);
        }
    }
}

#[test]
fn host_is_there_once_and_valid() {
    let stage = Stage::new();
    let cases = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:port\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
    ];
    for (request, family) in cases.iter().zip(Family::BOTH.into_iter().cycle()) {
        refused(&stage, family, request, 400);
    }
    stage.expect_nobody(Family::V4);
    stage.expect_nobody(Family::V6);
    for host in ["", "lab:80", "[fd77:2::2]:80", "LAB.example", "a_b"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        arrives(&stage, Family::V6, &request);
    }
}

#[test]
fn the_good_request_before_a_bad_one_is_answered_first() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let bad = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: x\r\n\r\n";
        let (mut client, mut origin) = stage.begin(family, format!("{GET}{bad}{GET}"));
        origin.expect(GET);
        origin.send(OK).unwrap();
        client.expect(OK);
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        client.to_end().unwrap();
        origin.expect_end();
    }
}
