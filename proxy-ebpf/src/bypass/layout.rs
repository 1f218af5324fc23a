//! What is in which line of a bypass table. All words are in host order.
//!
//! | lines | what |
//! |---|---|
//! | 0 | [`header`] |
//! | 1 | [`GLOBALS`]: lengths of short prefixes |
//! | from [`TUPLES`] | per family and destination length: which source lengths go with it |
//! | filters | words of lengths, by hash of the first bits of an address |
//! | buckets | eight [slots](slot) of a tag and a record's number |
//! | records | an [entry](Record) each |
//! | counters | four pairs of hits and time of the last, in the records' order |

use super::bits::{Bits, Hash};
use crate::key::{IPV4, IPV6};

/// Words of a line.
pub const WORDS: usize = 8;

/// The line of the lengths of short prefixes: word [`global`] of side and family.
pub const GLOBALS: u32 = 1;

/// The first of the lines of source lengths; [`tuple_line`].
pub const TUPLES: u32 = 2;

/// The first line whose place depends on the table's size.
pub const VARIABLE: u32 = TUPLES + 33 + 129;

/// Words of line 0.
pub mod header {
    /// Entries are seen by their [`since`](super::Record::since) and
    /// [`until`](super::Record::until) as of this epoch.
    pub const EPOCH: usize = 0;
    /// Bit n: list n is on.
    pub const ENABLED: usize = 1;
    /// Seed of the hash.
    pub const SEED: usize = 2;
    /// First line of the filters, how many lines.
    pub const FILTERS: usize = 3;
    /// First line of the buckets, how many lines. The last [`BUCKETS_AHEAD`](super::BUCKETS_AHEAD)
    /// of them are nobody's first.
    pub const BUCKETS: usize = 4;
    /// First line of the records, first line of the counters.
    pub const RECORDS: usize = 5;
    /// [`in_use`](super::in_use) bits: bands that have any prefix.
    pub const IN_USE: usize = 6;
}

/// Number of bands of lengths.
pub const BANDS: usize = 5;

/// Side of a flow, in filters and [`in_use`].
pub const DESTINATION: u32 = 0;
/// Side of a flow, in filters and [`in_use`].
pub const SOURCE: u32 = 1;

/// The bands of a family, longest first: a band's filter is asked with the address's first
/// `anchors[b]` bits and has prefixes longer than that, up to `ends[b]`. The last band has no
/// filter but a word for all addresses ([`GLOBALS`]), and length 0 in it, too.
#[derive(Clone, Copy, Debug)]
pub struct Bands {
    /// Bits of the address that the filter is asked with.
    pub anchors: [u32; BANDS],
    /// The longest prefix. In a band's word, bit 0 is this length, bit 1 the next shorter.
    pub ends: [u32; BANDS],
}

/// Bands of IPv4: feeds are mostly /24 and /32, with some from /16 up.
pub const BANDS_V4: Bands = Bands {
    anchors: [24, 20, 16, 8, 0],
    ends: [32, 24, 20, 16, 8],
};

/// Bands of IPv6: /64 and /128 of hosts, /48 of sites, /29 to /32 of networks.
pub const BANDS_V6: Bands = Bands {
    anchors: [64, 48, 32, 16, 0],
    ends: [128, 64, 48, 32, 16],
};

/// The bands of `family`.
#[inline(always)]
#[must_use]
pub const fn bands(family: u32) -> &'static Bands {
    if family == IPV4 { &BANDS_V4 } else { &BANDS_V6 }
}

impl Bands {
    /// The band of prefixes of `length`.
    #[must_use]
    pub const fn of(&self, length: u32) -> usize {
        let mut band = BANDS - 1;
        while band > 0 && length > self.ends[band] {
            band -= 1;
        }
        band
    }

    /// The bit for `length` in its band's words.
    #[must_use]
    pub const fn bit(&self, length: u32) -> u64 {
        1 << (self.ends[self.of(length)] - length)
    }

    /// The bits of a band's word. Filters share their words with other bands, sides and families,
    /// whose bits mean other lengths.
    #[inline(always)]
    #[must_use]
    pub const fn bits(&self, band: usize) -> u64 {
        let lengths = self.ends[band] - self.anchors[band];
        !0 >> (64 - lengths)
    }
}

/// The word of [`GLOBALS`] for a side and a family.
#[inline(always)]
#[must_use]
pub const fn global(side: u32, family: u32) -> usize {
    (side * 2 + (family == IPV6) as u32) as usize
}

