//! What can be wrong with a chunked body.

use thiserror::Error;

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
    /// Beyond [`MAX_EXTENSION`](super::MAX_EXTENSION) or the budget of the whole body.
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
    /// Beyond [`MAX_TRAILERS`](super::MAX_TRAILERS) or
    /// [`MAX_TRAILER_FIELDS`](super::MAX_TRAILER_FIELDS).
    #[error("trailer section is too long")]
    TrailersTooLong,
    /// The caller did not bring the bytes back that were not consumed.
    #[error("bytes of an unfinished line are missing")]
    Lost,
}
