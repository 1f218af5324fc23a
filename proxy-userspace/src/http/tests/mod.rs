//! Tests that need more than one part of the room.

mod answering;
mod chunked;
mod forwarding;
mod matrix;
mod max_forwards;
mod requests;
mod responses;
mod smuggling;
mod splits;

use crate::http::{
    HeadLimits, Refusal, RequestContext, RequestHead, ResponseHead, parse_request, parse_response,
};

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 8192,
    fields: 100,
};

/// A request of HTTP/1.1 with these fields, each with its CRLF, besides Host.
fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn request(head: impl AsRef<[u8]>) -> Result<RequestHead, Refusal> {
    parse_request(head.as_ref(), &LIMITS).map(|head| head.expect("a complete head"))
}

/// The context of an ordinary GET.
const GET: RequestContext = RequestContext {
    head: false,
    connect: false,
    upgrade: false,
    minor: 1,
    persistent: true,
};

fn response(head: impl AsRef<[u8]>, context: RequestContext) -> Result<ResponseHead, Refusal> {
    parse_response(head.as_ref(), &LIMITS, &context).map(|head| head.expect("a complete head"))
}