/// The bit of [`header::IN_USE`] for a band.
#[inline(always)]
#[must_use]
pub const fn in_use(side: u32, family: u32, band: usize) -> u64 {
    1 << (global(side, family) * 8 + band)
}

/// The line of the source lengths that go with destinations of `length`: the words of a
/// [`Lengths`](super::lengths::Lengths).
#[inline(always)]
#[must_use]
pub const fn tuple_line(family: u32, length: u32) -> u32 {
    TUPLES + length + if family == IPV4 { 0 } else { 33 }
}

/// What a filter is asked with: line `line(lines)`, and in it the [`filter_place`].
#[inline(always)]
#[must_use]
pub const fn filter_hash(seed: u64, side: u32, family: u32, band: usize, first: Bits) -> Hash {
    let kind = ((side << 16) | (family << 8)) as u64 | band as u64;
    Hash(seed ^ kind).bits(first)
}

/// The word of a filter's line, and by how much its bits are rotated to the left: most words are
/// of few addresses, and would else have the same few bits set, those of the usual lengths.
#[inline(always)]
#[must_use]
pub const fn filter_place(hash: Hash) -> (usize, u32) {
    let tag = hash.tag();
    ((tag & 7) as usize, (tag >> 3) & 63)
}

/// The hash of a pair of prefixes: the bucket of its line has it, or where that is full, the next
/// one, and so on, up to [`BUCKETS_AHEAD`] further.
#[inline(always)]
#[must_use]
pub const fn entry_hash(
    seed: u64,
    family: u32,
    (destination, destination_length): (Bits, u32),
    (source, source_length): (Bits, u32),
) -> Hash {
    let kind = (1 << 24) | (family << 16) | (source_length << 8) | destination_length;
    // A round of its own: beside an address in one, two keys could be alike with every seed.
    let hash = Hash(seed).word(kind as u64);
    if family == IPV4 {
        hash.word(destination.0 | (source.0 >> 32))
    } else if source_length == 0 {
        hash.bits(destination)
    } else {
        hash.bits(destination).bits(source)
    }
}

/// How many buckets behind the first may have an entry.
pub const BUCKETS_AHEAD: u32 = 8;

/// A slot of a bucket; 0 is empty. `record` is not 0.
#[inline(always)]
#[must_use]
pub const fn slot(tag: u32, record: u32) -> u64 {
    ((tag as u64) << 32) | record as u64
}

/// Two numbers of a word: the low half, the high half.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "halves")]
pub const fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

/// A word of two numbers.
#[inline(always)]
#[must_use]
pub const fn joined(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// An entry as its line has it. Records are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// [`IPV4`] or [`IPV6`].
    pub family: u32,
    /// Network of destinations.
    pub destination: Bits,
    /// Its length; 0 is every destination.
    pub destination_length: u32,
    /// Network of clients.
    pub source: Bits,
    /// Its length; 0 is every client.
    pub source_length: u32,
    /// Destination port, host order; 0 is every port.
    pub port: u16,
    /// [Number](crate::settings::Interface::lan) of the LAN; 0 is every LAN.
    pub lan: u32,
    /// Number of its list, 0 to 63.
    pub list: u8,
    /// Whether what it matches is intercepted, not bypassed.
    pub intercept: bool,
    /// From when on it does not hold, `CLOCK_BOOTTIME` nanoseconds; 0 is never.
    pub expires: u64,
    /// The first epoch that sees it.
    pub since: u32,
    /// The first epoch that does not; 0 while it has no end.
    pub until: u32,
    /// The next record of the same prefixes, less specific in port and LAN; 0 is none.
    pub next: u32,
}

/// Words of a record's line that change while it is in use; the others are written before
/// anything points to it.
pub mod record {
    /// [`expires`](super::Record::expires).
    pub const EXPIRES: usize = 4;
    /// [`next`](super::Record::next), [`lan`](super::Record::lan).
    pub const NEXT: usize = 5;
    /// [`since`](super::Record::since), [`until`](super::Record::until).
    pub const EPOCHS: usize = 6;
    /// Everything small.
    pub const KIND: usize = 7;
}

impl Record {
    /// A bypass of list 0 for all connections to a network, without an end.
    #[must_use]
    pub const fn to(family: u32, network: Bits, length: u32) -> Self {
        Self {
            family,
            destination: network,
            destination_length: length,
            source: Bits(0, 0),
            source_length: 0,
            port: 0,
            lan: 0,
            list: 0,
            intercept: false,
            expires: 0,
            since: 0,
            until: 0,
            next: 0,
        }
    }

