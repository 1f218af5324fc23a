//! The transparency catalogue: heads arrive as they were sent, but for what is the next hop's
//! business only.

use weir_tests::{Family, GET, OK, Stage};

/// What the origin receives of a request, and the client of a response.
#[track_caller]
fn forwarded(stage: &Stage, family: Family, sent: [&str; 2], received: [&str; 2]) {
    let (mut client, mut origin) = stage.begin(family, sent[0]);
    origin.expect(received[0]);
    origin.send(sent[1]).unwrap();
    client.expect(received[1]);
    origin.half_close().unwrap();
    client.expect_end();
}

#[track_caller]
fn verbatim(stage: &Stage, family: Family, request: &str, response: &str) {
    forwarded(stage, family, [request, response], [request, response]);
}

#[test]
fn order_case_and_spacing_of_fields_are_kept() {
    let stage = Stage::new();
    let request = "GET /a%20b/../c?d=e&&f#g HTTP/1.1\r\nx-FIRST:1\r\nhOsT:\tlab \r\nAccept:   */*\r\n\
                   X-Twice: 1\r\nB: 2\r\nX-Twice:  2   3 \r\nx-empty:\r\nx-blank:   \r\n\
                   Cookie: a=b; c=d\r\ncookie: e\r\n\r\n";
    let response = "HTTP/1.1 200 Fine  by me\r\nset-COOKIE:a=b\r\nX-Twice: 1\r\nSet-Cookie: c=d\r\n\
                    content-LENGTH: 0\r\nX-Twice: 0\r\nServer:\r\nDate:  never\r\n\r\n";
    for family in Family::BOTH {
        verbatim(&stage, family, request, response);
    }
}

/// RFC 9110 §5.5: octets beyond ASCII are opaque.
#[test]
fn octets_beyond_ascii_are_kept() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let mut request = b"GET / HTTP/1.1\r\nHost: lab\r\nX: ".to_vec();
        let mut response = b"HTTP/1.1 200 \xe4\r\nContent-Length: 0\r\nX: ".to_vec();
        for head in [&mut request, &mut response] {
            head.extend(0x80..=0xff_u8);
            head.extend_from_slice(b"\tend\r\n\r\n");
        }
        let (mut client, mut origin) = stage.begin(family, &request);
        origin.expect(&request);
        origin.send(&response).unwrap();
        client.expect(&response);
    }
}

#[test]
fn targets_keep_their_octets() {
    let stage = Stage::new();
    let targets = [
        "/",
        "//",
        "/..//./%2e%2E/%00",
        "/?",
        "/?a=b?c",
        "/a;b=c,d",
        "/#frag",
        "/\"<>\\^`{|}",
        "http://lab/x",
        "/%zz",
    ];
    for (target, family) in targets.into_iter().zip(Family::BOTH.into_iter().cycle()) {
        verbatim(
            &stage,
            family,
            &format!("GET {target} HTTP/1.1\r\nHost: lab\r\n\r\n"),
            OK,
        );
    }
}

#[test]
fn long_lines_and_many_fields_arrive() {
    let stage = Stage::new();
    let long = "x".repeat(30_000);
    let request = format!("GET /{long} HTTP/1.1\r\nHost: lab\r\nCookie: {long}\r\n\r\n");
    let response =
        format!("HTTP/1.1 200 OK\r\nX: {long}\r\nY: {long}\r\nContent-Length: 0\r\n\r\n");
    let many: String = (0..126)
        .map(|number| format!("N{number}: {number}\r\n"))
        .collect();
    for family in Family::BOTH {
        verbatim(&stage, family, &request, &response);
        verbatim(
            &stage,
            family,
            &format!("GET / HTTP/1.1\r\nHost: lab\r\n{many}\r\n"),
            &format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{many}\r\n"),
        );
    }
}

