//! What a connection's two legs did not do alike, and was passed on all the same.

/// One kebab-case word each, as `weir status` counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asymmetry {
    /// The client ended its stream before its answer was complete; so did our leg to the origin.
    ClientHalfClosed,
    /// The client ended its stream within a request.
    TruncatedRequest,
    /// The origin ended its stream within a response.
    TruncatedResponse,
    /// The client reset within an exchange; the origin was reset.
    ClientReset,
    /// The origin reset within an exchange; the client was reset once it had what came before.
    OriginReset,
    /// The final response came before the request was through.
    EarlyResponse,
    /// The origin sent what no request had asked for, or closed as the client began to ask.
    Unsolicited,
    /// Bytes behind a complete response; the connection ended there.
    BytesBehindResponse,
    /// A request was sent once more, as the origin's connection had died before an answer.
    Retried,
    /// The origin was connected for a client that had said nothing.
    SilentClient,
    /// The origin spoke first.
    OriginFirst,
    /// The origin saw a port of ours where it was to see the client's.
    PortNotKept,
}

impl Asymmetry {
    /// Every one, in the order of declaration.
    pub const ALL: [Self; 12] = [
        Self::ClientHalfClosed,
        Self::TruncatedRequest,
        Self::TruncatedResponse,
        Self::ClientReset,
        Self::OriginReset,
        Self::EarlyResponse,
        Self::Unsolicited,
        Self::BytesBehindResponse,
        Self::Retried,
        Self::SilentClient,
        Self::OriginFirst,
        Self::PortNotKept,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientHalfClosed => "client-half-closed",
            Self::TruncatedRequest => "truncated-request",
            Self::TruncatedResponse => "truncated-response",
            Self::ClientReset => "client-reset",
            Self::OriginReset => "origin-reset",
            Self::EarlyResponse => "early-response",
            Self::Unsolicited => "unsolicited",
            Self::BytesBehindResponse => "bytes-behind-response",
            Self::Retried => "retried",
            Self::SilentClient => "silent-client",
            Self::OriginFirst => "origin-first",
            Self::PortNotKept => "port-not-kept",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_the_slot_of_its_position() {
        for (position, asymmetry) in Asymmetry::ALL.into_iter().enumerate() {
            assert_eq!(asymmetry as usize, position, "{}", asymmetry.as_str());
        }
    }
}
