//! What is remembered of datagrams that come in fragments.
//!
//! Only the first fragment has ports. What was done with it is remembered by what the kernel puts
//! the datagram together by, and done with the others.

use crate::key::Address;

/// A datagram of which a fragment came: the key of
/// [`map::FRAGMENTS`](crate::abi::map::FRAGMENTS). No padding.
///
/// RFC 791 §3.2 names the protocol as well; of IPv4 only fragments of TCP are looked at. RFC 8200
/// §4.5 does not.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Datagram {
    /// [`IPV4`](crate::key::IPV4) or [`IPV6`](crate::key::IPV6).
    pub family: u32,
    /// Source address.
    pub saddr: Address,
    /// Destination address.
    pub daddr: Address,
    /// The Identification, 16 (IPv4) or 32 bits as they are in memory.
    pub id: u32,
}

/// What was done with a fragment, and when: the value of
/// [`map::FRAGMENTS`](crate::abi::map::FRAGMENTS).
///
/// The nanosecond of `CLOCK_MONOTONIC`, but for the lowest bit, which says "steered".
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(u64);

impl Trace {
    /// How long it says something about further fragments, in nanoseconds: 5 s.
    ///
    /// The kernel waits longer for the last fragment (`ipfrag_time`, 30 s; IPv6: 60 s). But the
    /// identifications of IPv4 come round within seconds on a fast link, and then those of another
    /// flow between the two hosts would be taken for ours. Fragments leave their router one behind
    /// the other: no queue keeps them apart for so long.
    pub const LIFETIME: u64 = 5_000_000_000;

    /// Of a fragment that came at `now`.
    #[inline(always)]
    #[must_use]
    pub const fn new(now: u64, steered: bool) -> Self {
        Self((now & !1) | steered as u64)
    }

    /// Whether a fragment that comes at `now` is of the same datagram.
    #[inline(always)]
    #[must_use]
    pub const fn is_fresh(self, now: u64) -> bool {
        // A fragment on another CPU may have come a little later.
        now < self.0 || now - self.0 <= Self::LIFETIME
    }

    /// Whether the fragment was marked for local delivery.
    #[inline(always)]
    #[must_use]
    pub const fn steered(self) -> bool {
        self.0 & 1 != 0
    }
}

const _: () = {
    assert!(size_of::<Datagram>() == 40);
    assert!(size_of::<Trace>() == 8);
};

#[cfg(feature = "user")]
mod pod {
    // SAFETY: `repr(C)`, integers only, no padding (size asserted above).
    #[expect(unsafe_code, reason = "Pod is an unsafe trait")]
    unsafe impl aya::Pod for super::Datagram {}
    // SAFETY: a transparent u64.
    #[expect(unsafe_code, reason = "Pod is an unsafe trait")]
    unsafe impl aya::Pod for super::Trace {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_forgotten_after_its_lifetime() {
        for steered in [false, true] {
            let trace = Trace::new(1_000_001, steered);
            assert_eq!(trace.steered(), steered);
            for now in [0, 1_000_000, 1_000_001, 1_000_000 + Trace::LIFETIME] {
                assert!(trace.is_fresh(now), "{now}");
            }
            assert!(!trace.is_fresh(1_000_002 + Trace::LIFETIME));
        }
    }
}