    /// Its line.
    #[must_use]
    pub const fn to_words(&self) -> [u64; WORDS] {
        [
            self.destination.0,
            self.destination.1,
            self.source.0,
            self.source.1,
            self.expires,
            joined(self.next, self.lan),
            joined(self.since, self.until),
            self.kind()
                | (self.port as u64) << 32
                | (self.list as u64) << 48
                | (self.intercept as u64) << 56,
        ]
    }

    /// From its line.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "octets of a word")]
    pub const fn from_words(words: [u64; WORDS]) -> Self {
        let kind = words[record::KIND];
        let (next, lan) = halves(words[record::NEXT]);
        let (since, until) = halves(words[record::EPOCHS]);
        Self {
            family: (kind as u32) >> 16 & 0xff,
            destination: Bits(words[0], words[1]),
            destination_length: kind as u32 & 0xff,
            source: Bits(words[2], words[3]),
            source_length: (kind as u32) >> 8 & 0xff,
            port: (kind >> 32) as u16,
            lan,
            list: (kind >> 48) as u8,
            intercept: kind >> 56 != 0,
            expires: words[record::EXPIRES],
            since,
            until,
            next,
        }
    }

    /// The low half of its last word: [`kind`].
    const fn kind(&self) -> u64 {
        kind(self.family, self.destination_length, self.source_length)
    }

    /// Records of the same prefixes are tried in falling order of this: a port before a LAN
    /// before neither, and among equals `intercept` first.
    #[must_use]
    pub const fn rank(&self) -> u32 {
        (self.port != 0) as u32 * 4 + (self.lan != 0) as u32 * 2 + self.intercept as u32
    }
}

/// Family and lengths as a record's last word has them in its low half.
#[inline(always)]
#[must_use]
pub const fn kind(family: u32, destination_length: u32, source_length: u32) -> u64 {
    ((family << 16) | (source_length << 8) | destination_length) as u64
}

/// The line, from the first of the counters, and the word of a record's hits; the word after it
/// is the time of the last, `CLOCK_BOOTTIME` nanoseconds.
#[inline(always)]
#[must_use]
pub const fn counter(record: u32) -> (u32, usize) {
    (record / 4, (record % 4) as usize * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_a_band_and_a_bit_of_its_own() {
        for (family, longest) in [(IPV4, 32), (IPV6, 128)] {
            let bands = bands(family);
            let mut seen = std::collections::HashSet::new();
            for length in 0..=longest {
                let band = bands.of(length);
                assert!(length <= bands.ends[band], "{length}");
                assert!(
                    length > bands.anchors[band] || band == BANDS - 1,
                    "{length}"
                );
                assert!(seen.insert((band, bands.bit(length))), "{length}");
                assert_eq!(bands.bit(length).count_ones(), 1);
            }
            assert!(tuple_line(family, longest) < VARIABLE);
        }
        assert!(tuple_line(IPV4, 32) < tuple_line(IPV6, 0));
    }

    #[test]
    fn a_record_survives_its_line() {
        let record = Record {
            family: IPV6,
            destination: Bits(1, 2),
            destination_length: 128,
            source: Bits(3, 4),
            source_length: 127,
            port: 65_535,
            lan: 256,
            list: 63,
            intercept: true,
            expires: u64::MAX,
            since: 5,
            until: 6,
            next: 7,
        };
        assert_eq!(Record::from_words(record.to_words()), record);
        assert_eq!(record.to_words()[7] & 0xffff_ffff, kind(IPV6, 128, 127));
    }

    #[test]
    fn no_two_keys_are_alike_with_every_seed() {
        let all = |length| (Bits(0, 0), length);
        for (one, other) in [
            // The lengths differ in the bits that the addresses differ in.
            (
                (IPV6, (Bits(0xff, 0), 64), all(0)),
                (IPV6, (Bits(0x80, 0), 63), all(0)),
            ),
            (
                (IPV4, (Bits(10 << 56, 0), 32), (Bits(0, 0), 1)),
                (IPV4, (Bits(10 << 56, 0), 32), (Bits(0x0300 << 32, 0), 2)),
            ),
        ] {
            let alike = (0..1000).filter(|seed| {
                let hash = |(family, to, from)| entry_hash(*seed, family, to, from);
                hash(one) == hash(other)
            });
            assert_eq!(alike.count(), 0, "{one:?} {other:?}");
        }
    }
}
