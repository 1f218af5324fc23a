//! What the programs count besides flows by [`Reason`](crate::verdict::Reason).

use crate::{abi::MAX_INTERFACES, key::IPV4};

/// A slot of [`map::EVENTS`](crate::abi::map::EVENTS).
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Packets that belong to a socket of ours, marked.
    PacketSteered = 0,
    /// Packets of watched ports that belong to no socket of ours, untouched (`mid-flow`).
    PacketPassed = 1,
    /// Packets of direct flows steered around a dying socket of ours with the same tuple.
    PacketAroundSocket = 2,
    /// ICMP errors about a flow of ours, marked.
    IcmpSteered = 3,
    /// Fragments of TCP without ports that are of no datagram of ours, as far as is known:
    /// untouched.
    LaterFragment = 4,
    /// Frames that end before their headers do, untouched.
    Malformed = 5,
    /// Handshakes completed by a SYN cookie, marked.
    CookieSteered = 6,
    /// Translations of connections of ours that could not be recorded: their answers pass us by.
    TranslationLost = 7,
    /// Frames on a bridge with more than one VLAN tag, untouched.
    DoubleTagged = 8,
    /// Frames of ours to a client or an origin across a bridge of which nothing is known, dropped.
    NoPath = 9,
    /// Fragments without ports of datagrams of ours, marked.
    FragmentSteered = 10,
    /// Datagrams of ours whose first fragment came behind others, which had passed untouched by
    /// then. Something has to put them together before routing, or they are lost.
    FragmentOvertaken = 11,
    /// First fragments that end before what a verdict needs: untouched.
    TinyFragment = 12,
    /// Packets of ours, and direct ones, that came back to us over and over, dropped.
    LoopBroken = 13,
    /// Resets by which a client shows that the answer to a connect of ours came to it by a way
    /// that does not pass us; untouched.
    AsymmetricReturn = 14,
    /// SYNs that no worker could take, from a LAN that fails closed: answered with a reset.
    Refused = 15,
}

impl Event {
    /// Number of slots.
    pub const COUNT: u32 = 16;

    /// Every event, in the order of their slots.
    pub const ALL: [Self; Self::COUNT as usize] = [
        Self::PacketSteered,
        Self::PacketPassed,
        Self::PacketAroundSocket,
        Self::IcmpSteered,
        Self::LaterFragment,
        Self::Malformed,
        Self::CookieSteered,
        Self::TranslationLost,
        Self::DoubleTagged,
        Self::NoPath,
        Self::FragmentSteered,
        Self::FragmentOvertaken,
        Self::TinyFragment,
        Self::LoopBroken,
        Self::AsymmetricReturn,
        Self::Refused,
    ];

    /// The word in `weir status --json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PacketSteered => "packet-steered",
            Self::PacketPassed => "mid-flow",
            Self::PacketAroundSocket => "around-socket",
            Self::IcmpSteered => "icmp-steered",
            Self::LaterFragment => "not-first-fragment",
            Self::Malformed => "malformed",
            Self::CookieSteered => "cookie-steered",
            Self::TranslationLost => "translation-lost",
            Self::DoubleTagged => "double-tagged",
            Self::NoPath => "no-path",
            Self::FragmentSteered => "fragment-steered",
            Self::FragmentOvertaken => "fragment-overtaken",
            Self::TinyFragment => "tiny-fragment",
            Self::LoopBroken => "loop-broken",
            Self::AsymmetricReturn => "asymmetric-return",
            Self::Refused => "refused",
        }
    }
}

/// What the valve compares, for each LAN and family.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// SYNs marked for local delivery that no socket had the tuple of: each of these must reach
    /// `sk_lookup`, or something between TC and TCP eats them.
    Marked = 0,
    /// SYNs that `sk_lookup` gave to a listener of ours.
    Delivered = 1,
}

/// Number of slots of [`map::DELIVERIES`](crate::abi::map::DELIVERIES).
pub const DELIVERIES: u32 = MAX_INTERFACES * 4;

/// Slot of [`map::DELIVERIES`](crate::abi::map::DELIVERIES) for the interface with this
/// [`slot`](crate::settings::Interface::slot).
#[inline(always)]
#[must_use]
pub const fn delivery(interface: u32, family: u32, what: Delivery) -> u32 {
    let family = if family == IPV4 { 0 } else { 2 };
    (interface % MAX_INTERFACES) * 4 + family + what as u32
}
