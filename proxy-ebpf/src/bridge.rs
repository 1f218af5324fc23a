//! What is known of the way between a client and an origin across a bridge.

use crate::key::{Address, Flow};

/// A MAC address.
pub type Mac = [u8; 6];

/// The MAC address of the next hop of all that we send through a bridge. It is on no wire: what
/// has it leaves with the addresses of a [`Path`]. Locally administered, and "WEIR".
pub const NEXT_HOP: Mac = [0x02, b'W', b'E', b'I', b'R', 0];

/// How long a pair stays with its VLAN after the last frame from the client, in nanoseconds.
pub const KEEP: u64 = 600_000_000_000;

/// A client and an origin. No padding: a hash key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// [`IPV4`](crate::key::IPV4) or [`IPV6`](crate::key::IPV6).
    pub family: u32,
    /// The client's address.
    pub client: Address,
    /// The origin's.
    pub origin: Address,
}

impl Pair {
    /// The pair of a flow in the direction client → origin, and of one in the other.
    #[inline(always)]
    #[must_use]
    pub const fn of(flow: &Flow, from_client: bool) -> Self {
        let (client, origin) = if from_client {
            (flow.saddr, flow.daddr)
        } else {
            (flow.daddr, flow.saddr)
        };
        Self {
            family: flow.family,
            client,
            origin,
        }
    }
}

/// How the client's frames to the origin look.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// `CLOCK_MONOTONIC` nanosecond of the last frame from there, to the second.
    pub seen: u64,
    /// Their source.
    pub client: Mac,
    /// Their destination: the origin, or the router that the client sends to.
    pub next_hop: Mac,
    /// The tag, see [`tag`].
    pub tag: u32,
}

/// Set in a tag that is there.
const TAGGED: u32 = 1 << 16;

/// A VLAN tag: priority, drop eligibility and VLAN in 16 bits; 0 without one.
#[inline(always)]
#[must_use]
pub const fn tag(present: bool, tci: u32) -> u32 {
    if present { TAGGED | (tci & 0xffff) } else { 0 }
}

impl Path {
    /// The 16 bits of the tag, if there is one.
    #[inline(always)]
    #[must_use]
    pub const fn tci(&self) -> Option<u16> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower 16 bits are meant"
        )]
        if self.tag == 0 {
            None
        } else {
            Some(self.tag as u16)
        }
    }

    /// Whether frames with `tag` are of another VLAN.
    #[inline(always)]
    #[must_use]
    pub const fn is_apart(&self, tag: u32) -> bool {
        // The priority may change from frame to frame.
        const VLAN: u32 = TAGGED | 0x0fff;
        (self.tag ^ tag) & VLAN != 0
    }
}

const _: () = {
    assert!(size_of::<Pair>() == 36);
    assert!(size_of::<Path>() == 24);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_are_apart_and_priorities_are_not() {
        let path = |tag| Path {
            seen: 0,
            client: [0; 6],
            next_hop: [0; 6],
            tag,
        };
        assert!(!path(tag(true, 7)).is_apart(tag(true, 0xe007)));
        assert!(path(tag(true, 7)).is_apart(tag(true, 8)));
        assert!(path(tag(true, 0)).is_apart(tag(false, 0)));
        assert!(!path(tag(false, 9)).is_apart(tag(false, 0)));
        assert_eq!(path(tag(true, 0xe007)).tci(), Some(0xe007));
        assert_eq!(path(tag(false, 5)).tci(), None);
    }

    #[test]
    fn both_directions_are_one_pair() {
        let flow = Flow {
            family: 4,
            saddr: [1, 0, 0, 0],
            daddr: [2, 0, 0, 0],
            sport: 5,
            dport: 80,
        };
        assert_eq!(Pair::of(&flow, true), Pair::of(&flow.reversed(), false));
    }
}
