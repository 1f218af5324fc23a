//! What several tests need: entries, and ways to make them.

use proptest::{collection::vec, option, prelude::*};

use super::*;

pub(super) fn entry(text: &str) -> Entry {
    text::parse_entry(text, &Options::OWN).unwrap()
}

pub(super) fn entries(lines: &[&str]) -> Vec<Entry> {
    lines.iter().map(|line| entry(line)).collect()
}

pub(super) fn name(text: &str) -> ListName {
    text.parse().unwrap()
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Plans and commits.
#[track_caller]
pub(super) fn edit(set: &mut Set, list: &str, edit: Edit) -> Change {
    let change = set.plan(&name(list), edit).unwrap();
    set.commit(&change);
    change
}

/// Any prefix of a family, near others so that they meet.
fn prefix(v6: bool) -> impl Strategy<Value = ipnet::IpNet> {
    (0u8..4, 0u8..=32).prop_map(move |(low, length)| {
        let text = if v6 {
            format!("2001:db8::{low:x}/{}", u16::from(length) * 4)
        } else {
            format!("192.0.2.{low}/{length}")
        };
        text.parse::<ipnet::IpNet>().unwrap().trunc()
    })
}

pub(super) fn key() -> impl Strategy<Value = Key> {
    let interface = "[a-z#;\"\\\\ü]{1,4}".prop_map(|name| name.parse().unwrap());
    any::<bool>()
        .prop_flat_map(|v6| (option::of(prefix(v6)), option::of(prefix(v6))))
        .prop_flat_map(move |(destination, source)| {
            let parts = (option::of(1u16..), option::of(interface.clone()));
            parts.prop_map(move |(port, interface)| {
                Key::new(destination, source, port, interface).unwrap()
            })
        })
}

pub(super) fn any_entry() -> impl Strategy<Value = Entry> {
    let note = "[ -~äß€\u{a0}\u{2028}]{0,20}";
    (
        key(),
        any::<bool>(),
        option::of(0u64..4_000_000_000),
        note,
        note,
    )
        .prop_map(|(key, bypass, end, comment, owner)| {
            let action = if bypass {
                Action::Bypass
            } else {
                Action::Intercept
            };
            Entry::new(key, action)
                .expiring(end.map(Timestamp::from_unix))
                .with_comment(&comment)
                .and_then(|entry| entry.with_owner(&owner))
                .unwrap()
        })
}

/// Entries with different keys.
pub(super) fn any_entries(most: usize) -> impl Strategy<Value = Vec<Entry>> {
    vec(any_entry(), 0..=most).prop_map(|entries| {
        let by_key: std::collections::BTreeMap<Key, Entry> = entries
            .into_iter()
            .map(|entry| (*entry.key(), entry))
            .collect();
        by_key.into_values().collect()
    })
}