/// RFC 9110 §7.6.1.
#[test]
fn connection_level_fields_go_no_further() {
    let stage = Stage::new();
    let cases = [
        // What Connection names, wherever it stands; the rest keeps its place.
        (
            "X-Hop: 1\r\nA: b\r\nConnection: keep-alive, X-Hop\r\nx-hop: 2\r\nC: d\r\n",
            "A: b\r\nConnection: keep-alive\r\nC: d\r\n",
        ),
        ("Connection: x-hop\r\nX-Hop: 1\r\nA: b\r\n", "A: b\r\n"),
        ("Connection: x-hop\r\nX-Hop-Not: 1\r\n", "X-Hop-Not: 1\r\n"),
        // What is of the hop by its nature.
        ("Keep-Alive: timeout=5\r\nA: b\r\n", "A: b\r\n"),
        ("Proxy-Connection: keep-alive\r\nA: b\r\n", "A: b\r\n"),
    ];
    for ((sent, left), family) in cases.iter().zip(Family::BOTH.into_iter().cycle()) {
        forwarded(
            &stage,
            family,
            [
                &format!("GET / HTTP/1.1\r\nHost: lab\r\n{sent}\r\n"),
                &format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{sent}\r\n"),
            ],
            [
                &format!("GET / HTTP/1.1\r\nHost: lab\r\n{left}\r\n"),
                &format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{left}\r\n"),
            ],
        );
    }
}

/// RFC 9110 §10.1.4: `trailers` is all of TE that goes on, and Connection names it.
#[test]
fn te_goes_on_as_trailers() {
    let stage = Stage::new();
    let cases = [
        (
            "TE: trailers\r\nConnection: TE\r\n",
            "TE: trailers\r\nConnection: TE\r\n",
        ),
        (
            "TE: gzip, trailers;q=0.5, trailers\r\nConnection: TE\r\n",
            "TE: trailers\r\nConnection: TE\r\n",
        ),
        ("TE: gzip\r\nConnection: TE\r\n", ""),
    ];
    for ((sent, left), family) in cases.iter().zip(Family::BOTH.into_iter().cycle()) {
        let request = format!("GET / HTTP/1.1\r\nHost: lab\r\n{sent}\r\n");
        let left = format!("GET / HTTP/1.1\r\nHost: lab\r\n{left}\r\n");
        forwarded(&stage, family, [&request, OK], [&left, OK]);
    }
}

/// No HTTP goes past the codec.
#[test]
fn h2c_is_not_passed_on() {
    let stage = Stage::new();
    let cases = [
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            "",
        ),
        (
            "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
        ),
        ("Connection: upgrade\r\nUpgrade: h2c-14, H2C\r\n", ""),
        // Not named in Connection: nobody has asked (RFC 9110 §7.8).
        ("Upgrade: websocket\r\n", ""),
    ];
    for ((sent, left), family) in cases.iter().zip(Family::BOTH.into_iter().cycle()) {
        let request = format!("GET / HTTP/1.1\r\nHost: lab\r\n{sent}\r\n");
        let left = format!("GET / HTTP/1.1\r\nHost: lab\r\n{left}\r\n");
        forwarded(&stage, family, [&request, OK], [&left, OK]);
    }
}

/// RFC 9110 §2.5: later minor versions are 1.1 to the next hop. 1.0 stays 1.0, so that the origin
/// uses nothing that the client cannot read.
#[test]
fn versions() {
    let stage = Stage::new();
    for (family, minor) in Family::BOTH.into_iter().zip([2, 9]) {
        forwarded(
            &stage,
            family,
            [
                &format!("GET / HTTP/1.{minor}\r\nHost: lab\r\n\r\n"),
                &format!("HTTP/1.{minor} 200 OK\r\nContent-Length: 0\r\n\r\n"),
            ],
            [GET, OK],
        );
        verbatim(&stage, family, "GET / HTTP/1.0\r\n\r\n", OK);
        verbatim(&stage, family, "GET / HTTP/1.0\r\nHost: lab\r\n\r\n", OK);
    }
}

/// Neither side is told of us, unless the operator wants it.
#[test]
fn nothing_is_added() {
    let stage = Stage::new();
    let request = "GET / HTTP/1.1\r\nHost: lab\r\nVia: 1.0 somebody\r\nForwarded: for=1.2.3.4\r\n\
                   X-Forwarded-For: 1.2.3.4\r\nMax-Forwards: 3\r\nProxy-Authorization: x\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\nVia: 1.1 somebody\r\nContent-Length: 0\r\nAge: 1\r\n\r\n";
    for family in Family::BOTH {
        verbatim(&stage, family, request, response);
        verbatim(&stage, family, GET, OK);
    }
}
