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

/// The bits of a tag that name the VLAN. 0 names none: such a tag bears a priority only, and the
/// frame is of the same network as those without a tag (IEEE 802.1Q, priority-tagged).
const VLAN: u32 = 0x0fff;

/// A VLAN tag: priority, drop eligibility and VLAN in 16 bits; 0 without one.
#[inline(always)]
#[must_use]
pub const fn tag(present: bool, tci: u32) -> u32 {
    if present { TAGGED | (tci & 0xffff) } else { 0 }
}

impl Path {
    /// Whether the client's frames have a tag.
    #[inline(always)]
    #[must_use]
    pub const fn is_tagged(&self) -> bool {
        self.tag != 0
    }

    /// The 16 bits of the tag for frames to the origin, or to the client, if they need one.
    ///
    /// To the origin it is the client's own. What the origin would have put on its answers is not
    /// known, so the client's have the VLAN and no priority.
    #[inline(always)]
    #[must_use]
    pub const fn tci(&self, to_origin: bool) -> Option<u16> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower 16 bits are meant"
        )]
        match (to_origin, self.tag) {
            (_, 0) => None,
            (true, tag) => Some(tag as u16),
            (false, tag) if tag & VLAN == 0 => None,
            (false, tag) => Some((tag & VLAN) as u16),
        }
    }

    /// Whether frames with `tag` are of another VLAN.
    #[inline(always)]
    #[must_use]
    pub const fn is_apart(&self, tag: u32) -> bool {
        // The priority may change from frame to frame, and a frame without a tag has no VLAN bits.
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
        assert!(path(tag(true, 7)).is_apart(tag(false, 0)));
        // A priority without a VLAN is none.
        assert!(!path(tag(true, 0xa000)).is_apart(tag(false, 0)));
        assert!(!path(tag(false, 9)).is_apart(tag(false, 0)));
    }

    #[test]
    fn answers_have_the_vlan_and_no_priority() {
        let path = |tag| Path {
            seen: 0,
            client: [0; 6],
            next_hop: [0; 6],
            tag,
        };
        for (there, both) in [
            (tag(true, 0xe007), [Some(0xe007), Some(7)]),
            (tag(true, 0xa000), [Some(0xa000), None]),
            (tag(true, 0), [Some(0), None]),
            (tag(false, 5), [None, None]),
        ] {
            assert_eq!([true, false].map(|way| path(there).tci(way)), both);
            assert_eq!(path(there).is_tagged(), both[0].is_some());
        }
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
