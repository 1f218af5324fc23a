//! What there is to say of one request.

use std::time::{Duration, SystemTime};

use super::host::HostLabel;
use crate::{
    addr::{ClientAddr, OriginAddr, SpoofedAddr},
    reason::Reason,
};

/// What the access log says about one request, or about a connection that had none.
///
/// What comes from either side is bytes as they came; each format escapes them in its own way.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// When the request began; written in UTC, to the millisecond.
    pub time: SystemTime,
    /// Who asked.
    pub client: ClientAddr,
    /// Whom the client dialled.
    pub origin: OriginAddr,
    /// What our connection to the origin is bound to; `None` if there was none.
    pub spoofed: Option<SpoofedAddr>,
    /// The request's method; `None` if no request was understood.
    pub method: Option<&'a [u8]>,
    /// The request's minor version, as it was understood.
    pub minor: Option<u8>,
    /// The request's host; `None` if it named none.
    pub host: Option<&'a [u8]>,
    /// The request's target as it stands in the request line.
    pub target: Option<&'a [u8]>,
    /// The status that the client was sent; `None` if it was sent none.
    pub status: Option<u16>,
    /// Bytes from the client, head and framing included.
    pub bytes_in: u64,
    /// Bytes to the client, head and framing included.
    pub bytes_out: u64,
    /// Bytes of these that were the head of the final response.
    pub head_out: u64,
    /// From the request's first byte to the response's last one; written in milliseconds with
    /// three decimals, rounded down.
    pub duration: Duration,
    /// How it ended.
    pub reason: Reason,
    /// How the request's Host goes with the address that was dialled; `None` if nobody looked.
    pub host_check: Option<HostLabel>,
    /// The server that a TLS ClientHello names.
    pub sni: Option<&'a str>,
    /// The `[[rule]]` that decided.
    pub rule: Option<&'a str>,
    /// The request's User-Agent.
    pub user_agent: Option<&'a [u8]>,
    /// The request's Referer.
    pub referer: Option<&'a [u8]>,
    /// The response's Content-Type.
    pub content_type: Option<&'a [u8]>,
}

#[cfg(test)]
pub(super) fn example<'a>() -> AccessRecord<'a> {
    AccessRecord {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_769_847_300_042),
        client: ClientAddr("10.0.0.7:40000".parse().unwrap()),
        origin: OriginAddr("[2001:db8::1]:80".parse().unwrap()),
        spoofed: Some(SpoofedAddr("10.0.0.7:10001".parse().unwrap())),
        method: Some(b"GET"),
        minor: Some(1),
        host: Some(b"example.com"),
        target: Some(b"/a?b=c"),
        status: Some(200),
        bytes_in: 78,
        bytes_out: 1_234_567_890_123,
        head_out: 123,
        duration: Duration::from_micros(12_345),
        reason: Reason::Served,
        host_check: Some(HostLabel::Unverified),
        sni: None,
        rule: None,
        user_agent: Some(b"curl/8"),
        referer: None,
        content_type: Some(b"text/html; charset=utf-8"),
    }
}
