//! The search.

use super::{
    bits::Bits,
    layout::{
        self, BANDS, BANDS_V4, BANDS_V6, DESTINATION, GLOBALS, SOURCE, entry_hash, filter_hash,
        filter_place, global, halves, header, in_use, record, tuple_line,
    },
    lengths::Lengths,
};
use crate::key::{IPV4, IPV6};

/// Most steps of a search. The daemon refuses an edit after which one could take more.
pub const STEPS: u32 = 2048;

/// A table's memory.
pub trait Lines {
    /// A line, for reading.
    type Line: Line;
    /// The line of this number; `None` beyond the end, where no table points to.
    fn line(&self, index: u32) -> Option<Self::Line>;
    /// Now, by `CLOCK_BOOTTIME`, in nanoseconds.
    fn now(&self) -> u64;
}

/// A line: its words may be changed by the daemon at any moment, so each is read exactly once.
pub trait Line {
    /// Word `index`, 0 to 7.
    fn word(&self, index: usize) -> u64;
}

/// What is asked.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// [`IPV4`] or [`IPV6`](crate::key::IPV6).
    pub family: u32,
    /// Slot of the LAN that the SYN came from, plus 1.
    pub lan: u32,
    /// Destination port, host order.
    pub port: u32,
    /// 0; there is no padding.
    pub reserved: u32,
    /// The origin.
    pub destination: Bits,
    /// The client.
    pub source: Bits,
}

/// The entry that decides.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// Its record's number; 0 where no entry decides.
    pub record: u32,
    /// Not 0 if it is an exception: the flow is intercepted.
    pub intercept: u32,
    /// Not 0 if it names clients, but no destinations.
    pub by_source: u32,
}

/// Whether a search goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More,
    /// [`Walk::hit`] has the result.
    Done,
}

/// A search under way: what it needs of the table's header, read once, and what is left to do.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// The result.
    pub hit: Hit,
    /// First line of the [source lengths](tuple_line) of the family.
    tuples: u32,
    query: Query,
    epoch: u64,
    enabled: u64,
    seed: u64,
    buckets: u64,
    /// First line of the records.
    records: u64,
    /// Lengths of destination prefixes left to try.
    destinations: Lengths,
    /// Lengths of source prefixes that may be there.
    sources: Lengths,
    /// Those of them left to try with `destination`.
    candidates: Lengths,
    destination: Bits,
    source: Bits,
    destination_length: u32,
    source_length: u32,
    /// The bucket's line to look at; 0 is none.
    bucket: u32,
    /// What its slots are compared with.
    tag: u32,
    /// The record to look at; 0 is none.
    record: u32,
    /// Not 0 if any entry of the family has a source.
    with_sources: u32,
}

/// Finds the entry that decides about a SYN: of those that match it and hold, the one with the
/// longest destination, then the longest source, then a port, then a LAN; among equals one that
/// intercepts. In the kernel the loop is `bpf_loop` (Linux 5.17): the verifier follows a step
/// once, and not each of them.
pub fn find<L: Lines>(lines: &L, query: &Query, walk: &mut Walk) -> Hit {
    if begin(lines, query, walk).is_some() {
        for _ in 0..STEPS {
            if step(lines, walk) == Step::Done {
                break;
            }
        }
    }
    walk.hit
}

/// Begins a search. `None` if there is nothing to search for.
#[inline(always)]
pub fn begin<L: Lines>(lines: &L, query: &Query, walk: &mut Walk) -> Option<()> {
    walk.hit = Hit {
        record: 0,
        intercept: 0,
        by_source: 0,
    };
    let head = lines.line(0)?;
    let used = head.word(header::IN_USE);
    let family = query.family;
    if used >> (global(DESTINATION, family) * 8) & 0xff == 0 {
        return None;
    }
    walk.query = *query;
    walk.epoch = head.word(header::EPOCH);
    walk.enabled = head.word(header::ENABLED);
    walk.seed = head.word(header::SEED);
    walk.buckets = head.word(header::BUCKETS);
    walk.records = head.word(header::RECORDS) & 0xffff_ffff;
    walk.tuples = tuple_line(family, 0);
    walk.destinations = lengths(lines, &head, DESTINATION, family, query.destination)?;
    walk.with_sources = u32::from(used >> (global(SOURCE, family) * 8) & 0xff != 0);
    walk.candidates = Lengths(0, 0, 0);
    if walk.with_sources != 0 {
        let Lengths(long, short, _) = lengths(lines, &head, SOURCE, family, query.source)?;
        // Entries for all sources are not announced.
        walk.sources = Lengths(long, short, 1);
    }
    walk.source = Bits(0, 0);
    walk.source_length = 0;
    walk.bucket = 0;
    walk.record = 0;
    Some(())
}

/// Takes the next step: looks at a record, or into a bucket, or sets out for the next prefixes
/// and looks into their first bucket. A line that is not there ends the search, with no result.
#[inline(always)]
pub fn step<L: Lines>(lines: &L, walk: &mut Walk) -> Step {
    if walk.record != 0 {
        return look_at(lines, walk).unwrap_or(Step::Done);
    }
    if walk.bucket == 0 {
        if walk.candidates.is_empty() {
            if walk.destinations.is_empty() {
                return Step::Done;
            }
            let length = walk.destinations.take_longest();
            walk.destination_length = length;
            walk.destination = walk.query.destination.prefix(length);
            if walk.with_sources != 0 {
                let Some(with) = lines.line(walk.tuples + length) else {
                    return Step::Done;
                };
                walk.candidates = Lengths(
                    walk.sources.0 & with.word(0),
                    walk.sources.1 & with.word(1),
                    walk.sources.2 & with.word(2),
                );
                return Step::More;
            }
        } else {
            let length = walk.candidates.take_longest();
            walk.source_length = length;
            walk.source = walk.query.source.prefix(length);
        }
        set_out(walk);
    }
    look_into(lines, walk).unwrap_or(Step::Done)
}

