//! How large a head may be, and how one is refused.

use thiserror::Error;

use crate::reason::Reason;

/// Bounds on one message head, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes, from the first of the start line to the end of the empty line. A head of exactly
    /// this many bytes is accepted.
    pub head_bytes: usize,
    /// Field lines.
    pub fields: usize,
}

/// Why a head was not accepted, and what to answer in its place.
///
/// The connection that it came on cannot be used any further: where the next message would begin
/// is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{status} {reason}: {detail}")]
pub struct Refusal {
    /// Status code for the client.
    pub status: u16,
    /// Word for the access log and the metrics.
    pub reason: Reason,
    /// What exactly was wrong, for the debug log. Never holds bytes of the message.
    pub detail: &'static str,
}

impl Refusal {
    pub(super) const fn bad_request(detail: &'static str) -> Self {
        Self {
            status: 400,
            reason: Reason::BadRequest,
            detail,
        }
    }

    pub(super) const fn bad_response(detail: &'static str) -> Self {
        Self {
            status: 502,
            reason: Reason::BadResponse,
            detail,
        }
    }
}
