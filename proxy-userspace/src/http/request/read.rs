//! What the fields of a request's head say.

use super::{RequestFraming, RequestHead};
use crate::{
    http::{
        authority::is_valid_host,
        field::{Field, FieldTable},
        framing::{Coding, FramingFields},
        hop::Hop,
        max_forwards::MaxForwards,
        refusal::Refusal,
        scan::{Flaw, Layout},
        syntax::{Span, elements},
        target::{MethodKind, RequestLine, same_authority},
    },
    reason::Reason,
};

/// What the fields say, in one pass.
pub(super) fn read_fields(
    buf: &[u8],
    layout: Layout,
    line: RequestLine,
) -> Result<RequestHead, Refusal> {
    let bad = Refusal::bad_request;
    let minor = line.minor.min(1);
    let mut table = FieldTable::new();
    let fields = table
        .split(buf, &layout)
        .ok_or(bad("fields can be read in two ways"))?;
    let (mut framing, mut hop) = (FramingFields::default(), Hop::default());
    let (mut host, mut expects_continue) = (None, false);
    let mut max_forwards = MaxForwards::default();
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
        } else if field.is("max-forwards") {
            max_forwards.note(&field);
        } else if Hop::names(&field, "transfer-encoding") {
            return Err(bad("Connection names Transfer-Encoding"));
        }
    }
    framing.check(minor).map_err(bad)?;
    let other_host = check_host(buf, &line, host, minor)?;
    let max_forwards = max_forwards.check(line.method.of(buf)).map_err(bad)?;
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
        host: host.filter(|_| !other_host).or(line.authority),
        other_host,
        max_forwards,
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

/// RFC 9112 §3.2 and §3.2.2. Does the target name another host than Host, so that Host has to be
/// replaced?
fn check_host(
    buf: &[u8],
    line: &RequestLine,
    host: Option<Span>,
    minor: u8,
) -> Result<bool, Refusal> {
    match (host, line.authority) {
        (None, _) if minor > 0 => Err(Refusal::bad_request("HTTP/1.1 without Host")),
        (Some(host), Some(authority)) => {
            let other = !same_authority(line, authority.of(buf), host.of(buf), buf);
            if other && line.kind == MethodKind::Connect {
                // §3.2.2 is about absolute-form only: nothing says who is right here.
                return Err(Refusal::bad_request("Host differs from CONNECT's target"));
            }
            Ok(other)
        }
        _ => Ok(false),
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
        // Readers of requests exist that read it so; of responses, none is known.
        (None, Some(_)) if fields.octal => {
            Err(Refusal::bad_request("Content-Length is another in octal"))
        }
        (None, Some(length)) => Ok(RequestFraming::Length(length)),
        (None, None) => Ok(RequestFraming::None),
    }
}

pub(super) fn refusal(flaw: Flaw) -> Refusal {
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
