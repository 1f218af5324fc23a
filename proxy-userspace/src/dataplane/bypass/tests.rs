//! The search in the kernel, by BPF test runs: needs root, as all tests of the kernel do.

use std::{cell::RefCell, collections::BTreeMap};

use proptest::test_runner::{Config, TestRunner};
use proptest::{collection::vec, prop_assert_eq};

use super::{
    table::tests::{entry, naive, precedence, query},
    *,
};

/// Later than what has ended and earlier than what has not.
const NOW: u64 = 1 << 20;

fn with_kernel(test: impl FnOnce(&mut Dataplane)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { test(&mut Dataplane::load(1).expect("root, and Linux 6.6")) });
}

/// Entries as lists have them: one for what it is known by, and over long ago or never.
fn listed(entries: Vec<Entry>) -> Vec<Entry> {
    let ends = |entry: Entry| Entry {
        expires: if entry.expires > 200 {
            u64::MAX
        } else {
            entry.expires
        },
        ..entry
    };
    let known = |entry: &Entry| {
        let (to, from) = (entry.destination, entry.source);
        let prefixes = (to, entry.destination_length, from, entry.source_length);
        (entry.family, prefixes, (entry.port, entry.lan, entry.list))
    };
    let by_key: BTreeMap<_, _> = entries
        .into_iter()
        .map(|entry| (known(&entry), entry))
        .collect();
    by_key.into_values().map(ends).collect()
}

#[test]
fn precedence_in_the_kernel_is_that_of_the_naive_model() {
    let cases = (vec(entry(), 0..60), vec(query(), 1..60), 0u64..8);
    with_kernel(|kernel| {
        // What the case before has left is removed by the edit that adds this one's.
        let state = RefCell::new((kernel, Vec::new()));
        let mut found = RefCell::new(0);
        TestRunner::new(Config::with_cases(500))
            .run(&cases, |(entries, queries, enabled)| {
                let (kernel, there) = &mut *state.borrow_mut();
                let entries = listed(entries);
                kernel.prepare_bypass(there, &entries).unwrap();
                kernel.set_bypass_lists(enabled);
                kernel.publish_bypass().unwrap();
                *there = entries;
                for query in &queries {
                    let decides = kernel.match_bypass(query).unwrap();
                    *found.borrow_mut() += u32::from(decides.is_some());
                    let expected = naive(there.iter(), query, enabled, NOW);
                    let decides = decides.map(|entry| precedence(&entry));
                    prop_assert_eq!(decides, expected, "{:?}", query);
                }
                Ok(())
            })
            .unwrap();
        assert!(
            *found.get_mut() > 1000,
            "{found:?}: something is to be found"
        );
    });
}

#[test]
fn what_is_prepared_is_not_seen_and_what_is_abandoned_never() {
    with_kernel(|kernel| {
        let entries =
            |from: u64, count: u64| -> Vec<Entry> { (from..from + count).map(to).collect() };
        let is_found =
            |kernel: &mut Dataplane, number| kernel.match_bypass(&asked(number)).unwrap().is_some();
        // In place, and by a new table.
        for count in [1, 10_000] {
            kernel.prepare_bypass(&[], &entries(0, count)).unwrap();
            assert!(!is_found(kernel, 0));
            kernel.abandon_bypass();
            kernel.publish_bypass().unwrap();
            assert!(!is_found(kernel, 0));
            kernel.prepare_bypass(&[], &entries(0, count)).unwrap();
            kernel.publish_bypass().unwrap();
            assert!(is_found(kernel, 0) && is_found(kernel, count - 1) && !is_found(kernel, count));
            kernel
                .prepare_bypass(&entries(0, count), &entries(count, count))
                .unwrap();
            assert!(is_found(kernel, 0) && !is_found(kernel, count));
            kernel.publish_bypass().unwrap();
            assert!(!is_found(kernel, 0) && is_found(kernel, count));
            kernel.prepare_bypass(&entries(count, count), &[]).unwrap();
            kernel.publish_bypass().unwrap();
            assert!(!is_found(kernel, count));
        }
    });
}

#[test]
fn an_edit_that_is_repeated_often_does_not_wear_the_table_out() {
    with_kernel(|kernel| {
        for _ in 0..20_000 {
            kernel.prepare_bypass(&[], &[to(1)]).unwrap();
            kernel.publish_bypass().unwrap();
            kernel.prepare_bypass(&[to(1)], &[]).unwrap();
            kernel.publish_bypass().unwrap();
        }
        assert_eq!(kernel.match_bypass(&asked(1)).unwrap(), None);
    });
}

#[test]
fn entries_that_would_take_too_long_are_refused_and_nothing_changes() {
    with_kernel(|kernel| {
        kernel.prepare_bypass(&[], &[to(1)]).unwrap();
        kernel.publish_bypass().unwrap();
        let all: Vec<_> = (0..=128)
            .flat_map(|destination| (0..=128).map(move |source| (destination, source)))
            .map(|(destination_length, source_length)| Entry {
                family: proxy_ebpf::key::IPV6,
                destination: Bits(!0, !0).prefix(destination_length),
                destination_length,
                source: Bits(!0, !0).prefix(source_length),
                source_length,
                ..to(1)
            })
            .collect();
        let error = kernel.prepare_bypass(&[], &all).unwrap_err();
        assert!(matches!(error, DataplaneError::Refused(_)), "{error}");
        kernel.publish_bypass().unwrap();
        assert!(kernel.match_bypass(&asked(1)).unwrap().is_some());
    });
}

fn to(number: u64) -> Entry {
    Entry::to(
        proxy_ebpf::key::IPV4,
        Bits((10 << 24 | number) << 32, 0),
        32,
    )
}

fn asked(number: u64) -> Flow {
    Flow {
        family: proxy_ebpf::key::IPV4,
        lan: 1,
        port: 80,
        reserved: 0,
        destination: to(number).destination,
        source: Bits(1 << 56, 0),
    }
}
