//! Addresses, flows and trie keys, all in network byte order.

use core::net::{IpAddr, SocketAddr};

use crate::abi::MAX_WORKERS;

/// Address family, as stored in keys.
pub const IPV4: u32 = 4;
/// Address family, as stored in keys.
pub const IPV6: u32 = 6;

/// An IPv4 or IPv6 address: IPv4 in the first word, the others 0. Words as they are in memory,
/// that is in network order.
pub type Address = [u32; 4];

/// A TCP flow as one of its packets shows it. Four-tuple and family, no padding: a hash key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// [`IPV4`] or [`IPV6`].
    pub family: u32,
    /// Source address.
    pub saddr: Address,
    /// Destination address.
    pub daddr: Address,
    /// Source port, network order.
    pub sport: u16,
    /// Destination port, network order.
    pub dport: u16,
}

impl Flow {
    /// The same flow as its other direction's packets show it.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self {
            family: self.family,
            saddr: self.daddr,
            daddr: self.saddr,
            sport: self.dport,
            dport: self.sport,
        }
    }

    /// The flow whose memory this is, as a program has written it.
    #[must_use]
    pub fn from_memory(octets: &[u8; size_of::<Self>()]) -> Self {
        let word = |at: usize| {
            u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
        };
        let address = |at: usize| [word(at), word(at + 4), word(at + 8), word(at + 12)];
        let port = |at: usize| u16::from_ne_bytes([octets[at], octets[at + 1]]);
        Self {
            family: word(0),
            saddr: address(4),
            daddr: address(20),
            sport: port(36),
            dport: port(38),
        }
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        SocketAddr::new(ip(self.family, &self.saddr), u16::from_be(self.sport))
    }

    /// Where it goes to.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        SocketAddr::new(ip(self.family, &self.daddr), u16::from_be(self.dport))
    }

    /// Index into [`map::LISTENERS`](crate::abi::map::LISTENERS) for this flow, which must be in
    /// the direction client → origin.
    ///
    /// It is a function of the four-tuple alone, because a SYN cookie is only valid with the
    /// listener that sent it (`tcp_synq_no_recent_overflow` is kept per listener), and both
    /// programs must come to the same one.
    #[inline(always)]
    #[must_use]
    pub const fn slot(&self, workers: u32) -> u32 {
        let family = if self.family == IPV4 { 0 } else { MAX_WORKERS };
        family + self.worker(workers)
    }

    /// The worker whose listener gets this flow.
    #[inline(always)]
    #[must_use]
    pub const fn worker(&self, workers: u32) -> u32 {
        let ports = ((self.sport as u32) << 16) | self.dport as u32;
        let mut hash = ports;
        let mut i = 0;
        while i < 4 {
            hash = mix(hash ^ self.saddr[i]);
            hash = mix(hash ^ self.daddr[i]);
            i += 1;
        }
        let worker = if workers == 0 { 0 } else { hash % workers };
        // For the verifier, which does not know that `workers` is bounded.
        if worker < MAX_WORKERS { worker } else { 0 }
    }
}

/// Where a client is between 0 and 99: the same at any time and on any host, and as likely
/// anywhere. With a share of `n` per cent, those below `n` are intercepted, so that a larger share
/// only adds clients.
///
/// It is of the whole address, also in IPv6: a LAN is one /64.
#[inline(always)]
#[must_use]
pub const fn bucket(client: &Address) -> u32 {
    let mut hash = 0;
    let mut i = 0;
    while i < 4 {
        hash = mix(hash ^ u32::from_be(client[i]));
        i += 1;
    }
    // 2^32 is no multiple of 100, by less than one in 40 million.
    hash % 100
}

/// One round of a 32-bit finaliser (splitmix32's constants).
const fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x21f0_aaad);
    x ^ (x >> 15)
}

/// Key data of the LPM tries: the family before the address, so that one trie holds both and
/// `::/0` does not match IPv4.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressBits {
    /// [`IPV4`] or [`IPV6`], in network order like all that a trie compares.
    pub family: u32,
    /// The address.
    pub address: Address,
}

impl AddressBits {
    /// Bits before the address.
    pub const FAMILY_BITS: u32 = 32;

    /// The key for `address` of `family`.
    #[inline(always)]
    #[must_use]
    pub const fn new(family: u32, address: Address) -> Self {
        Self {
            family: family.to_be(),
            address,
        }
    }

    /// Length in bits of a full key of `family`: what to look an address up with.
    #[inline(always)]
    #[must_use]
    pub const fn full_length(family: u32) -> u32 {
        Self::FAMILY_BITS + if family == IPV4 { 32 } else { 128 }
    }
}

