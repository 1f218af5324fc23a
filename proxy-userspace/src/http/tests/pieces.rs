//! Messages made of pieces, good and bad, for tests of properties.

use proptest::{
    prelude::{Strategy, any, prop},
    prop_oneof,
};

use crate::http::RequestContext;

/// Pieces of heads, good and bad, so that many of the heads made of them are accepted.
fn head_piece() -> impl Strategy<Value = Vec<u8>> {
    let common = prop::sample::select(vec![
        "A: b\r\n",
        "x-long-name:\t some  value \r\n",
        "Empty:\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Connection: x, TE\r\n",
        "X: y\r\n",
        "TE: trailers\r\n",
        "TE: gzip\r\n",
        "Keep-Alive: 5\r\n",
        "Proxy-Connection: a\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: h2c, foo\r\n",
        "Connection: Upgrade\r\n",
        "Expect: 100-continue\r\n",
    ]);
    let framing = prop::sample::select(vec![
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Host: a\r\n",
    ]);
    let odd = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        "Host : b\r\n",
        " folded\r\n",
        "\0",
        "A: b\n",
        "Content-Length: +5\r\n",
        "Connection: host\r\n",
        "Host: b c\r\n",
    ]);
    prop_oneof![
        12 => common.prop_map(|s| s.as_bytes().to_vec()),
        3 => framing.prop_map(|s| s.as_bytes().to_vec()),
        1 => odd.prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ]
}

fn head(lines: &[&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(lines.to_vec());
    (line, prop::collection::vec(head_piece(), 0..8))
        .prop_map(|(line, pieces)| [line.as_bytes(), &pieces.concat(), b"\r\n"].concat())
}

pub(super) fn request_head() -> impl Strategy<Value = Vec<u8>> {
    head(&[
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST /x?y HTTP/1.1\r\nhost:a:80\r\n",
        "HEAD http://a/ HTTP/1.1\r\nHost: a\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: b\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.0\r\n",
        "GET / HTTP/1.3\r\nHost: a\r\n",
        "GET / HTTP/2.0\r\n",
        "GET /\r\n",
        "GET / HTTP/1.1\r\n",
    ])
}

pub(super) fn response_head() -> impl Strategy<Value = Vec<u8>> {
    head(&[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 204\r\n",
        "HTTP/1.1 304 Not Modified\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n",
        "HTTP/1.1 103 Early Hints\r\n",
        "HTTP/1.4 404 \r\n",
        "HTTP/2 200\r\n",
    ])
}

pub(super) fn context() -> impl Strategy<Value = RequestContext> {
    (prop::array::uniform4(any::<bool>()), 0..=1u8).prop_map(
        |([head, connect, upgrade, persistent], minor)| RequestContext {
            head,
            connect,
            upgrade,
            minor,
            persistent,
        },
    )
}

pub(super) fn chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (
        prop::collection::vec(any::<u8>(), 1..40),
        "(;[a-z]{1,9}(=\"[a-z ]{1,9}\")?)?",
    )
        .prop_map(|(data, extension)| {
            let line = format!("{:x}{extension}\r\n", data.len());
            [line.as_bytes(), &data, b"\r\n"].concat()
        });
    let odd = prop::sample::select(vec![
        "\r\n",
        "\n",
        "-1\r\n",
        "1 \r\nx\r\n",
        "1;\0\r\nx\r\n",
        "1",
    ])
    .prop_map(|odd| odd.as_bytes().to_vec());
    let last = prop::sample::select(vec![
        "0\r\n\r\n",
        "00;x\r\n\r\n",
        "0\r\nA: b\r\n\r\n",
        "0\r\n\n",
        "0\r\nHost: a\r\n\r\n",
        "0\r\nKeep-Alive: 5\r\nB: c\r\nA: b\r\n\r\n",
        "0\r\n",
        "",
    ]);
    let pieces = prop::collection::vec(prop_oneof![15 => chunk, 1 => odd], 0..6);
    (pieces, last, prop::collection::vec(any::<u8>(), 0..5))
        .prop_map(|(pieces, last, rest)| [&pieces.concat(), last.as_bytes(), &rest].concat())
}
