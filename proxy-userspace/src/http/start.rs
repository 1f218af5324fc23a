//! Can the first bytes of a connection begin an HTTP/1 request, can those of an answer begin a
//! response?

use crate::http::syntax::{is_text_byte, is_token_byte};

/// What the bytes so far allow to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing yet: they are a prefix of both.
    NeedMore,
    /// A request, or what a lenient reader would take for one:
    /// [`parse_request`](super::parse_request) has the next word.
    Http {
        /// Bytes to drop before the request line: one empty line (RFC 9112 §2.2), or none.
        skip: usize,
    },
    /// The preface of HTTP/2 with prior knowledge (RFC 9113 §3.4). As a request it would be
    /// refused: [`parse_request`](super::parse_request) says 505.
    Http2,
    /// No reader of HTTP/1 could take this for a request.
    NotHttp,
}

/// What the bytes so far of an origin's answer allow to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseStart {
    /// Nothing yet: they are a prefix of both. At the end of the stream it is as
    /// [`NotHttp`](Self::NotHttp); an origin that says so little and waits is for the caller's
    /// patience.
    NeedMore,
    /// A response, or what a lenient reader would take for one:
    /// [`parse_response`](super::parse_response) has the next word.
    Http,
    /// No reader could take this for a response of HTTP/1: ICY, HTTP/0.9, another protocol.
    NotHttp,
}

/// Longest method that we take for one, bytes. The longest registered one has 17
/// (`UPDATEREDIRECTREF`).
pub(super) const MAX_METHOD: usize = 32;

/// By how many bytes it is decided at the latest: what could still begin a request then is for
/// the head parser to refuse. As long a request line as readers commonly take.
const MAX_UNDECIDED: usize = 8 * 1024;

/// What begins an HTTP/2 connection with prior knowledge (RFC 9113 §3.4), as far as it looks like
/// a request line of HTTP/1.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Decides on `buf`, all the bytes of a connection so far, as early as can be.
///
/// Only what *cannot* begin a request is [`Start::NotHttp`] and may be tunnelled. A malformed
/// request must not become a tunnel, or the origin would read a request that we did not. And
/// origins are lenient: they skip empty lines and whitespace before the method, and take runs of
/// whitespace, VT, FF and a bare CR among it, for the space behind it (RFC 9112 §2.2, §3).
///
/// Also good for the later requests of a connection, where it tells whether an empty line has to
/// be dropped; what is not HTTP there is for the head parser to refuse.
#[must_use]
pub fn classify(buf: &[u8]) -> Start {
    if !buf.is_empty() && is_prefix_of_either(buf, HTTP2_PREFACE) {
        return if buf.len() < HTTP2_PREFACE.len() {
            Start::NeedMore
        } else {
            Start::Http2
        };
    }
    if buf.len() >= MAX_UNDECIDED && lenient(&buf[..MAX_UNDECIDED]).is_none() {
        return Start::Http { skip: 0 };
    }
    match lenient(buf) {
        None => Start::NeedMore,
        Some(false) => Start::NotHttp,
        Some(true) => {
            let skip = if buf.starts_with(b"\r\n") { 2 } else { 0 };
            Start::Http { skip }
        }
    }
}

/// Decides on `buf`, all the bytes of an answer so far, as early as can be.
///
/// Only what *cannot* begin a response is [`ResponseStart::NotHttp`] and may go on unread.
/// Readers skip empty lines and whitespace before the status line, take `http` in any letter
/// case, without the slash too, and browsers pass over a few octets of junk before it.
///
/// For the first answer of a connection, or to bytes that nobody asked for: behind another one,
/// what is no HTTP is for the parser to refuse.
#[must_use]
pub fn classify_response(buf: &[u8]) -> ResponseStart {
    let start = skip_while(buf, |byte| is_lenient_space(byte) || byte == b'\n');
    if buf.len() - start.len() >= MAX_UNDECIDED {
        return ResponseStart::Http;
    }
    for junk in 0..=MAX_JUNK {
        let Some(rest) = start.get(junk..).filter(|rest| !rest.is_empty()) else {
            return ResponseStart::NeedMore;
        };
        let word = &rest[..rest.len().min(PROTOCOL.len())];
        if word.eq_ignore_ascii_case(&PROTOCOL[..word.len()]) {
            return if word.len() < PROTOCOL.len() {
                ResponseStart::NeedMore
            } else {
                ResponseStart::Http
            };
        }
    }
    ResponseStart::NotHttp
}

