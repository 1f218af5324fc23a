//! Packets of ours, and direct ones, that come back to us: a router sends them here again.
//!
//! That a packet comes back once may be meant: it goes through us twice, by two links. One that
//! comes in by the same interface again, with fewer hops left, goes round, and does so until none
//! is left.

use crate::key::{AddressBits, Flow};

/// What came in: a key of [`map::SIGHTED`](crate::abi::map::SIGHTED).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    /// As it came in.
    pub flow: Flow,
    /// Index of the interface.
    pub ifindex: u32,
}

/// When it did so last.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Sequence number of the segment, network order.
    pub sequence: u32,
    /// Hops left (TTL, hop limit).
    pub hops: u32,
}

impl Sighting {
    /// Whether this is the segment of `earlier` again, which has been elsewhere in between.
    #[inline(always)]
    #[must_use]
    pub const fn came_round(&self, earlier: &Self) -> bool {
        self.sequence == earlier.sequence && self.hops < earlier.hops
    }
}

/// What goes round.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Our SYN to an origin.
    Ours = 0,
    /// A client's SYN that goes direct.
    Direct = 1,
    /// Our answer to a client.
    Answer = 2,
}

/// An origin whose packets go round: a value of [`map::LOOPING`](crate::abi::map::LOOPING), by
/// its address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looping {
    /// `CLOCK_MONOTONIC`, in nanoseconds, of the last packet of each kind; 0 if there was none.
    /// Indexed by [`What`].
    pub seen: [u64; 3],
    /// Index of the interface that the last one came back by.
    pub ifindex: u32,
    /// 0.
    pub reserved: u32,
}

/// How long an origin is gone to directly after one of our packets to it came round, in
/// nanoseconds.
pub const MEMORY_NS: u64 = 60 * 1_000_000_000;

/// Key of [`map::LOOPING`](crate::abi::map::LOOPING).
pub type Origin = AddressBits;

const _: () = {
    assert!(size_of::<Packet>() == size_of::<Flow>() + 4);
    assert!(size_of::<Looping>() == 32);
};

#[cfg(feature = "user")]
mod pod {
    // SAFETY: `repr(C)`, integers only, no padding (size asserted above).
    #[expect(unsafe_code, reason = "Pod is an unsafe trait")]
    unsafe impl aya::Pod for super::Looping {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_segment_with_fewer_hops_came_round() {
        let first = Sighting {
            sequence: 7,
            hops: 63,
        };
        assert!(Sighting { hops: 61, ..first }.came_round(&first));
        // Sent again, by its sender or by a bridge; another connection on the same ports.
        assert!(!first.came_round(&first));
        assert!(!Sighting { hops: 64, ..first }.came_round(&first));
        let other = Sighting {
            sequence: 8,
            hops: 61,
        };
        assert!(!other.came_round(&first));
    }
}
