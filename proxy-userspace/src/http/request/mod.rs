//! Request heads: how a request is framed, and what is forwarded of its head.

mod read;

use std::borrow::Cow;

use bytes::BufMut;

use self::read::{read_fields, refusal};
use crate::http::{
    body::BodyDecoder,
    chunked::ChunkedDecoder,
    edits::Edits,
    field::{self, FieldTable},
    hop::{Hop, Options},
    max_forwards,
    refusal::{HeadLimits, Refusal},
    response::RequestContext,
    rewrite::Rewrite,
    scan::{HeadScanner, Layout},
    syntax::Span,
    target::{MethodKind, RequestLine},
};

/// How long a request's body is (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// No body.
    None,
    /// This many bytes.
    Length(u64),
    /// Until the last chunk and its trailers.
    Chunked,
}

/// A request's head that can be read in one way only.
///
/// Holds offsets into the buffer that it was parsed from; every method that takes `buf` wants
/// the same bytes at its beginning again.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// Bytes of the head in the buffer, with the empty line.
    pub len: usize,
    /// What the method does to framing.
    pub kind: MethodKind,
    /// Minor version: 0, or 1 for all later ones.
    pub minor: u8,
    /// How long the body is.
    pub framing: RequestFraming,
    /// May another request follow on this connection (RFC 9112 §9.3)?
    pub persistent: bool,
    /// Does it ask to switch to a protocol that we would tunnel (RFC 9110 §7.8)?
    pub upgrade: bool,
    /// Does the client wait for a 100 before it sends the body (RFC 9110 §10.1.1)?
    pub expects_continue: bool,
    layout: Layout,
    line: RequestLine,
    /// What the origin is told: Host, or the target's authority if that differs or is all there
    /// is.
    host: Option<Span>,
    /// Host names another than the target (RFC 9112 §3.2.2).
    other_host: bool,
    /// Of a TRACE or OPTIONS.
    max_forwards: Option<u64>,
    hop: Hop,
}

/// Parses a request's head at the beginning of `buf`. `None` if it is not complete yet.
///
/// # Errors
/// A [`Refusal`] to be answered if the head is malformed, ambiguous or too large. The verdict is
/// the same however the bytes arrive: the first offending octet decides.
pub fn parse_request(buf: &[u8], limits: &HeadLimits) -> Result<Option<RequestHead>, Refusal> {
    parse_request_from(&mut HeadScanner::new(), buf, limits)
}

/// As [`parse_request`], without another look at the bytes that `scanner` has already seen.
///
/// # Errors
/// As [`parse_request`].
pub fn parse_request_from(
    scanner: &mut HeadScanner,
    buf: &[u8],
    limits: &HeadLimits,
) -> Result<Option<RequestHead>, Refusal> {
    let Some((line_len, fresh)) = scanner.start_line(buf, limits).map_err(refusal)? else {
        return Ok(None);
    };
    let early = if fresh {
        Some(RequestLine::parse(&buf[..line_len])?)
    } else {
        None
    };
    let Some(layout) = scanner.head(buf, limits).map_err(refusal)? else {
        return Ok(None);
    };
    let line = early.map_or_else(|| RequestLine::parse(&buf[..line_len]), Ok)?;
    read_fields(buf, layout, line).map(Some)
}

