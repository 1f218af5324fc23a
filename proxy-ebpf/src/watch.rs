//! Decisions that somebody watches (`weir why --watch`): which are wanted, and how one is told.

use core::net::SocketAddr;

use crate::{
    key::{Address, Flow},
    verdict::Reason,
};

/// Number of the reason of a SYN that no policy is asked about. It is not among
/// [`Reason`], since nothing counts it.
pub const PORT_NOT_WATCHED: u32 = 63;

/// Its word.
pub const PORT_NOT_WATCHED_WORD: &str = "port-not-watched";

const _: () = assert!(Reason::COUNT < PORT_NOT_WATCHED);

/// Untouched: it goes where it would without us.
pub const DIRECT: u32 = 0;
/// Marked for local delivery: a new connection, or one that has been intercepted before.
pub const INTERCEPTED: u32 = 1;
/// Taken out: answered with a reset, or dropped in a loop.
pub const STOPPED: u32 = 2;

/// Nanoseconds of the span within which [`Watch::rate`] holds.
pub const SPAN: u64 = 1_000_000_000;

/// What somebody watches: an entry of [`map::WATCHES`](crate::abi::map::WATCHES). Written by the
/// daemon alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// `CLOCK_MONOTONIC` nanosecond at which it ends, unless the daemon says otherwise; 0: there
    /// is none.
    pub until: u64,
    /// A bit for each reason that is wanted, by its number.
    pub reasons: u64,
    /// One in so many of what matches, at random; at least 1.
    pub sample: u32,
    /// So many on each CPU within a [`SPAN`].
    pub rate: u32,
    /// What is wanted, as far as `mask` says.
    pub shape: Shape,
    /// The bits of `shape` that have to be so.
    pub mask: Shape,
}

/// What a decision is about.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// [`IPV4`](crate::key::IPV4) or [`IPV6`](crate::key::IPV6).
    pub family: u32,
    /// The client.
    pub saddr: Address,
    /// The destination.
    pub daddr: Address,
    /// Its port, network order in the lower half.
    pub dport: u32,
    /// Index of the interface, host order.
    pub ifindex: u32,
}

impl Shape {
    /// No bit of it.
    pub const NONE: Self = Self {
        family: 0,
        saddr: [0; 4],
        daddr: [0; 4],
        dport: 0,
        ifindex: 0,
    };
}

impl Watch {
    /// Nothing.
    pub const NONE: Self = Self {
        until: 0,
        reasons: 0,
        sample: 1,
        rate: 0,
        shape: Shape::NONE,
        mask: Shape::NONE,
    };

    /// Whether a decision is one that is wanted. Without a branch for each part: the verifier would
    /// follow every combination of them.
    #[inline(always)]
    #[must_use]
    pub fn wants(&self, flow: &Flow, ifindex: u32, reason: u32) -> bool {
        let Self { shape, mask, .. } = self;
        let mut difference = (shape.family ^ flow.family) & mask.family
            | (shape.dport ^ flow.dport as u32) & mask.dport
            | (shape.ifindex ^ ifindex) & mask.ifindex;
        let mut i = 0;
        while i < 4 {
            difference |= (shape.saddr[i] ^ flow.saddr[i]) & mask.saddr[i]
                | (shape.daddr[i] ^ flow.daddr[i]) & mask.daddr[i];
            i += 1;
        }
        difference == 0 && (self.reasons >> (reason & 63)) & 1 != 0
    }
}

/// What has become of decisions that a [`Watch`] wants: an entry of
/// [`map::WATCHED`](crate::abi::map::WATCHED).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// The number of the [`SPAN`] that `told` is of.
    pub span: u64,
    /// So many were told within it.
    pub told: u64,
    /// Left out by [`Watch::sample`].
    pub sampled: u64,
    /// Left out by [`Watch::rate`].
    pub limited: u64,
    /// There was no room.
    pub lost: u64,
}

/// A decision, as [`map::DECISIONS`](crate::abi::map::DECISIONS) has it.
///
/// Numbers are in host byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// `CLOCK_MONOTONIC` nanosecond.
    pub time: u64,
    /// Client to origin.
    pub flow: Flow,
    /// The place of the [`Watch`] that wants it.
    pub watch: u32,
    /// Index of the interface.
    pub ifindex: u32,
    /// A [`Reason`]'s number, or [`PORT_NOT_WATCHED`].
    pub reason: u32,
    /// [`DIRECT`], [`INTERCEPTED`] or [`STOPPED`].
    pub outcome: u32,
    /// The VLAN tag that it came with, as [`bridge::tag`](crate::bridge::tag) has it.
    pub tag: u32,
    /// 0.
    pub reserved: u32,
}

