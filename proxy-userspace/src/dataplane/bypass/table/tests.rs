//! The table and the search in it against a naive model; `dataplane/bypass/tests.rs` has the same
//! in the kernel.

use proptest::prelude::*;
use proxy_ebpf::{
    bypass::{Line, Lines, Query, Walk, find},
    key::{IPV4, IPV6},
};

use super::*;

type Memory = Vec<AtomicU64>;

fn table(entries: usize) -> Table<Memory> {
    let shape = Shape::new(entries, 0);
    let words = shape.lines() as usize * WORDS;
    let memory = std::iter::repeat_with(AtomicU64::default)
        .take(words)
        .collect();
    Table::new(memory, shape, 7, u64::MAX)
}

/// A table's memory and what time it is.
struct View<'a>(&'a Memory, u64);

struct Words<'a>(&'a [AtomicU64]);

impl<'a> Lines for View<'a> {
    type Line = Words<'a>;

    fn line(&self, index: u32) -> Option<Words<'a>> {
        let first = index as usize * WORDS;
        self.0.get(first..first + WORDS).map(Words)
    }

    fn now(&self) -> u64 {
        self.1
    }
}

impl Line for Words<'_> {
    fn word(&self, index: usize) -> u64 {
        self.0[index].load(Relaxed)
    }
}

fn search(table: &Table<Memory>, query: &Query, now: u64) -> Option<u32> {
    let hit = find(&View(&table.memory, now), query, &mut Walk::default());
    (hit.record != 0).then_some(hit.record)
}

/// Few different bits, so that prefixes nest and meet.
fn narrow(family: u32, seed: u64) -> Bits {
    let byte = |n: u32| (seed >> (2 * n)) & 3;
    let high = (0..8).fold(0, |word, n| word << 8 | byte(n) << 3 | byte(n));
    if family == IPV4 {
        Bits(high & !0xffff_ffff, 0)
    } else {
        Bits(high, high.rotate_left(8))
    }
}

pub(in crate::dataplane::bypass) fn entry() -> impl Strategy<Value = Record> {
    let prefixes = (any::<bool>(), 0u16..64, 0u16..64, 0u32..=128, 0u32..=128);
    let rest = (
        0u16..3,
        0u32..3,
        0u8..3,
        any::<bool>(),
        0u64..4,
        any::<bool>(),
    );
    (prefixes, rest).prop_map(
        |((v6, to, from, long, short), (port, lan, list, intercept, expires, sources))| {
            let family = if v6 { IPV6 } else { IPV4 };
            let longest = if v6 { 128 } else { 32 };
            let destination_length = long % (longest + 1);
            let source_length = if sources { short % (longest + 1) } else { 0 };
            Record {
                family,
                destination: narrow(family, to.into()).prefix(destination_length),
                destination_length,
                source: narrow(family, from.into()).prefix(source_length),
                source_length,
                port,
                lan,
                list,
                intercept,
                expires: expires * 100,
                since: 0,
                until: 0,
                next: 0,
            }
        },
    )
}

pub(in crate::dataplane::bypass) fn query() -> impl Strategy<Value = Query> {
    (any::<bool>(), 0u16..64, 0u16..64, 1u32..3, 1u32..3).prop_map(|(v6, to, from, port, lan)| {
        let family = if v6 { IPV6 } else { IPV4 };
        Query {
            family,
            lan,
            port,
            reserved: 0,
            destination: narrow(family, to.into()),
            source: narrow(family, from.into()),
        }
    })
}

/// The rule of precedence as it is written down, and nothing else.
pub(in crate::dataplane::bypass) fn naive<'a>(
    entries: impl Iterator<Item = &'a Record>,
    query: &Query,
    enabled: u64,
    now: u64,
) -> Option<[u32; 5]> {
    let matches = |entry: &&Record| {
        entry.family == query.family
            && query.destination.prefix(entry.destination_length) == entry.destination
            && query.source.prefix(entry.source_length) == entry.source
            && (entry.port == 0 || u32::from(entry.port) == query.port)
            && (entry.lan == 0 || entry.lan == query.lan)
            && (entry.expires == 0 || now < entry.expires)
            && enabled >> entry.list & 1 != 0
    };
    entries.filter(matches).map(precedence).max()
}

