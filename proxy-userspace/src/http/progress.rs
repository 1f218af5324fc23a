//! What a body decoder says of its input.

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
