//! HTTP/1.x for an intermediary that nobody sees: bytes in, decisions out.
//!
//! Nothing here owns a socket, a task or a clock. The session keeps the bytes; this room says
//! which of them form a head ([`parse_request`], [`parse_response`]), how long the body is
//! ([`BodyDecoder`]) and what has to be written instead of what came (the connection-level
//! fields of RFC 9110 §7.6.1, [`RequestHead::write_forwarded`]).
//!
//! One rule stands above all others: **what leaves us on either side can be read in one way
//! only.** A message that two readers could frame differently (RFC 9112 §11.2) is refused, never
//! repaired, and everything else is forwarded as it came, byte for byte.
//!
//! A session's loop:
//!
//! 1. [`classify`] the first bytes of a connection; drop what it says is to be skipped.
//! 2. [`parse_request_from`] with a [`HeadScanner`] until it gives a head or a [`Refusal`].
//! 3. Answer a request that goes no further ([`RequestHead::is_final_recipient`]).
//! 4. Send on the head; then let its [`BodyDecoder`] say which bytes belong to the body, and
//!    which of these go on ([`Progress`]).
//! 5. [`classify_response`], then [`parse_response_from`] with [`RequestHead::context`]; interim
//!    heads (1xx) are forwarded and another head follows.

mod announce;
mod answer;
mod authority;
mod body;
mod chunked;
mod client_hello;
mod edits;
mod field;
mod framing;
mod hop;
mod lines;
mod max_forwards;
mod refusal;
mod request;
mod response;
mod rewrite;
mod scan;
mod start;
mod syntax;
mod target;
#[cfg(test)]
mod tests;

pub use self::{
    announce::{forwarded_line, via_line, x_forwarded_for_line},
    answer::answer,
    body::{BodyDecoder, BodyError, Eof},
    chunked::{
        ChunkError, ChunkedDecoder, EXTENSION_BUDGET, MAX_EXTENSION, MAX_TRAILERS, Progress,
    },
    client_hello::{ClientHello, client_hello},
    edits::Edits,
    refusal::{HeadLimits, Refusal},
    request::{RequestFraming, RequestHead, parse_request, parse_request_from},
    response::{
        RequestContext, ResponseFraming, ResponseHead, parse_response, parse_response_from,
    },
    scan::HeadScanner,
    start::{ResponseStart, Start, classify, classify_response},
    target::MethodKind,
};
