//! The chunked transfer coding (RFC 9112 §7.1), checked; forwarded as it came or taken off.

use thiserror::Error;

use crate::http::{
    framing::is_framing_for_some,
    hop::is_connection_level,
    lines::{FieldLines, Line},
    syntax::{MAX_LENGTH, is_text_byte},
};

/// What of the input belongs to the body, and what is to become of it.
///
/// The caller sends [`forward`](Self::forward) bytes on, takes these and the
/// [`dropped`](Self::dropped) bytes behind them off its buffer, and calls again until the body is
/// done or a call makes no progress. Then more is needed; what is left comes first in the input
/// of the next call. If the body is done, what is left belongs to the next message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Leading bytes of the input that are to be forwarded as they are.
    pub forward: usize,
    /// Bytes behind these that belong to the body and go no further.
    pub dropped: usize,
    /// How many of the forwarded bytes are content, not framing.
    pub payload: usize,
    /// The body is complete.
    pub done: bool,
}

impl Progress {
    /// Bytes to be taken off the input.
    #[must_use]
    pub const fn consumed(&self) -> usize {
        self.forward + self.dropped
    }
}

/// Why a chunked body cannot be forwarded any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// Not `1*HEXDIG`, followed at once by an extension or the end of the line.
    #[error("chunk size is not a plain hexadecimal number")]
    Size,
    /// More than 16 digits, or more than `i64::MAX`.
    #[error("chunk size is too large")]
    SizeOverflow,
    /// A control octet, a bare CR or a bare LF.
    #[error("invalid octet in a chunk extension")]
    Extension,
    /// Beyond [`MAX_EXTENSION`] or the budget of the whole body.
    #[error("chunk extensions are too long")]
    ExtensionTooLong,
    /// CR without LF after a chunk size.
    #[error("line of a chunk size does not end in CRLF")]
    LineEnd,
    /// The data is not followed by CRLF.
    #[error("chunk data does not end in CRLF")]
    DataEnd,
    /// A malformed field line in the trailer section.
    #[error("trailer: {0}")]
    Trailer(&'static str),
    /// A field of framing or routing (RFC 9110 §6.5.1).
    #[error("trailer holds a field that is not allowed there")]
    TrailerField,
    /// Beyond [`MAX_TRAILERS`].
    #[error("trailer section is too long")]
    TrailersTooLong,
    /// The caller did not bring the bytes back that were not consumed.
    #[error("bytes of an unfinished line are missing")]
    Lost,
}

/// Longest extension of one chunk, bytes. No extension is in common use.
pub const MAX_EXTENSION: usize = 256;

/// By how many bytes all extensions of a body may exceed its content. Extensions are work for
/// every reader and of use to none (CVE-2023-39326); relative to the content, so that a long
/// body may carry a short one in each chunk.
pub const EXTENSION_BUDGET: u64 = 16 * 1024;

/// Longest trailer section, bytes with the empty line.
pub const MAX_TRAILERS: usize = 8 * 1024;

/// Most hexadecimal digits of a chunk size, leading zeros included.
const MAX_DIGITS: u8 = 16;

/// Follows a chunked body: every octet is checked, none is changed.
///
/// Content is forwarded as it arrives, a line only once it is complete and valid: nothing leaves
/// us that a reader could still understand in another way. Trailer fields that are the next
/// hop's business are dropped (RFC 9110 §7.6.1), and so is all framing if the coding is to be
/// taken off.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    /// Content is all that goes on.
    unwraps: bool,
    /// Trailer fields that Connection names.
    named: Box<[Box<[u8]>]>,
    state: State,
    /// Bytes at the front of the next input that were looked at and not consumed: the beginning
    /// of an unfinished line.
    held: usize,
    /// Of the chunk size, as read so far.
    size: u64,
    digits: u8,
    /// Of this chunk.
    extension: usize,
    /// Of all chunks.
    extensions: u64,
    payload: u64,
    trailers: usize,
    fields: FieldLines,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeLf,
    /// This much content of the chunk is still to come; not 0.
    Data(u64),
    DataCr,
    DataLf,
    Trailers,
    Done,
}

impl ChunkedDecoder {
    /// A decoder at the first chunk; the body stays chunked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the coding off: content goes on, framing and trailers are dropped
    /// (RFC 9112 §7.1.3).
    #[must_use]
    pub fn unwrapping(self) -> Self {
        Self {
            unwraps: true,
            ..self
        }
    }

    /// Drops the trailer fields of these names too, as Connection names them. Those that are
    /// connection-level by nature are dropped in any case.
    #[must_use]
    pub fn without(self, named: Box<[Box<[u8]>]>) -> Self {
        Self { named, ..self }
    }

