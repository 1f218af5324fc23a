//! Answers of our own, for requests that come to no response of the origin's.

use bytes::BufMut;

use crate::reason::Reason;

/// Writes a complete response that closes the connection.
///
/// Its body is one line with the word of `reason`, the same as in the access log, so that a
/// user's report leads to the right entry. `body` is to be false in answer to a HEAD request;
/// the head is the same then (RFC 9110 §9.3.2).
pub fn answer(status: u16, reason: Reason, body: bool, out: &mut impl BufMut) {
    let text = text(status);
    let word = reason.as_str();
    let len = text.len() + word.len() + 1;
    let phrase = phrase(status);
    let head = format!(
        "HTTP/1.1 {status} {phrase}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {len}\r\n\
         Connection: close\r\n\
         Cache-Control: no-store\r\n\r\n"
    );
    out.put_slice(head.as_bytes());
    if body {
        out.put_slice(text.as_bytes());
        out.put_slice(word.as_bytes());
        out.put_slice(b"\n");
    }
}

const fn text(status: u16) -> &'static str {
    match status {
        400..=499 => "weir: this request was not forwarded: ",
        _ => "weir: this request came to no response: ",
    }
}

/// The reason phrase of a status (RFC 9110 §15 and the registry). An empty one is well-formed
/// (RFC 9112 §4).
#[must_use]
pub const fn phrase(status: u16) -> &'static str {
    match status {
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        414 => "URI Too Long",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, RequestContext, ResponseFraming, parse_response};

    #[test]
    fn every_answer_is_a_response() {
        let limits = HeadLimits {
            head_bytes: 8192,
            fields: 100,
        };
        for reason in Reason::ALL {
            for status in [400, 408, 414, 431, 501, 502, 503, 504, 505, 599] {
                let mut out = Vec::new();
                answer(status, reason, true, &mut out);
                let request = RequestContext {
                    minor: 1,
                    ..RequestContext::default()
                };
                let head = parse_response(&out, &limits, &request).unwrap().unwrap();
                assert_eq!((head.status, head.persistent), (status, false));
                assert!(matches!(head.framing, ResponseFraming::Length(_)));
                let rest = &out[head.len..];
                let progress = head.decoder(&out).advance(rest).unwrap();
                assert!(progress.done && progress.forward == rest.len());
                assert!(rest.ends_with(format!(" {reason}\n").as_bytes()));

                let mut bare = Vec::new();
                answer(status, reason, false, &mut bare);
                assert_eq!(bare, out[..head.len]);
            }
        }
    }

    #[test]
    fn as_it_looks() {
        let mut out = Vec::new();
        answer(400, Reason::BadRequest, true, &mut out);
        let expected = "HTTP/1.1 400 Bad Request\r\n\
            Content-Type: text/plain; charset=utf-8\r\n\
            Content-Length: 50\r\n\
            Connection: close\r\n\
            Cache-Control: no-store\r\n\r\n\
            weir: this request was not forwarded: bad-request\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
