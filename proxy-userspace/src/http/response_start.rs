//! Can the first bytes of an answer begin an HTTP/1 response?

use crate::http::start::{MAX_UNDECIDED, is_lenient_space, skip_while};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