impl Decision {
    /// The decision whose memory this is, as a program has written it.
    #[must_use]
    pub fn from_memory(octets: &[u8; size_of::<Self>()]) -> Self {
        let (time, rest) = octets.split_at(8);
        let (flow, rest) = rest.split_at(size_of::<Flow>());
        let mut words = rest.as_chunks().0.iter().map(|it| u32::from_ne_bytes(*it));
        let mut next = || words.next().unwrap_or(0);
        Self {
            time: time.first_chunk().map_or(0, |it| u64::from_ne_bytes(*it)),
            flow: flow.first_chunk().map_or(
                Flow {
                    family: 0,
                    saddr: [0; 4],
                    daddr: [0; 4],
                    sport: 0,
                    dport: 0,
                },
                Flow::from_memory,
            ),
            watch: next(),
            ifindex: next(),
            reason: next(),
            outcome: next(),
            tag: next(),
            reserved: next(),
        }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> SocketAddr {
        self.flow.source()
    }

    /// The VLAN that it came in, if it had a tag that names one.
    #[must_use]
    pub const fn vlan(&self) -> Option<u32> {
        match self.tag & 0x0fff {
            0 => None,
            vlan => Some(vlan),
        }
    }
}

/// Every reason that can be watched for, with its number.
pub fn reasons() -> impl Iterator<Item = (u32, &'static str)> {
    let counted = Reason::ALL.into_iter();
    counted
        .map(|reason| (reason as u32, reason.as_str()))
        .chain([(PORT_NOT_WATCHED, PORT_NOT_WATCHED_WORD)])
}

const _: () = {
    assert!(size_of::<Shape>() == 44);
    assert!(size_of::<Watch>() == 24 + 2 * 44);
    assert!(size_of::<Watched>() == 40);
    assert!(size_of::<Decision>() == 8 + 40 + 6 * 4);
};

#[cfg(feature = "user")]
mod pod {
    // SAFETY: `repr(C)`, integers only, no padding (size asserted above).
    #[expect(unsafe_code, reason = "Pod is an unsafe trait")]
    unsafe impl aya::Pod for super::Watch {}
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "Pod is an unsafe trait")]
    unsafe impl aya::Pod for super::Watched {}
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;
    use crate::key::{self, IPV4, IPV6};

    fn flow(client: &str, origin: &str, port: u16) -> Flow {
        let [(family, saddr), (_, daddr)] =
            [client, origin].map(|it| key::address(it.parse::<IpAddr>().unwrap()));
        Flow {
            family,
            saddr,
            daddr,
            sport: 50_000u16.to_be(),
            dport: port.to_be(),
        }
    }

    fn everything() -> Watch {
        Watch {
            reasons: u64::MAX,
            ..Watch::NONE
        }
    }

    #[test]
    fn what_says_nothing_wants_everything() {
        let (v4, v6) = (
            flow("10.0.0.1", "192.0.2.1", 80),
            flow("2001:db8::1", "2001:db8::2", 80),
        );
        for flow in [v4, v6] {
            for (number, _) in reasons() {
                assert!(everything().wants(&flow, 3, number));
                assert!(!Watch::NONE.wants(&flow, 3, number));
            }
        }
    }

    #[test]
    fn each_part_has_to_hold() {
        let seen = flow("10.0.0.1", "192.0.2.1", 80);
        let reason = Reason::Shadow as u32;
        let with = |shape: Shape, mask: Shape| Watch {
            shape,
            mask,
            ..everything()
        };
        let (of, all) = (Shape::NONE, u32::MAX);
        let prefix = |saddr: [u8; 4]| Shape {
            family: IPV4,
            saddr: [u32::from_ne_bytes(saddr), 0, 0, 0],
            ..of
        };
        let bits = Shape {
            family: all,
            saddr: [u32::from_ne_bytes([255, 255, 0, 0]), 0, 0, 0],
            ..of
        };
        assert!(with(prefix([10, 0, 0, 0]), bits).wants(&seen, 3, reason));
        assert!(!with(prefix([10, 1, 0, 0]), bits).wants(&seen, 3, reason));
        for (shape, mask) in [
            (Shape { family: IPV6, ..of }, Shape { family: all, ..of }),
            (
                Shape {
                    dport: u32::from(81u16.to_be()),
                    ..of
                },
                Shape { dport: all, ..of },
            ),
            (Shape { ifindex: 4, ..of }, Shape { ifindex: all, ..of }),
            (
                of,
                Shape {
                    daddr: [0, 0, 0, all],
                    ifindex: 1,
                    ..of
                },
            ),
        ] {
            assert!(!with(shape, mask).wants(&seen, 3, reason), "{shape:?}");
        }
        let one = Watch {
            reasons: 1 << reason,
            ..everything()
        };
        assert!(one.wants(&seen, 3, reason));
        assert!(!one.wants(&seen, 3, Reason::Canary as u32));
        assert!(!one.wants(&seen, 3, PORT_NOT_WATCHED));
    }

    #[test]
    fn what_was_written_is_read() {
        let mut octets = [0; size_of::<Decision>()];
        octets[..8].copy_from_slice(&7u64.to_ne_bytes());
        octets[8..12].copy_from_slice(&IPV4.to_ne_bytes());
        octets[12..16].copy_from_slice(&[10, 0, 0, 2]);
        octets[44..46].copy_from_slice(&50_000u16.to_be_bytes());
        for (place, octets) in octets[48..].chunks_exact_mut(4).enumerate() {
            octets.copy_from_slice(&u32::try_from(place).unwrap().to_ne_bytes());
        }
        let decision = Decision::from_memory(&octets);
        assert_eq!((decision.time, decision.watch, decision.tag), (7, 0, 4));
        assert_eq!(decision.client(), "10.0.0.2:50000".parse().unwrap());
        assert_eq!(decision.vlan(), Some(4));
    }

    #[test]
    fn reasons_have_words_and_numbers_of_their_own() {
        let all: std::collections::HashMap<_, _> = reasons().collect();
        assert_eq!(all.len(), Reason::COUNT as usize + 1);
        assert_eq!(all[&PORT_NOT_WATCHED], "port-not-watched");
        assert_eq!(all[&0], "intercepted");
    }
}