pub(in crate::dataplane::bypass) fn precedence(entry: &Record) -> [u32; 5] {
    [
        entry.destination_length,
        entry.source_length,
        u32::from(entry.port != 0),
        u32::from(entry.lan != 0),
        u32::from(entry.intercept),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn precedence_is_that_of_the_naive_model(
        first in proptest::collection::vec(entry(), 0..40),
        second in proptest::collection::vec(entry(), 0..20),
        gone in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10),
        queries in proptest::collection::vec(query(), 1..40),
        enabled in 0u64..8,
        now in 0u64..400,
    ) {
        let mut table = table(100);
        let mut there: Vec<Record> = Vec::new();
        for entry in &first {
            if table.insert(entry).is_ok() {
                there.push(*entry);
            }
        }
        table.publish();
        for index in gone {
            if !there.is_empty() {
                let entry = there.swap_remove(index.index(there.len()));
                let number = table.live().find(|(_, record)| identity(record) == identity(&entry));
                table.retire(number.expect("it is there").0);
                table.publish();
            }
        }
        for entry in &second {
            if table.insert(entry).is_ok() {
                there.push(*entry);
            }
        }
        // Not seen before it is published, and not at all if it is abandoned.
        let before: Vec<_> = queries.iter().map(|query| search(&table, query, now)).collect();
        for number in before.into_iter().flatten() {
            prop_assert!(table.record(number).since <= table.epoch);
        }
        table.publish();
        table.set_enabled(enabled);
        for query in &queries {
            let found = search(&table, query, now).map(|number| precedence(&table.record(number)));
            prop_assert_eq!(found, naive(there.iter(), query, enabled, now), "{:?}", query);
        }
    }
}

fn identity(record: &Record) -> impl PartialEq + use<> {
    let Record {
        family,
        destination,
        destination_length,
        source,
        source_length,
        port,
        lan,
        list,
        intercept,
        expires,
        ..
    } = *record;
    (
        (
            family,
            destination,
            destination_length,
            source,
            source_length,
        ),
        (port, lan, list, intercept, expires),
    )
}

fn plain(family: u32, destination: Bits, destination_length: u32) -> Record {
    let network = destination.prefix(destination_length);
    Record::to(family, network, destination_length)
}

fn to(family: u32, destination: Bits) -> Query {
    Query {
        family,
        lan: 1,
        port: 80,
        reserved: 0,
        destination,
        source: Bits(1 << 40, 0),
    }
}

#[test]
fn an_abandoned_edit_leaves_nothing() {
    let mut table = table(10);
    let address = Bits(10 << 56, 0);
    let wide = table.insert(&plain(IPV4, address, 8)).unwrap();
    table.publish();
    table.retire(wide);
    table.insert(&plain(IPV4, address, 32)).unwrap();
    table.abandon();
    assert_eq!(search(&table, &to(IPV4, address), 0), Some(wide));
    table.publish();
    assert_eq!(search(&table, &to(IPV4, address), 0), Some(wide));
    assert_eq!(table.find(&plain(IPV4, address, 8)), Some(wide));
    assert_eq!(table.find(&plain(IPV4, address, 32)), None);
}

#[test]
fn every_length_of_ipv6_at_once() {
    let mut table = table(129);
    for length in 0..=128 {
        table.insert(&plain(IPV6, Bits(!0, !0), length)).unwrap();
    }
    table.publish();
    for length in 0..=128 {
        let Bits(high, low) = Bits(!0, !0).prefix(length);
        let other = Bits(high, low).prefix(length);
        let found = search(&table, &to(IPV6, other), 0).unwrap();
        assert_eq!(table.record(found).destination_length, length);
    }
}

#[test]
fn what_could_take_too_long_is_refused() {
    let mut table = table(1000);
    let refused = (0..=32)
        .flat_map(|to| (0..=32).map(move |from| (to, from)))
        .find_map(|(to, from)| {
            let entry = Record {
                source: Bits(!0 << 32, 0).prefix(from),
                source_length: from,
                ..plain(IPV4, Bits(!0 << 32, 0), to)
            };
            table.insert(&entry).err()
        });
    assert_eq!(refused, Some(Refusal::Deep));
    assert!(
        table.depth.chains.len() > 200,
        "{}",
        table.depth.chains.len()
    );
}

#[test]
fn a_large_table_fills_to_its_last_record() {
    let count = 200_000u64;
    let mut table = table(200_000);
    let address = |n: u64| Bits((n.wrapping_mul(0x9e37_79b9)) << 32, 0);
    for n in 0..count {
        table.insert(&plain(IPV4, address(n), 32)).unwrap();
    }
    table.publish();
    for n in (0..count).step_by(97) {
        let found = search_fast(&table, address(n)).unwrap();
        assert_eq!(table.record(found).destination, address(n));
    }
    let spare = table.shape.records - table.records;
    for n in count..count + u64::from(spare) {
        table.insert(&plain(IPV4, address(n), 32)).unwrap();
    }
    assert_eq!(
        table.insert(&plain(IPV4, address(count * 2), 32)),
        Err(Refusal::Full)
    );
}

fn search_fast(table: &Table<Memory>, address: Bits) -> Option<u32> {
    search(table, &to(IPV4, address), 0)
}

#[test]
fn hits_are_added_up() {
    let mut table = table(10);
    let number = table.insert(&plain(IPV4, Bits(10 << 56, 0), 8)).unwrap();
    table.add_hits(number, (3, 50));
    table.add_hits(number, (4, 40));
    assert_eq!(table.hits(number), (7, 50));
}

#[test]
fn keys_that_differ_as_their_lengths_do_have_a_place_each() {
    let mut table = table(10);
    for (address, length) in [(0xff, 64), (0x80, 63)] {
        table
            .insert(&plain(IPV6, Bits(address, 0), length))
            .unwrap();
    }
}
