//! Entries as feeds have them, and addresses in them and beside them.

use std::collections::HashSet;

use proxy_ebpf::key::{IPV4, IPV6};
use proxy_userspace::dataplane::bypass::{Bits, Entry};

/// How many in a thousand are of each length: of a routing table, with single addresses.
const LENGTHS_V4: [(u32, u32); 10] = [
    (24, 600),
    (23, 80),
    (22, 100),
    (21, 40),
    (20, 40),
    (19, 25),
    (18, 15),
    (17, 10),
    (16, 10),
    (32, 80),
];
/// The same for IPv6.
const LENGTHS_V6: [(u32, u32); 9] = [
    (32, 150),
    (36, 50),
    (40, 90),
    (44, 60),
    (46, 30),
    (48, 470),
    (52, 20),
    (56, 50),
    (64, 80),
];

/// What a list is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Destinations only.
    Destinations,
    /// One entry in a hundred names clients as well.
    Sources,
}

/// Numbers from a seed (splitmix64): each run measures the same.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    /// Any address that may be an origin's.
    pub(crate) fn address(&mut self, family: u32) -> Bits {
        if family == IPV4 {
            loop {
                let first = self.next() & !0xffff_ffff;
                // Not the lab's own networks, so that it is the lists that decide.
                if !matches!(first >> 56, 0 | 10 | 127 | 169 | 203 | 224..) {
                    return Bits(first, 0);
                }
            }
        }
        Bits(1 << 61 | self.next() >> 3, self.next())
    }

    fn length(&mut self, family: u32) -> u32 {
        let lengths = if family == IPV4 {
            &LENGTHS_V4[..]
        } else {
            &LENGTHS_V6[..]
        };
        let mut at = u32::try_from(self.next() % 1000).unwrap_or(0);
        for (length, share) in lengths {
            if at < *share {
                return *length;
            }
            at -= share;
        }
        lengths[0].0
    }
}

/// So many different entries of a family; the same for the same seed.
pub(crate) fn entries(family: u32, count: usize, kind: Kind, seed: u64) -> Vec<Entry> {
    let mut numbers = Numbers(seed);
    // Of their own, so that both kinds have the same destinations.
    let mut clients = Numbers(!seed);
    let mut seen = HashSet::with_capacity(count);
    let mut entries = Vec::with_capacity(count);
    while entries.len() < count {
        let length = numbers.length(family);
        let destination = numbers.address(family).prefix(length);
        if !seen.insert((destination, length)) {
            continue;
        }
        let mut entry = Entry::to(family, destination, length);
        if kind == Kind::Sources && clients.below(100) == 0 {
            let (source, length) = client(family, &mut clients);
            entry.source = source;
            entry.source_length = length;
        }
        entries.push(entry);
    }
    entries
}

/// Both families.
pub(crate) fn both(count: usize, kind: Kind, seed: u64) -> Vec<Entry> {
    [IPV4, IPV6]
        .into_iter()
        .flat_map(|family| entries(family, count, kind, seed))
        .collect()
}

/// An address in it, any.
pub(crate) fn inside(entry: &Entry, numbers: &mut Numbers) -> Bits {
    let any = Bits(numbers.next(), numbers.next());
    let network = any.prefix(entry.destination_length);
    let host = Bits(any.0 ^ network.0, any.1 ^ network.1);
    let Bits(high, low) = Bits(entry.destination.0 | host.0, entry.destination.1 | host.1);
    if entry.family == IPV4 {
        Bits(high & !0xffff_ffff, 0)
    } else {
        Bits(high, low)
    }
}

/// The prefix as tools write it.
pub(crate) fn text(entry: &Entry) -> String {
    let Bits(high, low) = entry.destination;
    let length = entry.destination_length;
    if entry.family == IPV4 {
        let address = u32::try_from(high >> 32).unwrap_or(0);
        format!("{}/{length}", std::net::Ipv4Addr::from_bits(address))
    } else {
        let address = u128::from(high) << 64 | u128::from(low);
        format!("{}/{length}", std::net::Ipv6Addr::from_bits(address))
    }
}

/// A network of clients of the lab's kind: hosts, and networks of the usual sizes.
fn client(family: u32, numbers: &mut Numbers) -> (Bits, u32) {
    let any = numbers.next();
    let (bits, lengths) = if family == IPV4 {
        (Bits((10 << 56 | any >> 8) & !0xffff_ffff, 0), [24, 32])
    } else {
        (Bits(0xfd << 56 | any >> 8, numbers.next()), [64, 128])
    };
    let length = lengths[numbers.below(2)];
    (bits.prefix(length), length)
}