/// Which lengths prefixes of `address` may have.
#[inline(always)]
fn lengths<L: Lines>(
    lines: &L,
    head: &L::Line,
    side: u32,
    family: u32,
    address: Bits,
) -> Option<Lengths> {
    // Two copies, so that in each of them everything about the bands is a constant.
    if family == IPV4 {
        lengths_of::<L, true>(lines, head, side, address)
    } else {
        lengths_of::<L, false>(lines, head, side, address)
    }
}

#[inline(always)]
fn lengths_of<L: Lines, const IS_V4: bool>(
    lines: &L,
    head: &L::Line,
    side: u32,
    address: Bits,
) -> Option<Lengths> {
    let family = if IS_V4 { IPV4 } else { IPV6 };
    let bands = if IS_V4 { BANDS_V4 } else { BANDS_V6 };
    let used = head.word(header::IN_USE);
    let seed = head.word(header::SEED);
    let (first, count) = halves(head.word(header::FILTERS));
    let mut found = Lengths(0, 0, 0);
    let mut band = 0;
    while band < BANDS - 1 {
        if used & in_use(side, family, band) != 0 {
            let address = address.prefix(bands.anchors[band]);
            let hash = filter_hash(seed, side, family, band, address);
            let line = lines.line(first + hash.line(count))?;
            let (word, rotation) = filter_place(hash);
            let word = line.word(word).rotate_right(rotation) & bands.bits(band);
            found = found.with(word, bands.ends[band]);
        }
        band += 1;
    }
    let last = lines.line(GLOBALS)?.word(global(side, family));
    let end = bands.ends[BANDS - 1];
    let Lengths(long, short, _) = found.with(last & bands.bits(BANDS - 1), end);
    Some(Lengths(long, short, last >> end))
}

/// All ones if `value`, which is less than 2⁶³, is 0; else 0. Not a branch, as what is compared
/// is as good as random.
#[inline(always)]
const fn when_zero(value: u64) -> u64 {
    0u64.wrapping_sub(value.wrapping_sub(1) >> 63)
}

/// Sets out for the record of the prefixes in `walk`.
#[inline(always)]
fn set_out(walk: &mut Walk) {
    let hash = entry_hash(
        walk.seed,
        walk.query.family,
        (walk.destination, walk.destination_length),
        (walk.source, walk.source_length),
    );
    let (first, lines) = halves(walk.buckets);
    walk.bucket = first + hash.line(lines);
    walk.tag = hash.tag();
}

/// Looks for the tag in the bucket.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the record's half of a slot"
)]
fn look_into<L: Lines>(lines: &L, walk: &mut Walk) -> Option<Step> {
    let line = lines.line(walk.bucket)?;
    let tag = u64::from(walk.tag);
    let mut record = 0;
    let mut last = 0;
    let mut at = 0;
    while at < layout::WORDS {
        last = line.word(at);
        record |= last & when_zero(last >> 32 ^ tag);
        at += 1;
    }
    walk.record = record as u32;
    // Slots are filled from the first on: a bucket that is not full has not flowed over.
    walk.bucket = if walk.record != 0 || last == 0 {
        0
    } else {
        walk.bucket + 1
    };
    Some(Step::More)
}

/// Looks whether the record decides; else the next one is to be looked at.
#[inline(always)]
fn look_at<L: Lines>(lines: &L, walk: &mut Walk) -> Option<Step> {
    let number = walk.record;
    #[expect(clippy::cast_possible_truncation, reason = "a half")]
    let line = lines.line(walk.records as u32 + number)?;
    let (small, rest) = halves(line.word(record::KIND));
    let wanted = layout::kind(
        walk.query.family,
        walk.destination_length,
        walk.source_length,
    );
    let different = (line.word(0) ^ walk.destination.0)
        | (line.word(1) ^ walk.destination.1)
        | (line.word(2) ^ walk.source.0)
        | (line.word(3) ^ walk.source.1)
        | (u64::from(small) ^ wanted);
    if different != 0 {
        // Other prefixes with the same tag, and with them a chain that is not ours.
        walk.record = 0;
        return Some(Step::More);
    }
    let (next, lan) = halves(line.word(record::NEXT));
    walk.record = next;
    let (since, until) = halves(line.word(record::EPOCHS));
    let (since, until) = (u64::from(since), u64::from(until));
    let (port, list) = (u64::from(rest & 0xffff), (rest >> 16) & 63);
    // The top bit is set where something is not as it has to be.
    let not_yet = walk.epoch.wrapping_sub(since);
    let no_more = until.wrapping_sub(walk.epoch + 1) & !when_zero(until);
    let off = !(walk.enabled >> list << 63);
    let other_port = !when_zero(port) & !when_zero(port ^ u64::from(walk.query.port));
    let other_lan = !when_zero(lan.into()) & !when_zero(u64::from(lan ^ walk.query.lan));
    if (not_yet | no_more | off | other_port | other_lan) >> 63 != 0 {
        return Some(Step::More);
    }
    let expires = line.word(record::EXPIRES);
    if expires != 0 && lines.now() >= expires {
        return Some(Step::More);
    }
    walk.hit = Hit {
        record: number,
        intercept: rest >> 24,
        by_source: u32::from(walk.destination_length == 0 && walk.source_length != 0),
    };
    Some(Step::Done)
}
