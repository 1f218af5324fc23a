//! The transparency catalogue: responses, octet for octet at the client, and those that must not
//! come to it.

use weir_tests::{Connection, Family, GET, OK, Stage};

const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: lab\r\n\r\n";

/// Passed on as it is, and the next response begins where it ends.
#[track_caller]
fn arrives(stage: &Stage, family: Family, request: &str, response: &str) {
    let (mut client, mut origin) = stage.begin(family, request);
    origin.expect(request);
    origin.send(response).unwrap();
    client.expect(response);
    client.send(GET).unwrap();
    origin.expect(GET);
    origin.send(OK).unwrap();
    client.expect(OK);
}

/// Passed on as far as `passed`, and then the connection is over on both sides.
#[track_caller]
fn ends(stage: &Stage, family: Family, request: &str, response: &str, passed: &str) {
    let (mut client, mut origin) = stage.begin(family, request);
    origin.expect(request);
    origin.send(response).unwrap();
    client.expect_last(passed);
    origin.rest().unwrap();
    assert_eq!(
        origin.received(),
        request.as_bytes(),
        "nothing was asked for again"
    );
}

/// Refused: the client gets 502, and the origin is asked for nothing more.
#[track_caller]
fn refused(stage: &Stage, family: Family, request: &str, response: &str) {
    let (mut client, mut origin) = stage.begin(family, request);
    origin.expect(request);
    origin.send(response).unwrap();
    bad_gateway(&mut client, response);
    origin.rest().unwrap();
    assert_eq!(
        origin.received(),
        request.as_bytes(),
        "nothing was asked for again"
    );
}

#[track_caller]
fn bad_gateway(client: &mut Connection, response: &str) {
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 502 "), "{response:?}: {head}");
    assert!(
        head.contains("\r\nConnection: close\r\n"),
        "{response:?}: {head}"
    );
    let body = client.to_end().unwrap();
    assert!(body.ends_with(b"bad-response\n"), "{response:?}: {head}");
}

#[test]
fn bodies_end_where_their_framing_says() {
    let stage = Stage::new();
    let responses = [
        OK,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length:005\r\n\r\nhello",
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 \r\nContent-Length: 8\r\n\r\nHTTP/1.1",
        "HTTP/1.1 999 What?\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na;x\r\n0\r\n\r\nHTTP/\r\n0\r\nT: v\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
    ];
    for (response, family) in responses.iter().zip(Family::BOTH.into_iter().cycle()) {
        arrives(&stage, family, GET, response);
    }
}

#[test]
fn answers_to_head_have_no_body_whatever_they_say() {
    let stage = Stage::new();
    for (fields, family) in [
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "",
    ]
    .into_iter()
    .zip(Family::BOTH.into_iter().cycle())
    {
        arrives(
            &stage,
            family,
            HEAD,
            &format!("HTTP/1.1 200 OK\r\n{fields}\r\n"),
        );
    }
}

#[test]
fn bodies_to_the_close_end_with_it() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            for body in ["", "hello", OK] {
                let (mut client, mut origin) = stage.begin(family, GET);
                origin.expect(GET);
                origin.send(head).unwrap();
                origin.send(body).unwrap();
                client.expect(head);
                client.expect(body);
                origin.half_close().unwrap();
                client.expect_end();
                origin.expect_end();
            }
        }
    }
}

/// RFC 9112 §9.2: what stands behind a whole response is the answer to nothing.
#[test]
fn octets_behind_a_response_never_become_the_next_one() {
    let stage = Stage::new();
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let cases = [
        (GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 40\r\n\r\n",
        ),
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"),
        (
            HEAD,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (GET, OK),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ];
    for family in Family::BOTH {
        for (request, response) in cases {
            ends(
                &stage,
                family,
                request,
                &format!("{response}{evil}"),
                response,
            );
            ends(&stage, family, request, &format!("{response}x"), response);
        }
    }
}

/// The same, when they come later, while nothing is outstanding.
#[test]
fn octets_that_nobody_asked_for_end_the_connection() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send(OK).unwrap();
        client.expect(OK);
        origin.send(OK).unwrap();
        client.expect_end();
        origin.rest().unwrap();
        assert_eq!(origin.received(), GET.as_bytes());
    }
}

#[test]
fn framing_that_can_be_read_in_two_ways_never_arrives() {
    let stage = Stage::new();
    let fields = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length:",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 0",
        "Content-Length: \t5",
        "Content-Length: 9223372036854775808",
        "Content-Length: 18446744073709551621",
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Content-Length : 5",
        " Transfer-Encoding: chunked",
        "X: y\r\n Content-Length: 5",
        "X: y\nContent-Length: 5",
        "X: y\rContent-Length: 5",
        "Transfer-Encoding: chunked\0",
        "Content-Length\x0b: 5",
        "X: \x01",
        "no colon",
        "Content-Length: 5\r\nConnection: content-length",
    ];
    for (fields, family) in fields.iter().zip(Family::BOTH.into_iter().cycle()) {
        let response = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n0\r\n\r\n");
        refused(&stage, family, GET, &response);
    }
    let refusals = stage.weir.outcomes("bad-response");
    assert_eq!(refusals, fields.len() as u64);
}

#[test]
fn status_lines_are_read_strictly() {
    let stage = Stage::new();
    let lines = [
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "HTTP/1 200 OK",
        "HTTP/11 200 OK",
        "HTTP/1.1",
    ];
    for (line, family) in lines.iter().zip(Family::BOTH.into_iter().cycle()) {
        refused(
            &stage,
            family,
            GET,
            &format!("{line}\r\nContent-Length: 0\r\n\r\n"),
        );
    }
}

/// RFC 9110 §6.6.1 would have it added.
#[test]
fn no_date_is_made_up() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let response = "HTTP/1.1 200 OK\r\nServer: lab\r\nContent-Length: 2\r\n\r\nok";
        arrives(&stage, family, GET, response);
    }
}

/// A reason phrase is text; it is nobody's business but the client's.
#[test]
fn reason_phrases_arrive_as_they_are() {
    let stage = Stage::new();
    for (phrase, family) in ["OK", "", "  a\tb ", "caf\u{e9}", "200 HTTP/1.1"]
        .into_iter()
        .zip(Family::BOTH.into_iter().cycle())
    {
        let response = format!("HTTP/1.1 200 {phrase}\r\nContent-Length: 0\r\n\r\n");
        arrives(&stage, family, GET, &response);
    }
}

#[test]
fn a_head_that_the_origin_does_not_finish_is_no_answer() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send("HTTP/1.1 200 OK\r\nContent-Le").unwrap();
        origin.half_close().unwrap();
        bad_gateway(&mut client, "half a head");
        origin.rest().unwrap();
    }
}
