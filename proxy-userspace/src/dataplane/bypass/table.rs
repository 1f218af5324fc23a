//! Writes a table of bypass entries ([`layout`]) into memory that programs are reading.
//!
//! Everything is written before something points to it, nothing is written a second time that a
//! reader may be looking at, and what an edit adds and takes away is seen by its epoch. So a
//! reader at any moment finds the entries before an edit or those after it. What is taken away
//! stays in its place until the next table.

mod depth;
mod shape;

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, Release},
};

use proxy_ebpf::bypass::{
    bits::{Bits, Hash},
    layout::{
        self, BANDS, BUCKETS_AHEAD, DESTINATION, GLOBALS, Record, SOURCE, VARIABLE, WORDS, bands,
        header,
    },
    lengths::Lengths,
};

use depth::Depth;
pub(super) use shape::Shape;

/// Why an entry does not go into the table as it is. A new one may take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No record is left.
    Full,
    /// No slot is left near its place, or one there has the same tag.
    Crowded,
    /// A search could take more than [`STEPS`](proxy_ebpf::bypass::STEPS).
    Deep,
}

/// A table being written.
#[derive(Debug)]
pub(super) struct Table<M> {
    memory: M,
    shape: Shape,
    seed: u64,
    epoch: u32,
    /// Records in use, dead ones included.
    records: u32,
    /// What the next epoch takes away.
    retiring: Vec<u32>,
    /// The first record of the next epoch.
    fresh: u32,
    /// Records that no epoch to come sees.
    dead: u32,
    depth: Depth,
}

impl<M: AsRef<[AtomicU64]>> Table<M> {
    /// An empty table in `memory`, which is all 0 and has the shape's lines.
    pub(super) fn new(memory: M, shape: Shape, seed: u64, enabled: u64) -> Self {
        let table = Self {
            memory,
            shape,
            seed,
            epoch: 1,
            records: 0,
            retiring: Vec::new(),
            fresh: 1,
            dead: 0,
            depth: Depth::default(),
        };
        let first_filter = VARIABLE;
        for (word, value) in [
            (header::EPOCH, 1),
            (header::ENABLED, enabled),
            (header::SEED, seed),
            (header::FILTERS, layout::joined(first_filter, shape.filters)),
            (
                header::BUCKETS,
                layout::joined(shape.first_bucket(), shape.buckets),
            ),
            (
                header::RECORDS,
                layout::joined(shape.first_record(), shape.first_counter()),
            ),
        ] {
            table.word(0, word).store(value, Relaxed);
        }
        table
    }

    /// Adds an entry, from the next epoch on; its `next`, `since` and `until` do not matter.
    pub(super) fn insert(&mut self, entry: &Record) -> Result<u32, Refusal> {
        if self.records == self.shape.records {
            return Err(Refusal::Full);
        }
        let place = self.place(entry)?;
        let (before, after, length) = self.chain(place.head, entry.rank());
        let run = self.run_with(&place);
        if !self.depth.add(entry, length + 1, run) {
            return Err(Refusal::Deep);
        }
        self.records += 1;
        let number = self.records;
        let record = Record {
            since: self.epoch + 1,
            until: 0,
            next: after,
            ..*entry
        };
        let line = self.shape.first_record() + number;
        for (at, word) in record.to_words().into_iter().enumerate() {
            self.word(line, at).store(word, Relaxed);
        }
        self.announce(entry);
        match before {
            0 => self.memory.as_ref()[place.slot].store(layout::slot(place.tag, number), Release),
            before => self
                .word(self.shape.first_record() + before, layout::record::NEXT)
                .store(layout::joined(number, self.record(before).lan), Release),
        }
        Ok(number)
    }

    /// Takes an entry away, from the next epoch on.
    pub(super) fn retire(&mut self, number: u32) {
        self.set_until(number, self.epoch + 1);
        self.retiring.push(number);
    }

    /// Lets the edit be seen.
    pub(super) fn publish(&mut self) {
        self.dead += u32::try_from(self.retiring.len()).unwrap_or(u32::MAX);
        self.retiring.clear();
        self.fresh = self.records + 1;
        self.epoch += 1;
        self.word(0, header::EPOCH)
            .store(self.epoch.into(), Release);
    }

    /// Takes the edit back before it has been seen.
    pub(super) fn abandon(&mut self) {
        for number in std::mem::take(&mut self.retiring) {
            self.set_until(number, 0);
        }
        for number in self.fresh..=self.records {
            self.set_until(number, self.epoch + 1);
            self.dead += 1;
        }
        self.fresh = self.records + 1;
    }

    /// Which lists are on; seen at once.
    pub(super) fn set_enabled(&self, lists: u64) {
        self.word(0, header::ENABLED).store(lists, Release);
    }

    /// From when on an entry does not hold; seen at once.
    pub(super) fn set_expiry(&self, number: u32, expires: u64) {
        self.word(self.shape.first_record() + number, layout::record::EXPIRES)
            .store(expires, Release);
    }

    /// The record of the entry with these prefixes, port, LAN and list that has no end.
    pub(super) fn find(&self, entry: &Record) -> Option<u32> {
        let mut number = self.place(entry).ok()?.head;
        while number != 0 {
            let record = self.record(number);
            if record.until == 0
                && (record.port, record.lan, record.list) == (entry.port, entry.lan, entry.list)
            {
                return Some(number);
            }
            number = record.next;
        }
        None
    }

    /// How often an entry decided, and when the last time (`CLOCK_BOOTTIME` nanoseconds; 0 is
    /// never).
    pub(super) fn hits(&self, number: u32) -> (u64, u64) {
        let (hits, last) = self.counters(number);
        (hits.load(Relaxed), last.load(Relaxed))
    }

