//! What a session does with a stream, without sockets.

use proxy_userspace::http::{
    BodyDecoder, Edits, Eof, MethodKind, RequestContext, RequestFraming, ResponseFraming, Start,
    classify, parse_request, parse_response,
};

use crate::{
    body::{Relayed, relay},
    plain::{Plain, read_chunked},
    setup::LIMITS,
};

/// A message as we have read it.
#[derive(Debug)]
pub struct Message {
    /// Of a request.
    pub method: String,
    /// Of a request.
    pub target: String,
    /// Of a request, as the origin is told.
    pub host: Option<String>,
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
        if head.is_final_recipient() {
            break;
        }
        head.write_forwarded(stream, &Edits::NONE, &mut out);
        let (before, rest) = stream.split_at(head.len);
        let relayed = body(&|| head.decoder(before), rest);
        let (consumed, done) = (relayed.consumed, relayed.done);
        out.extend_from_slice(&relayed.out);
        messages.push(Message {
            method: head.method(before).to_owned(),
            target: head.target(before).into_owned(),
            host: head.host(before).map(str::to_owned),
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
/// `None` if there is none, if it makes a tunnel, or if it breaks off with a reset.
#[must_use]
pub fn response(mut stream: &[u8], context: &RequestContext) -> Option<(Vec<u8>, Message)> {
    let mut out = Vec::new();
    loop {
        let head = parse_response(stream, &LIMITS, context).ok()??;
        let (before, rest) = stream.split_at(head.len);
        // RFC 9110 §15.2.
        if !head.interim || context.minor > 0 {
            head.write_forwarded(before, true, &Edits::NONE, &mut out);
        }
        if head.interim {
            stream = rest;
            continue;
        }
        let relayed = body(&|| head.decoder(before), rest);
        if relayed.eof == Eof::Lost {
            return None;
        }
        let (consumed, done) = (relayed.consumed, relayed.done);
        out.extend_from_slice(&relayed.out);
        let length = match head.framing {
            ResponseFraming::Tunnel => return None,
            ResponseFraming::None => Some(0),
            ResponseFraming::Length(length) => Some(length),
            ResponseFraming::Chunked | ResponseFraming::UntilClose => None,
        };
        let body = match head.framing {
            ResponseFraming::UntilClose => Some(relayed.out),
            _ if !done => None,
            ResponseFraming::Chunked => content(rest),
            _ => Some(rest[..consumed].to_vec()),
        };
        let message = Message {
            method: String::new(),
            target: String::new(),
            host: None,
            status: head.status,
            length,
            body,
        };
        return Some((out, message));
    }
}

/// What goes on of a body that comes byte by byte; up to where it is malformed, if it is.
fn body(decoder: &dyn Fn() -> BodyDecoder, bytes: &[u8]) -> Relayed {
    let to = |end| relay(decoder(), &bytes[..end], 0..=end, false);
    if let Ok(relayed) = to(bytes.len()) {
        return relayed;
    }
    // The longest beginning that is not malformed: it is in all beginnings of that one.
    let (mut good, mut bad) = (0, bytes.len());
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        if to(middle).is_ok() {
            good = middle;
        } else {
            bad = middle;
        }
    }
    to(good).expect("nothing has come that could be malformed")
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
            persistent: true,
            ..RequestContext::default()
        };
        let (out, sent) = response(&seed[1..], &context).unwrap();
        let seen = origin::response(&out, "GET", 1).unwrap();
        assert_eq!((seen.status, sent.status), (200, 200));
        assert_eq!(seen.body.as_deref(), Some(&b"hello"[..]));
        assert_eq!(sent.body, seen.body);
        let old = RequestContext {
            minor: 0,
            ..context
        };
        let (out, sent) = response(&seed[1..], &old).unwrap();
        assert!(out.ends_with(b"\r\n\r\nhello"));
        let seen = origin::response(&out, "GET", 0).unwrap();
        assert_eq!((seen.status, seen.length), (200, None));
        assert_eq!(sent.body, seen.body);
    }
}