    /// Follows `input`: what an earlier call did not consume, then what came since.
    ///
    /// Bytes after the end of the body are not touched.
    ///
    /// # Errors
    /// [`ChunkError`] at the first octet that is out of place, even if earlier ones of this input
    /// would have been fine. The message cannot be completed then, and the decoder is of no
    /// further use.
    pub fn advance(&mut self, input: &[u8]) -> Result<Progress, ChunkError> {
        let mut progress = Progress::default();
        let mut pos = self.held;
        if pos > input.len() {
            return Err(ChunkError::Lost);
        }
        while self.state != State::Done {
            let is_data = matches!(self.state, State::Data(_));
            if progress.dropped > 0 && (is_data || !self.unwraps) {
                // What comes next may have to go on: that is for the next call.
                break;
            }
            let Some(&byte) = input.get(pos) else { break };
            if let State::Data(left) = self.state {
                let taken = self.data(left, input.len() - pos);
                pos += taken;
                progress.forward = pos;
                progress.payload += taken;
                continue;
            }
            let line = progress.consumed();
            let (complete, drops) = if self.state == State::Trailers {
                let (taken, event) = self
                    .fields
                    .advance(&input[pos..])
                    .map_err(ChunkError::Trailer)?;
                pos += taken;
                let hop = self.trailer(event, taken, &input[line..pos])?;
                (event != Line::Partial, hop || self.unwraps)
            } else {
                self.step(byte)?;
                pos += 1;
                // LF in any place but a line's end was refused.
                (byte == b'\n', self.unwraps)
            };
            match (complete, drops) {
                (false, _) => {}
                (true, true) => progress.dropped += pos - line,
                (true, false) => progress.forward = pos,
            }
        }
        self.held = if self.is_done() {
            0
        } else {
            pos - progress.consumed()
        };
        progress.done = self.is_done();
        Ok(progress)
    }

    /// Is the body complete?
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Is content all that goes on?
    pub(super) const fn unwraps(&self) -> bool {
        self.unwraps
    }

    /// Content of the current chunk that is still to come and needs no look.
    #[must_use]
    pub const fn remaining_length(&self) -> Option<u64> {
        match self.state {
            State::Data(left) => Some(left),
            _ => None,
        }
    }

    /// Takes note of `count` bytes that were forwarded past the decoder; false if that was more
    /// than [`remaining_length`](Self::remaining_length).
    pub(super) fn skip(&mut self, count: u64) -> bool {
        match self.state {
            State::Data(left) if count <= left => {
                self.passed(left, count);
                true
            }
            _ => count == 0,
        }
    }

    /// Takes what there is of the chunk's content.
    fn data(&mut self, left: u64, available: usize) -> usize {
        let taken = usize::try_from(left).map_or(available, |left| left.min(available));
        self.passed(left, taken as u64);
        taken
    }

    fn passed(&mut self, left: u64, count: u64) {
        self.payload = self.payload.saturating_add(count);
        self.state = if count == left {
            State::DataCr
        } else {
            State::Data(left - count)
        };
    }

    /// One octet of a chunk's lines.
    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, b';') if self.digits > 0 => {
                self.extension(1)?;
                State::Extension
            }
            (State::Size, byte) => {
                self.digit(byte)?;
                State::Size
            }
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, byte) if is_text_byte(byte) => {
                self.extension(1)?;
                State::Extension
            }
            (State::Extension, _) => return Err(ChunkError::Extension),
            (State::SizeLf, b'\n') => self.begin_chunk(),
            (State::SizeLf, _) => return Err(ChunkError::LineEnd),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::DataCr | State::DataLf, _) => return Err(ChunkError::DataEnd),
            // Not lines; `advance` sees to them.
            (state @ (State::Data(_) | State::Trailers | State::Done), _) => state,
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<(), ChunkError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return Err(ChunkError::Size),
        };
        if self.digits == MAX_DIGITS {
            return Err(ChunkError::SizeOverflow);
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        if self.size > MAX_LENGTH {
            Err(ChunkError::SizeOverflow)
        } else {
            Ok(())
        }
    }

    fn extension(&mut self, len: usize) -> Result<(), ChunkError> {
        self.extension += len;
        self.extensions = self.extensions.saturating_add(len as u64);
        if self.extension > MAX_EXTENSION
            || self.extensions > self.payload.saturating_add(EXTENSION_BUDGET)
        {
            return Err(ChunkError::ExtensionTooLong);
        }
        Ok(())
    }

    fn begin_chunk(&mut self) -> State {
        let size = std::mem::take(&mut self.size);
        (self.digits, self.extension) = (0, 0);
        if size == 0 {
            State::Trailers
        } else {
            State::Data(size)
        }
    }

    /// `line` is what there is of the trailer line, of which `taken` bytes are new. Is it a
    /// complete field that goes no further?
    fn trailer(&mut self, event: Line, taken: usize, line: &[u8]) -> Result<bool, ChunkError> {
        self.trailers += taken;
        if self.trailers > MAX_TRAILERS {
            return Err(ChunkError::TrailersTooLong);
        }
        match event {
            Line::Partial => Ok(false),
            Line::Empty => {
                self.state = State::Done;
                Ok(false)
            }
            Line::Field => {
                let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
                let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
                // A reader that merges trailers into the head would frame or route it anew.
                if is_framing_for_some(name) || is(b"host") {
                    return Err(ChunkError::TrailerField);
                }
                Ok(is_connection_level(name) || self.named.iter().any(|other| is(other)))
            }
        }
    }
}