    /// Adds hits from another table.
    pub(super) fn add_hits(&self, number: u32, (hits, last): (u64, u64)) {
        let (own_hits, own_last) = self.counters(number);
        own_hits.fetch_add(hits, Relaxed);
        own_last.fetch_max(last, Relaxed);
    }

    /// Records that every epoch from now on sees.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, Record)> {
        let numbered = (1..=self.records).map(|number| (number, self.record(number)));
        numbered.filter(|(_, record)| record.until == 0)
    }

    /// How many those are.
    pub(super) const fn live_records(&self) -> usize {
        (self.records - self.dead) as usize
    }

    /// Whether so much is dead that a new table is due.
    pub(super) const fn is_worn(&self) -> bool {
        self.dead > self.records / 2 && self.dead > 1024
    }

    /// The entry with this number, as it is now.
    pub(super) fn record(&self, number: u32) -> Record {
        let line = self.shape.first_record() + number;
        Record::from_words(std::array::from_fn(|at| self.word(line, at).load(Relaxed)))
    }

    fn set_until(&self, number: u32, until: u32) {
        let since = self.record(number).since;
        self.word(self.shape.first_record() + number, layout::record::EPOCHS)
            .store(layout::joined(since, until), Release);
    }

    fn counters(&self, number: u32) -> (&AtomicU64, &AtomicU64) {
        let (line, word) = layout::counter(number);
        let line = self.shape.first_counter() + line;
        (self.word(line, word), self.word(line, word + 1))
    }

    fn word(&self, line: u32, at: usize) -> &AtomicU64 {
        &self.memory.as_ref()[line as usize * WORDS + at]
    }

    /// Makes known that there may be an entry of these lengths here.
    fn announce(&self, entry: &Record) {
        let family = entry.family;
        let bands = bands(family);
        let mut used = 0;
        for (side, prefix, length) in [
            (DESTINATION, entry.destination, entry.destination_length),
            (SOURCE, entry.source, entry.source_length),
        ] {
            if side == SOURCE && length == 0 {
                continue;
            }
            let band = bands.of(length);
            used |= layout::in_use(side, family, band);
            let bit = bands.bit(length);
            if band == BANDS - 1 {
                self.word(GLOBALS, layout::global(side, family))
                    .fetch_or(bit, Relaxed);
            } else {
                let first = prefix.prefix(bands.anchors[band]);
                let hash = layout::filter_hash(self.seed, side, family, band, first);
                let line = VARIABLE + hash.line(self.shape.filters);
                let (word, rotation) = layout::filter_place(hash);
                self.word(line, word)
                    .fetch_or(bit.rotate_left(rotation), Relaxed);
            }
        }
        let tuple = layout::tuple_line(family, entry.destination_length);
        let (word, bit) = Lengths::place(entry.source_length);
        self.word(tuple, word).fetch_or(bit, Relaxed);
        self.word(0, header::IN_USE).fetch_or(used, Release);
    }

    /// Where the chain of the entry's prefixes begins, or would.
    fn place(&self, entry: &Record) -> Result<Place, Refusal> {
        let hash: Hash = layout::entry_hash(
            self.seed,
            entry.family,
            (entry.destination, entry.destination_length),
            (entry.source, entry.source_length),
        );
        let first = self.shape.first_bucket() + hash.line(self.shape.buckets);
        for ahead in 0..BUCKETS_AHEAD {
            for at in 0..WORDS {
                let slot = (first + ahead) as usize * WORDS + at;
                let (head, tag) = layout::halves(self.memory.as_ref()[slot].load(Relaxed));
                let place = Place {
                    slot,
                    tag: hash.tag(),
                    head,
                };
                if head == 0 {
                    return Ok(place);
                }
                if tag == hash.tag() {
                    let same = self.prefixes(head) == prefixes(entry);
                    return if same {
                        Ok(place)
                    } else {
                        Err(Refusal::Crowded)
                    };
                }
            }
        }
        Err(Refusal::Crowded)
    }

    /// How many full buckets there are in a row around this place once it is taken.
    fn run_with(&self, place: &Place) -> u32 {
        if place.head != 0 || place.slot % WORDS != WORDS - 1 {
            return 0;
        }
        let bucket = place.slot / WORDS;
        let is_full = |line: &usize| {
            let last = line * WORDS + WORDS - 1;
            self.memory.as_ref()[last].load(Relaxed) != 0
        };
        let first = self.shape.first_bucket() as usize;
        let before = (first..bucket).rev().take_while(is_full).count();
        let behind = (bucket + 1..self.shape.first_record() as usize)
            .take_while(is_full)
            .count();
        u32::try_from(before + 1 + behind).unwrap_or(u32::MAX)
    }

    fn prefixes(&self, number: u32) -> Prefixes {
        prefixes(&self.record(number))
    }

    /// The last record of a chain that comes before one of `rank`, the first that comes after,
    /// and how many there are.
    fn chain(&self, head: u32, rank: u32) -> (u32, u32, u32) {
        let (mut before, mut length, mut number) = (0, 0, head);
        while number != 0 {
            let record = self.record(number);
            if record.rank() >= rank {
                before = number;
            }
            length += 1;
            number = record.next;
        }
        let after = if before == 0 {
            head
        } else {
            self.record(before).next
        };
        (before, after, length)
    }
}

/// Where a chain begins.
struct Place {
    /// Its slot, as a word of the memory.
    slot: usize,
    tag: u32,
    /// Its first record; 0 where there is none yet.
    head: u32,
}

type Prefixes = (u32, Bits, u32, Bits, u32);

fn prefixes(record: &Record) -> Prefixes {
    (
        record.family,
        record.destination,
        record.destination_length,
        record.source,
        record.source_length,
    )
}

#[cfg(test)]
pub(super) mod tests;
