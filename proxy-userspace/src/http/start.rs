//! Can the first bytes of a connection begin an HTTP/1 request?

use crate::http::syntax::is_token_byte;

/// What the bytes so far allow to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing yet: they are a prefix of both.
    NeedMore,
    /// A request, well-formed or not: [`parse_request`](super::parse_request) has the next word.
    Http {
        /// Bytes to drop before the request line: one empty line (RFC 9112 §2.2), or none.
        skip: usize,
    },
    /// No reader of HTTP/1 could take this for a request.
    NotHttp,
}

/// Longest method that we take for one, bytes. The longest registered one has 17
/// (`UPDATEREDIRECTREF`); without a bound, a stream of letters would never be decided.
pub(super) const MAX_METHOD: usize = 32;

/// What begins an HTTP/2 connection with prior knowledge (RFC 9113 §3.4), as far as it looks like
/// a request line of HTTP/1.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Decides on `buf`, all the bytes of a connection so far, as early as can be.
///
/// Only what *cannot* begin a request is [`Start::NotHttp`] and may be tunnelled. A malformed
/// request must not become a tunnel: the origin might read more in it than we did.
///
/// Also good for the later requests of a connection, where it tells whether an empty line has to
/// be dropped; what is not HTTP there is for the head parser to refuse.
#[must_use]
pub fn classify(buf: &[u8]) -> Start {
    let skip = match buf {
        [b'\r', b'\n', ..] => 2,
        [] | [b'\r'] => return Start::NeedMore,
        [b'\r', ..] => return Start::NotHttp,
        _ => 0,
    };
    if skip == 0 && is_prefix_of_either(buf, HTTP2_PREFACE) {
        return if buf.len() < HTTP2_PREFACE.len() {
            Start::NeedMore
        } else {
            Start::NotHttp
        };
    }
    let line = &buf[skip..];
    let method = line
        .iter()
        .take(MAX_METHOD + 1)
        .take_while(|&&byte| is_token_byte(byte))
        .count();
    if method > MAX_METHOD {
        return Start::NotHttp;
    }
    match line[method..] {
        [] | [b' '] if method > 0 || line.is_empty() => Start::NeedMore,
        // Every form of a target begins with a visible ASCII character (RFC 9112 §3.2).
        [b' ', target, ..] if method > 0 && target.is_ascii_graphic() => Start::Http { skip },
        _ => Start::NotHttp,
    }
}

/// Do `left` and `right` agree as far as the shorter one goes?
fn is_prefix_of_either(left: &[u8], right: &[u8]) -> bool {
    left.iter().zip(right).all(|(left, right)| left == right)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (b"\r\n\r\nGET /", Start::NotHttp),
            (b"\rG", Start::NotHttp),
            (b"\n", Start::NotHttp),
            (b"\x16", Start::NotHttp),
            (b"\x16\x03\x01\x02\x00", Start::NotHttp),
            (b"SSH-2.0-x", Start::NeedMore),
            (b"SSH-2.0-x\r", Start::NotHttp),
            (b"SSH-2.0-x\r\n", Start::NotHttp),
            (b"\0", Start::NotHttp),
            (b" GET / HTTP/1.1", Start::NotHttp),
            (b"GET  /", Start::NotHttp),
            (b"GET\t/", Start::NotHttp),
            (b"GET \r\n", Start::NotHttp),
            (b"GET \xc3", Start::NotHttp),
            (b"\x13BitTorrent protocol", Start::NotHttp),
            (b"{\"id\": 1}", Start::NotHttp),
            (b"A12345678901234567890123456789012", Start::NotHttp),
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

    #[test]
    fn http2_preface_is_not_ours() {
        for len in 1..HTTP2_PREFACE.len() {
            assert_eq!(classify(&HTTP2_PREFACE[..len]), Start::NeedMore, "{len}");
        }
        assert_eq!(
            classify(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            Start::NotHttp
        );
        assert_eq!(classify(b"PRI * HTTP/1.1\r\n"), HTTP);
        assert_eq!(classify(b"PRI /"), HTTP);
        assert_eq!(classify(b"PRINT /"), HTTP);
        // No preface: it must be the first thing on a connection.
        assert_eq!(classify(b"\r\nPRI * HTTP/2.0\r\n"), Start::Http { skip: 2 });
    }

    #[test]
    fn a_verdict_never_changes() {
        let inputs: [&[u8]; 5] = [
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
