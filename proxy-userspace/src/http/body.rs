//! Bodies of either direction, however they are framed (RFC 9112 §6.3).

use thiserror::Error;

use crate::http::{chunk_error::ChunkError, chunked::ChunkedDecoder, progress::Progress};

/// Why a body cannot be forwarded any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// The chunked framing is malformed.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The caller forwarded more past the decoder than there was to come.
    #[error("more bytes were forwarded than the body has")]
    Overrun,
}

/// What the end of the sender's stream means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eof {
    /// The body is whole.
    Complete,
    /// Bytes are missing. The receiver can tell by the framing that it knows (RFC 9112 §8), if
    /// its stream just ends here too.
    Truncated,
    /// Bytes are missing and the receiver cannot tell: the chunked coding that would show it was
    /// taken off. Only a reset says so.
    Lost,
}

/// Follows a body and says which bytes belong to it, and which of these go on.
///
/// Made by [`RequestHead::decoder`](super::RequestHead::decoder) and
/// [`ResponseHead::decoder`](super::ResponseHead::decoder).
#[derive(Debug)]
pub struct BodyDecoder {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// This many bytes are still to come.
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl BodyDecoder {
    /// For a body of `length` bytes.
    pub(super) const fn length(length: u64) -> Self {
        Self {
            kind: Kind::Length(length),
        }
    }

    pub(super) const fn chunked(decoder: ChunkedDecoder) -> Self {
        Self {
            kind: Kind::Chunked(decoder),
        }
    }

    pub(super) const fn until_close() -> Self {
        Self {
            kind: Kind::UntilClose,
        }
    }

    /// Leaves trailer fields of these names out as well: what [`Edits::remove`] takes from the
    /// head must not come behind the body.
    ///
    /// [`Edits::remove`]: super::Edits::remove
    #[must_use]
    pub fn without(self, remove: &[Box<str>]) -> Self {
        let kind = match self.kind {
            Kind::Chunked(decoder) => {
                let names = remove.iter().map(|name| Box::from(name.as_bytes()));
                Kind::Chunked(decoder.without(names))
            }
            kind => kind,
        };
        Self { kind }
    }

    /// Follows `input`: what an earlier call did not consume, then what came since. See
    /// [`Progress`] for what to do with it.
    ///
    /// Bytes after the end of the body are not touched.
    ///
    /// # Errors
    /// [`BodyError::Chunk`] if the chunked framing is malformed.
    pub fn advance(&mut self, input: &[u8]) -> Result<Progress, BodyError> {
        let taken = match &mut self.kind {
            Kind::Chunked(decoder) => return Ok(decoder.advance(input)?),
            Kind::Length(left) => {
                let taken = usize::try_from(*left).map_or(input.len(), |l| l.min(input.len()));
                *left -= taken as u64;
                taken
            }
            Kind::UntilClose => input.len(),
        };
        Ok(Progress {
            forward: taken,
            dropped: 0,
            payload: taken,
            done: self.is_done(),
        })
    }

    /// Is the body complete? Never so before the end of the stream if that is what ends it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.kind {
            Kind::Length(left) => *left == 0,
            Kind::Chunked(decoder) => decoder.is_done(),
            Kind::UntilClose => false,
        }
    }

    /// What it means that the sender's stream ends here.
    #[must_use]
    pub fn on_eof(&self) -> Eof {
        match &self.kind {
            Kind::UntilClose => Eof::Complete,
            _ if self.is_done() => Eof::Complete,
            Kind::Chunked(decoder) if decoder.unwraps() => Eof::Lost,
            _ => Eof::Truncated,
        }
    }

    /// Does only the end of the stream end this body? All bytes up to there need no look.
    #[must_use]
    pub const fn is_until_close(&self) -> bool {
        matches!(self.kind, Kind::UntilClose)
    }

    /// How many of the next bytes surely belong to the body and need no look, so that they can
    /// be forwarded without passing through here: the rest of a length, or of a chunk's content.
    ///
    /// To be asked when everything that was read before was consumed; [`skip`](Self::skip) says
    /// how many of them were forwarded.
    #[must_use]
    pub const fn remaining_length(&self) -> Option<u64> {
        match &self.kind {
            Kind::Length(left) => Some(*left),
            Kind::Chunked(decoder) => decoder.remaining_length(),
            Kind::UntilClose => None,
        }
    }

    /// Takes note of `count` bytes of the body that were forwarded without passing through here.
    ///
    /// # Errors
    /// [`BodyError::Overrun`] if there were not that many to come.
    pub fn skip(&mut self, count: u64) -> Result<(), BodyError> {
        match &mut self.kind {
            Kind::Length(left) => {
                *left = left.checked_sub(count).ok_or(BodyError::Overrun)?;
                Ok(())
            }
            Kind::Chunked(decoder) => decoder.skip(count).then_some(()).ok_or(BodyError::Overrun),
            Kind::UntilClose => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_exact() {
        let mut body = BodyDecoder::length(5);
        assert_eq!(body.remaining_length(), Some(5));
        let progress = body.advance(b"he").unwrap();
        assert_eq!(
            progress,
            Progress {
                forward: 2,
                dropped: 0,
                payload: 2,
                done: false
            }
        );
        assert_eq!(body.on_eof(), Eof::Truncated);
        assert_eq!(body.skip(4), Err(BodyError::Overrun));
        body.skip(1).unwrap();
        let progress = body.advance(b"loGET /").unwrap();
        assert_eq!(
            progress,
            Progress {
                forward: 2,
                dropped: 0,
                payload: 2,
                done: true
            }
        );
        assert_eq!(
            (body.on_eof(), body.remaining_length()),
            (Eof::Complete, Some(0))
        );
    }

    #[test]
    fn no_body_is_done_at_once() {
        let mut body = BodyDecoder::length(0);
        assert!(body.is_done());
        assert_eq!(
            body.advance(b"next").map(|p| (p.consumed(), p.done)),
            Ok((0, true))
        );
    }

    #[test]
    fn chunked_ends_itself() {
        let mut body = BodyDecoder::chunked(ChunkedDecoder::new());
        assert_eq!(body.advance(b"3\r\nab").map(|p| p.forward), Ok(5));
        assert_eq!(
            (body.on_eof(), body.remaining_length()),
            (Eof::Truncated, Some(1))
        );
        body.skip(1).unwrap();
        assert_eq!(body.skip(1), Err(BodyError::Overrun));
        assert!(body.advance(b"\r\n0\r\n\r\n").is_ok_and(|p| p.done));
        assert_eq!(body.on_eof(), Eof::Complete);
        let mut body = BodyDecoder::chunked(ChunkedDecoder::new());
        assert_eq!(
            body.advance(b"-1\r\n"),
            Err(BodyError::Chunk(ChunkError::Size))
        );
    }

    #[test]
    fn what_edits_remove_does_not_come_behind() {
        let remove = ["X-Gone".into()];
        let mut body = BodyDecoder::chunked(ChunkedDecoder::new()).without(&remove);
        let trailers = b"0\r\nx-gone: 1\r\nx: y\r\n\r\n";
        let progress = body.advance(trailers).unwrap();
        assert_eq!((progress.forward, progress.dropped), (3, 11));
        let progress = body.advance(&trailers[14..]).unwrap();
        assert_eq!((progress.forward, progress.done), (8, true));
        assert!(BodyDecoder::length(0).without(&remove).is_done());
    }

    #[test]
    fn the_end_of_a_body_without_its_coding_is_not_to_be_seen() {
        let mut body = BodyDecoder::chunked(ChunkedDecoder::new().unwrapping());
        assert!(body.advance(b"3\r\n").is_ok_and(|p| p.dropped == 3));
        assert_eq!(body.remaining_length(), Some(3));
        body.skip(3).unwrap();
        assert_eq!(body.on_eof(), Eof::Lost);
        assert!(body.advance(b"\r\n0\r\n\r\n").is_ok_and(|p| p.done));
        assert_eq!(body.on_eof(), Eof::Complete);
    }

    #[test]
    fn close_ends_what_nothing_else_does() {
        let mut body = BodyDecoder::until_close();
        assert!(
            body.advance(b"anything")
                .is_ok_and(|p| p.forward == 8 && !p.done)
        );
        body.skip(1 << 40).unwrap();
        assert!(body.is_until_close() && !body.is_done());
        assert_eq!(
            (body.on_eof(), body.remaining_length()),
            (Eof::Complete, None)
        );
    }
}