impl RequestHead {
    /// The method as it came.
    #[must_use]
    pub fn method<'b>(&self, buf: &'b [u8]) -> &'b str {
        std::str::from_utf8(self.line.method.of(buf)).unwrap_or_default()
    }

    /// The target as it came; octets that are not UTF-8 are replaced.
    #[must_use]
    pub fn target<'b>(&self, buf: &'b [u8]) -> Cow<'b, str> {
        String::from_utf8_lossy(self.line.target.of(buf))
    }

    /// The target as it came, octet for octet.
    #[must_use]
    pub fn target_bytes<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        self.line.target.of(buf)
    }

    /// The host that the request is for, as the origin is told: Host, or the authority in the
    /// target if it differs (RFC 9112 §3.2.2) or there is no Host (HTTP/1.0). May be empty.
    #[must_use]
    pub fn host<'b>(&self, buf: &'b [u8]) -> Option<&'b str> {
        std::str::from_utf8(self.host?.of(buf)).ok()
    }

    /// Is the request to be answered by us, instead of being forwarded: a TRACE or OPTIONS whose
    /// Max-Forwards is 0 (RFC 9110 §7.6.2)?
    #[must_use]
    pub const fn is_final_recipient(&self) -> bool {
        matches!(self.max_forwards, Some(0))
    }

    /// Writes the answer that a final recipient owes to a TRACE or OPTIONS; it closes the
    /// connection. See [`is_final_recipient`](Self::is_final_recipient).
    ///
    /// TRACE gets its own head back, without what is likely to be secret (RFC 9110 §9.3.8);
    /// OPTIONS a response without content.
    pub fn write_final_answer(&self, buf: &[u8], out: &mut impl BufMut) {
        let mut table = FieldTable::new();
        let line = buf.get(..self.layout.fields()).unwrap_or_default();
        match table.split(buf, &self.layout) {
            Some(fields) if self.line.method.of(buf) == b"TRACE" => {
                max_forwards::write_trace(buf, line, fields, out);
            }
            _ => max_forwards::write_options(out),
        }
    }

    /// What the response's parser has to know of this request.
    #[must_use]
    pub fn context(&self) -> RequestContext {
        RequestContext {
            head: self.kind == MethodKind::Head,
            connect: self.kind == MethodKind::Connect,
            upgrade: self.upgrade,
            minor: self.minor,
            persistent: self.persistent,
        }
    }

    /// The value of the first field of this name, in any letter case; without whitespace around
    /// it.
    #[must_use]
    pub fn field<'b>(&self, buf: &'b [u8], name: &str) -> Option<&'b [u8]> {
        field::first(buf, &self.layout, name)
    }

    /// The decoder of the body behind this head.
    #[must_use]
    pub fn decoder(&self, buf: &[u8]) -> BodyDecoder {
        match self.framing {
            RequestFraming::None => BodyDecoder::length(0),
            RequestFraming::Length(length) => BodyDecoder::length(length),
            RequestFraming::Chunked => {
                let named = self.hop.named_fields(buf, &self.layout);
                BodyDecoder::chunked(ChunkedDecoder::new().without(named))
            }
        }
    }

    /// Can the first [`len`](Self::len) bytes be forwarded as they are?
    #[must_use]
    pub fn is_verbatim(&self, edits: &Edits<'_>) -> bool {
        self.line.minor <= 1
            && edits.is_none()
            && !self.other_host
            && self.max_forwards.is_none()
            && self.hop.is_verbatim(self.own())
    }

    /// Writes the head as it is forwarded: as it came, but for connection-level fields
    /// (RFC 9110 §7.6.1), a minor version that is not ours (RFC 9110 §2.5), a Host that the
    /// target contradicts (RFC 9112 §3.2.2), the Max-Forwards of a TRACE or OPTIONS, which is one
    /// less (RFC 9110 §7.6.2), and `edits`.
    pub fn write_forwarded(&self, buf: &[u8], edits: &Edits<'_>, out: &mut impl BufMut) {
        let mut table = FieldTable::new();
        let fields = (!self.is_verbatim(edits))
            .then(|| table.split(buf, &self.layout))
            .flatten();
        let Some(fields) = fields else {
            out.put_slice(buf.get(..self.len).unwrap_or_default());
            return;
        };
        if self.line.minor <= 1 {
            out.put_slice(&buf[..self.layout.fields()]);
        } else {
            out.put_slice(&buf[..self.line.version.start]);
            out.put_slice(b"HTTP/1.1\r\n");
        }
        let rewrite = Rewrite {
            host: self
                .host
                .filter(|_| self.other_host)
                .map(|host| host.of(buf)),
            max_forwards: self.max_forwards.map(|left| left.saturating_sub(1)),
            ..Rewrite::new(&self.hop, self.own(), edits)
        };
        rewrite.write(buf, &fields, out);
    }

    /// Our own Connection.
    fn own(&self) -> Options {
        Options {
            upgrade: self.upgrade,
            ..self.hop.options()
        }
    }
}