/// What every status line begins with, for readers of all kinds.
const PROTOCOL: &[u8] = b"HTTP";

/// So many octets before a status line are passed over by some reader: Firefox looks for it at
/// the first 11 places, Chromium at the first 5.
const MAX_JUNK: usize = 10;

/// Might somebody read a request in `buf`? `None` if more is needed to tell.
fn lenient(buf: &[u8]) -> Option<bool> {
    let line = skip_while(buf, |byte| is_lenient_space(byte) || byte == b'\n');
    let rest = skip_while(line, is_token_byte);
    let target = skip_while(rest, is_lenient_space);
    match target {
        // Without a method, or with nothing between it and what follows.
        [_, ..] if rest.len() == line.len() || target.len() == rest.len() => Some(false),
        // A line end behind the method: there is no target.
        [b'\n', ..] => Some(false),
        [byte, ..] => Some(is_text_byte(*byte)),
        [] => None,
    }
}

fn skip_while(bytes: &[u8], skipped: impl Fn(u8) -> bool) -> &[u8] {
    let count = bytes.iter().take_while(|&&byte| skipped(byte)).count();
    &bytes[count..]
}

/// What readers that split a request line at whitespace take for it (RFC 9112 §3).
const fn is_lenient_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

/// Do `left` and `right` agree as far as the shorter one goes?
fn is_prefix_of_either(left: &[u8], right: &[u8]) -> bool {
    left.iter().zip(right).all(|(left, right)| left == right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, parse_request};

    const HTTP: Start = Start::Http { skip: 0 };

    #[test]
    fn decided_as_early_as_can_be() {
        let cases: &[(&[u8], Start)] = &[
            (b"", Start::NeedMore),
            (b"G", Start::NeedMore),
            (b"GET", Start::NeedMore),
            (b"GET ", Start::NeedMore),
            (b"GET /", HTTP),
            (b"x *", HTTP),
            (b"CONNECT a", HTTP),
            (b"OPTIONS http://a/ HTTP/1.1\r\n", HTTP),
            // Malformed, but still a request: to be refused, not tunnelled.
            (b"GET /\n", HTTP),
            (b"GET / HTTP/9.9\r\n", HTTP),
            (b"GET \"", HTTP),
            (b"\r", Start::NeedMore),
            (b"\r\n", Start::NeedMore),
            (b"\r\nGET /", Start::Http { skip: 2 }),
            (b"\r\n\r\n", Start::NeedMore),
            (b"\rG", Start::NeedMore),
            (b"\n", Start::NeedMore),
            (b"\n\x05proto", Start::NotHttp),
            (b"\x16", Start::NotHttp),
            (b"\x16\x03\x01\x02\x00", Start::NotHttp),
            (b"SSH-2.0-x", Start::NeedMore),
            (b"SSH-2.0-x\r", Start::NeedMore),
            (b"SSH-2.0-x\r\n", Start::NotHttp),
            (b"\0", Start::NotHttp),
            (b" \x01", Start::NotHttp),
            (b"GET \r", Start::NeedMore),
            (b"GET \r\n", Start::NotHttp),
            (b"GET\r\n", Start::NotHttp),
            (b"GET\n/", Start::NotHttp),
            (b"GET \0", Start::NotHttp),
            (b"\r\n\r\n\x16", Start::NotHttp),
            (b"\x13BitTorrent protocol", Start::NotHttp),
            (b"{\"id\": 1}", Start::NotHttp),
            (b"A12345678901234567890123456789012", Start::NeedMore),
            (b"A12345678901234567890123456789012\n", Start::NotHttp),
            (b"A12345678901234567890123456789012 /", HTTP),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                classify(bytes),
                *expected,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    /// As some origin would read a request in each of them, none may become a tunnel.
    #[test]
    fn what_lenient_readers_take_for_a_request_is_refused() {
        let limits = HeadLimits {
            head_bytes: 64 * 1024,
            fields: 100,
        };
        let long = "A".repeat(MAX_UNDECIDED);
        let starts = [
            "\nGET / HTTP/1.1\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\n",
            "\r\n\nGET / HTTP/1.1\r\n",
            "\rGET / HTTP/1.1\r\n",
            " GET / HTTP/1.1\r\n",
            "\r\n GET / HTTP/1.1\r\n",
            "\tGET / HTTP/1.1\r\n",
            "\x0cGET / HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET\t/ HTTP/1.1\r\n",
            "GET\x0b/ HTTP/1.1\r\n",
            "GET\r/ HTTP/1.1\r\n",
            "GET \r/ HTTP/1.1\r\n",
            "GET \u{e4} HTTP/1.1\r\n",
            "A1234567890123456789012345678901234567890 / HTTP/1.1\r\n",
            &format!("{long} / HTTP/1.1\r\n"),
            &format!("{}GET / HTTP/1.1\r\n", "\r\n".repeat(MAX_UNDECIDED / 2)),
        ];
        for start in starts {
            let request = format!("{start}Host: a\r\n\r\n");
            let Start::Http { skip } = classify(request.as_bytes()) else {
                panic!("{start:?}");
            };
            assert!(
                parse_request(&request.as_bytes()[skip..], &limits).is_err(),
                "{start:?}"
            );
        }
        assert_eq!(classify(long.as_bytes()), HTTP);
        assert_eq!(classify(&long.as_bytes()[1..]), Start::NeedMore);
    }

    #[test]
    fn http2_preface_is_known() {
        for len in 1..HTTP2_PREFACE.len() {
            assert_eq!(classify(&HTTP2_PREFACE[..len]), Start::NeedMore, "{len}");
        }
        assert_eq!(classify(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Start::Http2);
        assert_eq!(classify(b"PRI * HTTP/1.1\r\n"), HTTP);
        assert_eq!(classify(b"PRI /"), HTTP);
        assert_eq!(classify(b"PRINT /"), HTTP);
        // No preface: it must be the first thing on a connection.
        assert_eq!(classify(b"\r\nPRI * HTTP/2.0\r\n"), Start::Http { skip: 2 });
    }

    #[test]
    fn answers_that_no_reader_takes_for_http() {
        use ResponseStart::{Http, NeedMore, NotHttp};
        let cases: &[(&[u8], ResponseStart)] = &[
            (b"", NeedMore),
            (b"H", NeedMore),
            (b"HTT", NeedMore),
            (b"HTTP", Http),
            (b"HTTP/1.1 200 OK\r\n", Http),
            // Malformed, but some reader takes it: to be refused.
            (b"http/1.1 200 OK\r\n", Http),
            (b"HTTP 200 OK\r\n", Http),
            (b"HTTP/9.9 200 OK\r\n", Http),
            (b"\r\n\n \t\x0cHttp/1.1 200\r\n", Http),
            (b"junkHTTP/1.1 200 OK\r\n", Http),
            (b"\r\n0123456789HTTP/1.1 200 OK\r\n", Http),
            (b"HTHTTP/1.1 200 OK\r\n", Http),
            (b"\r\n", NeedMore),
            (b"ICY 200 OK", NeedMore),
            (b"ICY 200 OK\r", NotHttp),
            (b"<html><body>HTTP/1.1 200 OK", NotHttp),
            (b"01234567890HTTP/1.1 200 OK", NotHttp),
            (b"SSH-2.0-OpenSSH_9.6\r\n", NotHttp),
            (b"RFB 003.008\n", NotHttp),
            (b"\x15\x03\x01\x00\x02\x02\x50\0\0\0\0", NotHttp),
            (&[b'\n'; MAX_UNDECIDED], Http),
        ];
        for (bytes, expected) in cases {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(classify_response(bytes), *expected, "{text:?}");
            let mut verdict = NeedMore;
            for len in 0..=bytes.len() {
                let now = classify_response(&bytes[..len]);
                assert!(verdict == NeedMore || verdict == now, "{text:?} at {len}");
                verdict = now;
            }
        }
    }

    #[test]
    fn a_verdict_never_changes() {
        let inputs: [&[u8]; 9] = [
            b"\n\n GET\x0b\r/ HTTP/1.1\r\n",
            b"\n\n\x16GET / HTTP/1.1\r\n",
            &[b'a'; MAX_UNDECIDED + 2],
            &[b'\n'; MAX_UNDECIDED + 2],
            b"GET / HTTP/1.1\r\n",
            b"\r\nGET / HTTP/1.1\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"\x16\x03\x01GET / HTTP",
        ];
        for input in inputs {
            let mut verdict = Start::NeedMore;
            for len in 0..=input.len() {
                let now = classify(&input[..len]);
                assert!(
                    verdict == Start::NeedMore || verdict == now,
                    "{input:?} at {len}"
                );
                verdict = now;
            }
            assert_ne!(verdict, Start::NeedMore);
        }
    }
}
