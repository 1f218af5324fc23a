//! Request heads: how a request is framed, and what is forwarded of its head.

use std::borrow::Cow;

use bytes::BufMut;

use crate::{
    http::{
        authority::is_valid_host,
        body::BodyDecoder,
        chunked::ChunkedDecoder,
        edits::Edits,
        field::{self, Field, FieldTable},
        framing::{Coding, FramingFields},
        hop::{Hop, Options},
        refusal::{HeadLimits, Refusal},
        response::RequestContext,
        rewrite::Rewrite,
        scan::{Flaw, HeadScanner, Layout},
        syntax::{Span, elements},
        target::{MethodKind, RequestLine, same_authority},
    },
    reason::Reason,
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
    host: Option<Span>,
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

    /// Host, or the authority in the target if there is no Host (HTTP/1.0). May be empty.
    #[must_use]
    pub fn host<'b>(&self, buf: &'b [u8]) -> Option<&'b str> {
        let span = self.host.or(self.line.authority)?;
        std::str::from_utf8(span.of(buf)).ok()
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
        self.line.minor <= 1 && edits.is_none() && self.hop.is_verbatim(self.own())
    }

    /// Writes the head as it is forwarded: as it came, but for connection-level fields
    /// (RFC 9110 §7.6.1), a minor version that is not ours (RFC 9110 §2.5), and `edits`.
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
        Rewrite::new(self.own(), edits).write(buf, &fields, out);
    }

    /// Our own Connection.
    fn own(&self) -> Options {
        Options {
            upgrade: self.upgrade,
            ..self.hop.options()
        }
    }
}

/// What the fields say, in one pass.
fn read_fields(buf: &[u8], layout: Layout, line: RequestLine) -> Result<RequestHead, Refusal> {
    let bad = Refusal::bad_request;
    let minor = line.minor.min(1);
    let mut table = FieldTable::new();
    let fields = table
        .split(buf, &layout)
        .ok_or(bad("fields can be read in two ways"))?;
    let (mut framing, mut hop) = (FramingFields::default(), Hop::default());
    let (mut host, mut expects_continue) = (None, false);
    for field in fields {
        framing.note(&field, field.line.of(buf)).map_err(bad)?;
        hop.note(&field).map_err(bad)?;
        if field.is("host") {
            if host.replace(read_host(&field, buf)?).is_some() {
                return Err(bad("more than one Host"));
            }
        } else if field.is("expect") {
            let is_continue = |element: &[u8]| element.eq_ignore_ascii_case(b"100-continue");
            expects_continue |= minor > 0 && elements(field.value).any(is_continue);
        } else if Hop::names(&field, "transfer-encoding") {
            return Err(bad("Connection names Transfer-Encoding"));
        }
    }
    framing.check(minor).map_err(bad)?;
    check_host(buf, &line, host, minor)?;
    let framing = request_framing(&framing)?;
    if line.kind == MethodKind::Connect && framing != RequestFraming::None {
        // RFC 9110 §9.3.6: no content; an origin might take it for the tunnel's first bytes.
        return Err(bad("CONNECT with a body"));
    }
    Ok(RequestHead {
        len: layout.len,
        kind: line.kind,
        minor,
        framing,
        persistent: hop.persistent(minor),
        // RFC 9110 §7.8: to be ignored in HTTP/1.0.
        upgrade: minor > 0 && hop.upgrade(),
        expects_continue,
        layout,
        line,
        host,
        hop,
    })
}

fn read_host(field: &Field<'_>, buf: &[u8]) -> Result<Span, Refusal> {
    if is_valid_host(field.value) {
        Ok(field.value_span(buf))
    } else {
        Err(Refusal::bad_request("malformed Host"))
    }
}

/// RFC 9112 §3.2 and §3.2.2.
fn check_host(
    buf: &[u8],
    line: &RequestLine,
    host: Option<Span>,
    minor: u8,
) -> Result<(), Refusal> {
    match (host, line.authority) {
        (None, _) if minor > 0 => Err(Refusal::bad_request("HTTP/1.1 without Host")),
        (Some(host), Some(authority))
            if !same_authority(line, authority.of(buf), host.of(buf), buf) =>
        {
            Err(Refusal::bad_request(
                "Host differs from the target's authority",
            ))
        }
        _ => Ok(()),
    }
}

/// RFC 9112 §6.3, items 3 to 7.
fn request_framing(fields: &FramingFields) -> Result<RequestFraming, Refusal> {
    match (fields.coding, fields.length) {
        (Some(Coding::Chunked), _) => Ok(RequestFraming::Chunked),
        (Some(Coding::OthersThenChunked), _) => {
            let detail = "transfer coding other than chunked";
            Err(Refusal {
                status: 501,
                reason: Reason::UnknownCoding,
                detail,
            })
        }
        // Item 4 makes it a 400, where §6.1 has 501 for codings that are not understood: the end
        // of this request cannot be known by any reader.
        (Some(Coding::Others), _) => {
            Err(Refusal::bad_request("last transfer coding is not chunked"))
        }
        (None, Some(length)) => Ok(RequestFraming::Length(length)),
        (None, None) => Ok(RequestFraming::None),
    }
}

fn refusal(flaw: Flaw) -> Refusal {
    match flaw {
        Flaw::Malformed(detail) => Refusal::bad_request(detail),
        Flaw::LineTooLong => Refusal {
            status: 414,
            reason: Reason::TargetTooLong,
            detail: "request line longer than a head may be",
        },
        Flaw::HeadTooLong => Refusal {
            status: 431,
            reason: Reason::HeadTooLarge,
            detail: "head longer than a head may be",
        },
        Flaw::TooManyFields => Refusal {
            status: 431,
            reason: Reason::HeadTooLarge,
            detail: "too many fields",
        },
    }
}
