//! A request as the session has it, until its answer is through.

use bytes::Bytes;

use super::buffer::{Buffer, Held, Meter};
use crate::http::{RequestFraming, RequestHead};

/// A request whose head is complete.
pub(super) struct Request {
    pub(super) head: RequestHead,
    /// The head as it came.
    pub(super) received: Bytes,
    /// The body as it goes on, if all of it has come with the head. Else it is relayed as it
    /// comes.
    pub(super) body: Option<Bytes>,
    _held: Held,
}

/// Methods that may be repeated (RFC 9110 §9.2.2): a client cannot tell one from two.
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

impl Request {
    /// Takes the head, and the body if it is there, out of the client's buffer.
    pub(super) fn take(head: RequestHead, buffer: &mut Buffer, meter: &Meter) -> Self {
        let received = buffer.split_to(head.len).freeze();
        let body = match head.framing {
            RequestFraming::None => Some(Bytes::new()),
            _ => match head.decoder(&received).advance(buffer) {
                Ok(all) if all.done && all.dropped == 0 => {
                    Some(buffer.split_to(all.forward).freeze())
                }
                _ => None,
            },
        };
        let held = meter.hold(received.len() + body.as_ref().map_or(0, Bytes::len));
        Self {
            head,
            received,
            body,
            _held: held,
        }
    }

    /// Puts it back before what is in the client's buffer, as it came.
    pub(super) fn give_back(&self, buffer: &mut Buffer) {
        let body = self.body.as_deref().unwrap_or_default();
        let all = [&self.received[..], body, &buffer[..]].concat();
        buffer.clear();
        buffer.extend_from_slice(&all);
    }

    /// May it be sent once more, if nothing was heard of its answer (RFC 9112 §9.3.1)?
    pub(super) fn is_replayable(&self) -> bool {
        let method = self.head.method(&self.received);
        self.body.is_some() && IDEMPOTENT.contains(&method)
    }

    /// Does a tunnel follow if the origin agrees?
    pub(super) fn may_become_tunnel(&self) -> bool {
        self.head.upgrade || self.head.context().connect
    }
}
