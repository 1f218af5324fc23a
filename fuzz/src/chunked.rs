//! Chunked bodies: one verdict however the bytes arrive, the end where a plain reader of
//! RFC 9112 §7.1 has it, nothing behind it touched, and nothing that was to be dropped in what
//! goes on.

use proxy_userspace::http::{
    BodyDecoder, BodyError, RequestContext, parse_request, parse_response,
};

use crate::{
    body::{Relayed, relay},
    plain::{Plain, read_chunked},
    setup::{LIMITS, cuts},
};

/// Panics where it does not hold for `input`.
pub fn run(input: &[u8]) {
    let Some((&seed, body)) = input.split_first() else {
        return;
    };
    let relayed = verdict(forwarding, body, seed);
    let content = verdict(unwrapping, body, seed);
    // Both take the coding for whole, or neither does, and both see the same.
    let (Ok(relayed), Ok(content)) = (relayed, content) else {
        assert!(verdict(unwrapping, body, seed).is_err());
        assert!(verdict(forwarding, body, seed).is_err());
        return;
    };
    let ends = |of: &Relayed| (of.consumed, of.payload, of.done);
    assert_eq!(ends(&relayed), ends(&content));

    match read_chunked(body) {
        Plain::Complete {
            len,
            content: plain,
        } => {
            assert!(relayed.done);
            assert_eq!(len, relayed.consumed);
            assert_eq!(plain, content.out, "all of the content and nothing else");
        }
        Plain::Incomplete => assert!(!relayed.done),
        Plain::Malformed => panic!("a plain reader takes it for malformed"),
    }
    match read_chunked(&relayed.out) {
        Plain::Complete {
            len,
            content: plain,
        } => {
            assert!(relayed.done);
            assert_eq!(len, relayed.out.len());
            assert_eq!(plain, content.out);
            nothing_leaks(&body[..relayed.consumed], &relayed.out);
        }
        Plain::Incomplete => assert!(!relayed.done, "what goes on has lost its end"),
        Plain::Malformed => panic!("what goes on is malformed"),
    }
    // What goes on once more goes on as it is.
    let again = verdict(forwarding, &relayed.out, seed).expect("it was accepted before");
    assert_eq!(again.out, relayed.out);
    if relayed.done {
        let len = relayed.consumed;
        let cut = relay(forwarding(), &body[..len - 1], [len - 1], false);
        assert!(!cut.unwrap().done);
        let followed = [&body[..len], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(verdict(forwarding, &followed, seed), Ok(relayed));
    }
}

/// The one verdict however `body` arrives.
fn verdict(decoder: fn() -> BodyDecoder, body: &[u8], seed: u8) -> Result<Relayed, BodyError> {
    let len = body.len();
    let whole = relay(decoder(), body, [len], false);
    assert_eq!(relay(decoder(), body, 0..=len, false), whole, "bytewise");
    assert_eq!(relay(decoder(), body, cuts(len, seed), false), whole);
    assert_eq!(relay(decoder(), body, cuts(len, seed), true), whole, "past");
    whole
}

/// The decoder of a body that stays chunked, without trailer fields of the connection's.
fn forwarding() -> BodyDecoder {
    let head =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: a, Hop\r\n\r\n";
    let parsed = parse_request(head, &LIMITS).unwrap().unwrap();
    parsed.decoder(head)
}

/// The decoder of a body that a client of HTTP/1.0 gets.
fn unwrapping() -> BodyDecoder {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let old = RequestContext::default();
    let parsed = parse_response(head, &LIMITS, &old).unwrap().unwrap();
    parsed.decoder(head)
}

/// Of the trailers that came, all go but those that are the next hop's business.
fn nothing_leaks(came: &[u8], goes: &[u8]) {
    let hop = [
        "a",
        "hop",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
    ];
    let rest: Vec<&[u8]> = trailers(came)
        .filter(|line| {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            !hop.iter()
                .any(|hop| name.eq_ignore_ascii_case(hop.as_bytes()))
        })
        .collect();
    assert_eq!(trailers(goes).collect::<Vec<_>>(), rest);
}

/// The trailer lines of a complete body, from its end: content may look like anything.
fn trailers(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    loop {
        let line = body[at..].split(|&byte| byte == b'\r').next().unwrap();
        at += line.len() + 2;
        let digits = line.split(|&byte| byte == b';').next().unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        at += size + 2;
    }
    body[at..].split(|&byte| byte == b'\n')
}
