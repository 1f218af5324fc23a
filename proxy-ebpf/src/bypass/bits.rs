//! Addresses as numbers whose most significant bit is the address's first, and the hash of what
//! a table is searched for.

use crate::key::{Address, IPV4};

/// An address or the network part of one, **host order**: IPv4 in the upper half of the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct Bits(pub u64, pub u64);

impl Bits {
    /// From an address of `family` as packets have it.
    #[inline(always)]
    #[must_use]
    pub const fn new(family: u32, address: &Address) -> Self {
        let high = pair(address[0], address[1]);
        if family == IPV4 {
            Self(high & !0xffff_ffff, 0)
        } else {
            Self(high, pair(address[2], address[3]))
        }
    }

    /// Its first `length` bits, 0 to 128; the others are 0. Without a branch: the verifier would
    /// follow each in every step of a search.
    #[inline(always)]
    #[must_use]
    pub const fn prefix(self, length: u32) -> Self {
        let length = length as u64;
        let high_is_whole = 0u64.wrapping_sub(((length >> 6) | (length >> 7)) & 1);
        let low_is_whole = 0u64.wrapping_sub(length >> 7);
        let partly = !(!0u64 >> (length & 63));
        Self(
            self.0 & (high_is_whole | partly),
            self.1 & (high_is_whole & partly | low_is_whole),
        )
    }
}

const fn pair(a: u32, b: u32) -> u64 {
    ((u32::from_be(a) as u64) << 32) | u32::from_be(b) as u64
}

/// A running hash. Seeded, as the keys come from feeds that others write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub u64);

impl Hash {
    /// Takes a word in.
    #[inline(always)]
    #[must_use]
    pub const fn word(self, word: u64) -> Self {
        // The multiplication mixes upwards, the shifts downwards.
        let word = self.0 ^ word;
        let mixed = (word ^ (word >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(mixed ^ (mixed >> 29))
    }

    /// Takes an address in.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self, bits: Bits) -> Self {
        self.word(bits.0).word(bits.1)
    }

    /// Which of so many lines, not 0: the low half, scaled.
    #[inline(always)]
    #[must_use]
    pub const fn line(self, lines: u32) -> u32 {
        (((self.0 & 0xffff_ffff) * lines as u64) >> 32) as u32
    }

    /// What tells keys of one line apart: the high half.
    #[inline(always)]
    #[must_use]
    pub const fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;
    use crate::key::{IPV6, address};

    fn bits(text: &str) -> Bits {
        let (family, words) = address(text.parse::<IpAddr>().unwrap());
        Bits::new(family, &words)
    }

    #[test]
    fn the_first_bit_is_the_most_significant() {
        assert_eq!(bits("128.0.0.1"), Bits(0x8000_0001 << 32, 0));
        assert_eq!(bits("8000::1"), Bits(1 << 63, 1));
        assert_eq!(Bits::new(IPV6, &[0; 4]), Bits(0, 0));
    }

    #[test]
    fn prefixes_of_every_length() {
        let all = Bits(!0, !0);
        for length in 0..=128 {
            let Bits(high, low) = all.prefix(length);
            assert_eq!(high.count_ones() + low.count_ones(), length);
            assert_eq!(
                high.leading_ones() + if high == !0 { low.leading_ones() } else { 0 },
                length
            );
        }
    }

    #[test]
    fn hashes_spread_over_lines_and_tags() {
        let mut lines = [0u32; 256];
        let mut tags = std::collections::HashSet::new();
        for host in 0..25_600u64 {
            let hash = Hash(1).bits(Bits(host << 32, 0));
            lines[hash.line(256) as usize] += 1;
            tags.insert(hash.tag());
        }
        assert!(
            lines.iter().all(|count| (40..180).contains(count)),
            "{lines:?}"
        );
        assert!(tags.len() > 25_590);
    }
}
