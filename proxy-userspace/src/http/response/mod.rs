//! Response heads: how a response is framed, and what is forwarded of its head.

mod read;

use bytes::BufMut;

use self::read::{StatusLine, VERSION_LEN, read_fields, refusal};
use crate::http::{
    body::BodyDecoder,
    chunked::ChunkedDecoder,
    edits::Edits,
    field::{self, FieldTable},
    hop::{Hop, Options},
    refusal::{HeadLimits, Refusal},
    rewrite::Rewrite,
    scan::{HeadScanner, Layout},
};

/// What a response's framing depends on besides the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// The request was a HEAD.
    pub head: bool,
    /// The request was a CONNECT.
    pub connect: bool,
    /// The request asked for an upgrade and the origin was told so.
    pub upgrade: bool,
    /// The request's minor version, 0 or 1.
    pub minor: u8,
    /// The client would send another request.
    pub persistent: bool,
}

/// How long a response's body is (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No body.
    None,
    /// This many bytes.
    Length(u64),
    /// Until the last chunk and its trailers.
    Chunked,
    /// Until the origin closes.
    UntilClose,
    /// No body; from here on the connection carries something else, both ways.
    Tunnel,
}

/// A response's head that can be read in one way only.
///
/// Holds offsets into the buffer that it was parsed from; every method that takes `buf` wants
/// the same bytes at its beginning again.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// Bytes of the head in the buffer, with the empty line.
    pub len: usize,
    /// Status code, 100 to 999.
    pub status: u16,
    /// Minor version that the origin says: 0, or 1 for all later ones.
    pub minor: u8,
    /// How long the body is, as the origin frames it.
    pub framing: ResponseFraming,
    /// May another response follow on this connection (RFC 9112 §9.3)?
    pub persistent: bool,
    /// 1xx, but for 101: the response proper is still to come.
    pub interim: bool,
    layout: Layout,
    /// The version has to be written as `HTTP/1.1`.
    other_minor: bool,
    request: RequestContext,
    /// The client is of HTTP/1.0 and does not know transfer codings: they are taken off.
    unwraps: bool,
    hop: Hop,
}

/// Parses a response's head at the beginning of `buf`. `None` if it is not complete yet.
///
/// # Errors
/// A [`Refusal`] with status 502 if the head is malformed, ambiguous or too large.
pub fn parse_response(
    buf: &[u8],
    limits: &HeadLimits,
    request: &RequestContext,
) -> Result<Option<ResponseHead>, Refusal> {
    parse_response_from(&mut HeadScanner::new(), buf, limits, request)
}

/// As [`parse_response`], without another look at the bytes that `scanner` has already seen.
///
/// # Errors
/// As [`parse_response`].
pub fn parse_response_from(
    scanner: &mut HeadScanner,
    buf: &[u8],
    limits: &HeadLimits,
    request: &RequestContext,
) -> Result<Option<ResponseHead>, Refusal> {
    let Some((line_len, fresh)) = scanner.start_line(buf, limits).map_err(refusal)? else {
        return Ok(None);
    };
    let early = if fresh {
        Some(StatusLine::parse(&buf[..line_len])?)
    } else {
        None
    };
    let Some(layout) = scanner.head(buf, limits).map_err(refusal)? else {
        return Ok(None);
    };
    let line = early.map_or_else(|| StatusLine::parse(&buf[..line_len]), Ok)?;
    read_fields(buf, layout, line, request).map(Some)
}

impl ResponseHead {
    /// The value of the first field of this name, in any letter case; without whitespace around
    /// it.
    #[must_use]
    pub fn field<'b>(&self, buf: &'b [u8], name: &str) -> Option<&'b [u8]> {
        field::first(buf, &self.layout, name)
    }

    /// The decoder of the body behind this head.
    ///
    /// For a client of HTTP/1.0 it takes the chunked coding off (RFC 9112 §6.1); the close is
    /// what ends the body for the client then. A tunnel has no body: what follows belongs to
    /// neither HTTP nor the decoder.
    #[must_use]
    pub fn decoder(&self, buf: &[u8]) -> BodyDecoder {
        match self.framing {
            ResponseFraming::None | ResponseFraming::Tunnel => BodyDecoder::length(0),
            ResponseFraming::Length(length) => BodyDecoder::length(length),
            ResponseFraming::UntilClose => BodyDecoder::until_close(),
            ResponseFraming::Chunked if self.unwraps => {
                BodyDecoder::chunked(ChunkedDecoder::new().unwrapping())
            }
            ResponseFraming::Chunked => {
                let named = self.hop.named_fields(buf, &self.layout);
                BodyDecoder::chunked(ChunkedDecoder::new().without(named))
            }
        }
    }

    /// Can the first [`len`](Self::len) bytes be forwarded as they are? `persistent` as in
    /// [`write_forwarded`](Self::write_forwarded).
    #[must_use]
    pub fn is_verbatim(&self, persistent: bool, edits: &Edits<'_>) -> bool {
        !self.other_minor
            && !self.unwraps
            && edits.is_none()
            && self.hop.is_verbatim(self.own(persistent))
    }

    /// Writes the head as it is forwarded: as it came, but for connection-level fields
    /// (RFC 9110 §7.6.1), a minor version that is not ours (RFC 9112 §2.3), transfer codings
    /// that the client does not know (RFC 9112 §6.1), and `edits`.
    ///
    /// With `persistent` false the client is told that the connection closes after this
    /// response. With true it stays up if both sides hold it up, and Connection says what the
    /// client cannot know: as the answer is of HTTP/1.1, the close of an origin of HTTP/1.0; and
    /// to a client of 1.0, that its wish is granted. Neither matters for interim responses and
    /// tunnels.
    pub fn write_forwarded(
        &self,
        buf: &[u8],
        persistent: bool,
        edits: &Edits<'_>,
        out: &mut impl BufMut,
    ) {
        let mut table = FieldTable::new();
        let verbatim = self.is_verbatim(persistent, edits);
        let fields = (!verbatim)
            .then(|| table.split(buf, &self.layout))
            .flatten();
        let Some(fields) = fields else {
            out.put_slice(buf.get(..self.len).unwrap_or_default());
            return;
        };
        let line = &buf[..self.layout.fields()];
        if self.other_minor {
            out.put_slice(b"HTTP/1.1");
            out.put_slice(&line[VERSION_LEN..]);
        } else {
            out.put_slice(line);
        }
        let rewrite = Rewrite {
            unwraps: self.unwraps,
            ..Rewrite::new(&self.hop, self.own(persistent), edits)
        };
        rewrite.write(buf, &fields, out);
    }

    /// Our own Connection.
    fn own(&self, persistent: bool) -> Options {
        let said = self.hop.options();
        // TE is for requests.
        let said = Options { te: false, ..said };
        if self.interim || self.framing == ResponseFraming::Tunnel {
            return said;
        }
        let origin_stays = persistent && self.persistent;
        let stays = origin_stays && self.request.persistent;
        // The end is in the message, or what the client has asked for itself.
        let evident = match self.framing {
            ResponseFraming::UntilClose => true,
            ResponseFraming::Chunked if self.unwraps => true,
            _ => origin_stays,
        };
        let close = said.close || (!stays && (self.hop.lines > 0 || !evident));
        Options {
            close,
            keep_alive: stays && (said.keep_alive || self.request.minor == 0),
            ..said
        }
    }
}
