//! What a session does with a stream, without sockets.

use proxy_userspace::http::{
    BodyDecoder, MethodKind, RequestContext, RequestFraming, ResponseFraming, Start, classify,
    parse_request, parse_response,
};

use crate::{
    LIMITS,
    origin::{Plain, read_chunked},
};

/// A message as we have read it.
#[derive(Debug)]
pub struct Message {
    /// Of a request.
    pub method: String,
    /// Of a request.
    pub target: String,
    /// Of a response.
    pub status: u16,
    /// The length of the body if it is known beforehand.
    pub length: Option<u64>,
    /// The content; `None` if it broke off or was malformed.
    pub body: Option<Vec<u8>>,
}

/// What goes to the origin of what the client has sent, and the requests in it.
#[must_use]
pub fn requests(mut stream: &[u8]) -> (Vec<u8>, Vec<Message>) {
    let (mut out, mut messages) = (Vec::new(), Vec::new());
    while let Start::Http { skip } = classify(stream) {
        stream = &stream[skip..];
        let Ok(Some(head)) = parse_request(stream, &LIMITS) else {
            break;
        };
        head.write_forwarded(stream, &mut out);
        let (before, rest) = stream.split_at(head.len);
        let (consumed, done) = body(BodyDecoder::from(head.framing), rest);
        out.extend_from_slice(&rest[..consumed]);
        messages.push(Message {
            method: head.method(before).to_owned(),
            target: head.target(before).into_owned(),
            status: 0,
            length: match head.framing {
                RequestFraming::None => Some(0),
                RequestFraming::Length(length) => Some(length),
                RequestFraming::Chunked => None,
            },
            body: match head.framing {
                _ if !done => None,
                RequestFraming::Chunked => content(rest),
                _ => Some(rest[..consumed].to_vec()),
            },
        });
        let switches = head.upgrade || head.kind == MethodKind::Connect;
        if !done || !head.persistent || switches {
            break;
        }
        stream = &rest[consumed..];
    }
    (out, messages)
}

/// What goes to the client of what the origin has sent and closed behind, and the response in it.
///
/// `None` if there is none, or it makes a tunnel.
#[must_use]
pub fn response(mut stream: &[u8], context: &RequestContext) -> Option<(Vec<u8>, Message)> {
    let mut out = Vec::new();
    loop {
        let head = parse_response(stream, &LIMITS, context).ok()??;
        head.write_forwarded(stream, true, &mut out);
        let rest = &stream[head.len..];
        if head.interim {
            stream = rest;
            continue;
        }
        let (consumed, done) = body(BodyDecoder::from(head.framing), rest);
        out.extend_from_slice(&rest[..consumed]);
        let length = match head.framing {
            ResponseFraming::Tunnel => return None,
            ResponseFraming::None => Some(0),
            ResponseFraming::Length(length) => Some(length),
            ResponseFraming::Chunked | ResponseFraming::UntilClose => None,
        };
        let body = match head.framing {
            ResponseFraming::UntilClose => Some(rest.to_vec()),
            _ if !done => None,
            ResponseFraming::Chunked => content(rest),
            _ => Some(rest[..consumed].to_vec()),
        };
        let message = Message {
            method: String::new(),
            target: String::new(),
            status: head.status,
            length,
            body,
        };
        return Some((out, message));
    }
}

/// How many bytes go on of a body that comes byte by byte, and whether it is complete.
fn body(mut decoder: BodyDecoder, bytes: &[u8]) -> (usize, bool) {
    let mut consumed = 0;
    for end in 0..=bytes.len() {
        if decoder.is_done() {
            break;
        }
        match decoder.advance(&bytes[consumed..end]) {
            Ok(progress) => consumed += progress.consumed,
            Err(_) => break,
        }
    }
    (consumed, decoder.is_done())
}

fn content(body: &[u8]) -> Option<Vec<u8>> {
    match read_chunked(body) {
        Plain::Complete { content, .. } => Some(content),
        Plain::Incomplete | Plain::Malformed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin;

    /// The readers read: without this, targets that never see a message would pass.
    #[test]
    fn hyper_sees_what_was_sent() {
        let seed = include_bytes!("../seeds/differential/pipelined");
        let (out, sent) = requests(&seed[1..]);
        assert_eq!(sent.len(), 4);
        let (seen, _) = origin::requests(&out);
        let targets: Vec<_> = seen.iter().map(|seen| seen.target.as_str()).collect();
        assert_eq!(targets, ["/1", "/2", "/3", "/4"]);
        assert_eq!(seen[2].body.as_deref(), Some(&b"foo"[..]));

        let seed = include_bytes!("../seeds/differential/response-chunked");
        let context = RequestContext {
            minor: 1,
            ..RequestContext::default()
        };
        let (out, sent) = response(&seed[1..], &context).unwrap();
        let seen = origin::response(&out, "GET").unwrap();
        assert_eq!((seen.status, sent.status), (200, 200));
        assert_eq!(seen.body.as_deref(), Some(&b"hello"[..]));
        assert_eq!(sent.body, seen.body);
    }
}
