//! What a status line and the fields of a response's head say.

use super::{RequestContext, ResponseFraming, ResponseHead};
use crate::http::{
    field::FieldTable,
    framing::{Coding, FramingFields},
    hop::Hop,
    refusal::Refusal,
    scan::{Flaw, Layout},
    target::minor_version,
};

/// `HTTP/1.1`
pub(super) const VERSION_LEN: usize = 8;

pub(super) struct StatusLine {
    minor: u8,
    status: u16,
}

impl StatusLine {
    /// RFC 9112 §4, but that the SP after the code may be missing if there is no reason phrase:
    /// many servers leave it out, and no reader takes it for anything else.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Refusal> {
        let bad = Refusal::bad_response;
        let version = line.get(..VERSION_LEN).and_then(minor_version);
        let minor = match version {
            Some((1, minor)) => minor,
            Some(_) => return Err(bad("major version is not 1")),
            None => return Err(bad("malformed version")),
        };
        let status = match line[VERSION_LEN..] {
            [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']
            | [
                b' ',
                a @ b'1'..=b'9',
                b @ b'0'..=b'9',
                c @ b'0'..=b'9',
                b' ',
                ..,
            ] => {
                let digit = |byte: u8| u16::from(byte - b'0');
                digit(a) * 100 + digit(b) * 10 + digit(c)
            }
            _ => return Err(bad("malformed status line")),
        };
        Ok(Self { minor, status })
    }
}

/// What the fields say, in one pass.
pub(super) fn read_fields(
    buf: &[u8],
    layout: Layout,
    line: StatusLine,
    request: &RequestContext,
) -> Result<ResponseHead, Refusal> {
    let bad = Refusal::bad_response;
    let StatusLine {
        minor: raw_minor,
        status,
    } = line;
    let minor = raw_minor.min(1);
    let mut table = FieldTable::new();
    let fields = table
        .split(buf, &layout)
        .ok_or(bad("fields can be read in two ways"))?;
    let (mut framing_fields, mut hop) = (FramingFields::default(), Hop::default());
    for field in fields {
        framing_fields
            .note(&field, field.line.of(buf))
            .map_err(bad)?;
        // Connection may name Transfer-Encoding here: large CDNs do so by the letter of RFC 2616,
        // and the field is forwarded all the same.
        hop.note(&field).map_err(bad)?;
    }
    framing_fields.check(minor).map_err(bad)?;
    let framing = response_framing(status, &framing_fields, request);
    let unwraps = request.minor == 0 && framing_fields.coding.is_some();
    if unwraps {
        check_unwraps(framing, &framing_fields)?;
    }
    if status / 100 == 1 {
        check_interim(status, minor, &framing_fields, &hop, request)?;
    }
    let ends_with_close = matches!(framing, ResponseFraming::UntilClose | ResponseFraming::Tunnel)
        // A 204 has no body (RFC 9110 §15.3.5) and must not announce one (§8.6). Who believes
        // the announcement waits for bytes that do not come; it must not wait on our next response.
        || (status == 204 && announces_body(&framing_fields))
        // Without the coding, only the close says where the body ends.
        || (framing == ResponseFraming::Chunked && unwraps);
    Ok(ResponseHead {
        len: layout.len,
        status,
        minor,
        framing,
        persistent: hop.persistent(minor) && !ends_with_close,
        interim: status / 100 == 1 && status != 101,
        layout,
        other_minor: raw_minor != 1,
        request: *request,
        unwraps,
        hop,
    })
}

/// RFC 9112 §6.3, its items in their order.
fn response_framing(
    status: u16,
    fields: &FramingFields,
    request: &RequestContext,
) -> ResponseFraming {
    match (status, fields.coding, fields.length) {
        (101, _, _) => ResponseFraming::Tunnel,
        _ if request.head => ResponseFraming::None,
        // Item 2 before the rest of item 1: a 204 is a 2xx as well (RFC 9110 §9.3.6).
        (200..=299, _, _) if request.connect => ResponseFraming::Tunnel,
        (100..=199 | 204 | 304, _, _) => ResponseFraming::None,
        (_, Some(Coding::Chunked | Coding::OthersThenChunked), _) => ResponseFraming::Chunked,
        (_, Some(Coding::Others), _) => ResponseFraming::UntilClose,
        (_, None, Some(length)) => ResponseFraming::Length(length),
        (_, None, None) => ResponseFraming::UntilClose,
    }
}

/// A 1xx that a client might take for the response proper, or for one with a body, would put
/// every later response out of step.
fn check_interim(
    status: u16,
    minor: u8,
    framing: &FramingFields,
    hop: &Hop,
    request: &RequestContext,
) -> Result<(), Refusal> {
    let bad = Refusal::bad_response;
    if announces_body(framing) {
        return Err(bad("1xx with a body"));
    }
    // RFC 9110 §15.2: HTTP/1.0 does not know them. One that a client of 1.0 has provoked is
    // dropped on its way (the session does it); one that says it is 1.0 is no interim response.
    if minor == 0 {
        return Err(bad("1xx in HTTP/1.0"));
    }
    // RFC 9110 §7.8: the origin may switch only to what it was asked for, and has to say to what.
    if status == 101 && !(request.upgrade && hop.upgrade() && !hop.h2c()) {
        return Err(bad("101 that was not asked for"));
    }
    Ok(())
}

/// RFC 9112 §6.1: a client of HTTP/1.0 must not be sent Transfer-Encoding. chunked can be taken
/// off, no other coding is ours to undo, and without the field nobody would know of it.
fn check_unwraps(framing: ResponseFraming, fields: &FramingFields) -> Result<(), Refusal> {
    match framing {
        ResponseFraming::Chunked if fields.coding == Some(Coding::Chunked) => Ok(()),
        ResponseFraming::Chunked | ResponseFraming::UntilClose => Err(Refusal::bad_response(
            "transfer coding that an HTTP/1.0 client does not know",
        )),
        // No body: the field goes, and nothing with it.
        _ => Ok(()),
    }
}

fn announces_body(fields: &FramingFields) -> bool {
    fields.coding.is_some() || fields.length.is_some_and(|length| length > 0)
}

pub(super) fn refusal(flaw: Flaw) -> Refusal {
    Refusal::bad_response(match flaw {
        Flaw::Malformed(detail) => detail,
        Flaw::LineTooLong => "status line longer than a head may be",
        Flaw::HeadTooLong => "head longer than a head may be",
        Flaw::TooManyFields => "too many fields",
    })
}
