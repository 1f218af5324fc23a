//! What the programs count besides flows by [`Reason`](crate::verdict::Reason).

/// A slot of [`map::EVENTS`](crate::abi::map::EVENTS).
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// SYNs marked for local delivery that no socket had the tuple of: each of these must reach
    /// `sk_lookup`, or something between TC and TCP eats them.
    SynMarked = 0,
    /// SYNs that `sk_lookup` gave to a listener of ours.
    SynDelivered = 1,
    /// Packets that belong to a socket of ours, marked.
    PacketSteered = 2,
    /// Packets of watched ports that belong to no socket of ours, untouched (`mid-flow`).
    PacketPassed = 3,
    /// Packets of direct flows steered around a dying socket of ours with the same tuple.
    PacketAroundSocket = 4,
    /// ICMP errors about a flow of ours, marked.
    IcmpSteered = 5,
    /// Later fragments (`not-first-fragment`): no ports, untouched.
    LaterFragment = 6,
    /// Frames that end before their headers do, untouched.
    Malformed = 7,
    /// Handshakes completed by a SYN cookie, marked.
    CookieSteered = 8,
}

impl Event {
    /// Number of slots.
    pub const COUNT: u32 = 9;

    /// Every event, in the order of their slots.
    pub const ALL: [Self; Self::COUNT as usize] = [
        Self::SynMarked,
        Self::SynDelivered,
        Self::PacketSteered,
        Self::PacketPassed,
        Self::PacketAroundSocket,
        Self::IcmpSteered,
        Self::LaterFragment,
        Self::Malformed,
        Self::CookieSteered,
    ];

    /// The word in `weir status --json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SynMarked => "syn-marked",
            Self::SynDelivered => "syn-delivered",
            Self::PacketSteered => "packet-steered",
            Self::PacketPassed => "mid-flow",
            Self::PacketAroundSocket => "around-socket",
            Self::IcmpSteered => "icmp-steered",
            Self::LaterFragment => "not-first-fragment",
            Self::Malformed => "malformed",
            Self::CookieSteered => "cookie-steered",
        }
    }
}