/// Family and words of `address`.
#[must_use]
pub fn address(address: IpAddr) -> (u32, Address) {
    match address {
        IpAddr::V4(v4) => (IPV4, [u32::from_ne_bytes(v4.octets()), 0, 0, 0]),
        IpAddr::V6(v6) => {
            let mut words = [0; 4];
            for (word, octets) in words.iter_mut().zip(v6.octets().chunks_exact(4)) {
                *word = u32::from_ne_bytes([octets[0], octets[1], octets[2], octets[3]]);
            }
            (IPV6, words)
        }
    }
}

/// The address that these words are, the reverse of [`address`].
#[must_use]
pub fn ip(family: u32, words: &Address) -> IpAddr {
    if family == IPV4 {
        return words[0].to_ne_bytes().into();
    }
    let mut octets = [0; 16];
    for (octets, word) in octets.chunks_exact_mut(4).zip(words) {
        octets.copy_from_slice(&word.to_ne_bytes());
    }
    octets.into()
}

const _: () = {
    assert!(size_of::<Flow>() == 40);
    assert!(size_of::<AddressBits>() == 20);
};

#[cfg(feature = "user")]
mod pod {
    // SAFETY: `repr(C)`, integers only, no padding (sizes asserted above).
    #[expect(unsafe_code, reason = "Pod is an unsafe trait")]
    unsafe impl aya::Pod for super::Flow {}
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "Pod is an unsafe trait")]
    unsafe impl aya::Pod for super::AddressBits {}
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn flow(client: u8, port: u16) -> Flow {
        Flow {
            family: IPV4,
            saddr: address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, client))).1,
            daddr: address(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))).1,
            sport: port.to_be(),
            dport: 80u16.to_be(),
        }
    }

    #[test]
    fn reversing_twice_is_the_same_flow() {
        let flow = flow(2, 40_000);
        assert_eq!(flow.reversed().reversed(), flow);
        assert_ne!(flow.reversed(), flow);
    }

    #[test]
    fn slots_are_in_range_and_spread_over_all_workers() {
        for workers in [1, 2, 3, 64] {
            let mut seen = [0u32; MAX_WORKERS as usize];
            for port in 0..6400 {
                let slot = flow(2, 32_768 + port).slot(workers);
                assert!(slot < workers);
                seen[slot as usize] += 1;
            }
            let even = 6400 / workers;
            for count in &seen[..workers as usize] {
                assert!(*count > even / 2, "{workers} workers: {count} flows on one");
            }
        }
    }

    #[test]
    fn families_have_listeners_of_their_own() {
        let mut v6 = flow(2, 1);
        v6.family = IPV6;
        assert_eq!(v6.slot(1), MAX_WORKERS);
        assert_eq!(flow(2, 1).slot(1), 0);
    }

    #[test]
    fn no_workers_is_slot_zero_not_a_division_by_zero() {
        assert_eq!(flow(2, 1).slot(0), 0);
    }

    #[test]
    fn what_a_program_has_written_is_read() {
        let mut v6 = flow(2, 1);
        (v6.family, v6.saddr) = address("2001:db8::1:2".parse().unwrap());
        v6.daddr = address("2001:db8:9::7".parse().unwrap()).1;
        for (flow, from, to) in [
            (flow(2, 40_000), "10.0.0.2:40000", "203.0.113.7:80"),
            (v6, "[2001:db8::1:2]:1", "[2001:db8:9::7]:80"),
        ] {
            let ports = flow
                .sport
                .to_ne_bytes()
                .into_iter()
                .chain(flow.dport.to_ne_bytes());
            let octets = [flow.family]
                .into_iter()
                .chain(flow.saddr)
                .chain(flow.daddr)
                .flat_map(u32::to_ne_bytes)
                .chain(ports);
            let mut memory = [0; size_of::<Flow>()];
            for (place, octet) in memory.iter_mut().zip(octets) {
                *place = octet;
            }
            let read = Flow::from_memory(&memory);
            assert_eq!(read, flow);
            assert_eq!(read.source(), from.parse().unwrap());
            assert_eq!(read.destination(), to.parse().unwrap());
        }
    }

    #[test]
    fn addresses_are_in_network_order() {
        let (family, words) = address(IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert_eq!(family, IPV6);
        assert_eq!(words[3].to_ne_bytes(), [0, 0, 0, 1]);
        let key = AddressBits::new(family, words);
        assert_eq!(key.family.to_ne_bytes(), [0, 0, 0, 6]);
        assert_eq!(AddressBits::full_length(IPV4), 64);
        assert_eq!(AddressBits::full_length(IPV6), 160);
    }
}
