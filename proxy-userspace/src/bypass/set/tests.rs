use proptest::{collection::vec, prelude::*};

use super::*;
use crate::bypass::EntrySpec;

fn destination(text: &str) -> Entry {
    EntrySpec::parse(text, true).unwrap().destination(None)
}

fn source(text: &str) -> Entry {
    EntrySpec::parse(text, true).unwrap().source(None)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A set with these entries, at generation 1.
fn set(entries: &[Entry]) -> Set {
    let mut set = Set::new(100);
    set.add(entries.iter().cloned()).unwrap();
    set
}

#[test]
fn additions_are_told_in_order() {
    let mut set = Set::new(10);
    let change = set
        .add([
            source("10.0.0.0/8"),
            destination("::/0"),
            destination("192.0.2.0/24"),
        ])
        .unwrap();
    let expected = [
        destination("192.0.2.0/24"),
        destination("::/0"),
        source("10.0.0.0/8"),
    ];
    assert_eq!(change.added, expected);
    assert_eq!((change.generation, set.generation(), set.len()), (1, 1, 3));
    assert!(change.removed.is_empty() && change.present.is_empty());
    assert!(set.iter().eq(&expected));
}

#[test]
fn what_is_there_already_is_told_and_stays() {
    let noted = EntrySpec::parse("192.0.2.1", false)
        .unwrap()
        .destination(Some("first".into()));
    let mut set = set(std::slice::from_ref(&noted));
    let change = set.add([destination("192.0.2.1")]).unwrap();
    assert!(change.is_empty());
    assert_eq!(change.present, std::slice::from_ref(&noted));
    assert_eq!(set.generation(), 1, "nothing changed");

    let change = set
        .add([destination("192.0.2.1"), destination("192.0.2.2")])
        .unwrap();
    assert_eq!(
        (change.added, change.present),
        (vec![destination("192.0.2.2")], vec![noted])
    );
    assert_eq!(set.generation(), 2);
}

#[test]
fn an_entry_said_twice_is_one() {
    let mut set = Set::new(1);
    let change = set.add([destination("::1"), destination("::1")]).unwrap();
    assert_eq!(change.added.len(), 1);
    let change = set
        .remove([destination("::1"), destination("::1")])
        .unwrap();
    assert_eq!(change.removed.len(), 1);
}

#[test]
fn destination_and_source_of_one_prefix_are_two_entries() {
    let mut set = set(&[destination("::1"), source("::1")]);
    assert_eq!(set.len(), 2);
    set.remove([source("::1")]).unwrap();
    assert!(set.iter().eq([&destination("::1")]));
}

#[test]
fn a_removal_tells_the_entries_as_they_were() {
    let noted = EntrySpec::parse("192.0.2.1", false)
        .unwrap()
        .destination(Some("note".into()));
    let mut set = set(&[noted.clone(), destination("::1")]);
    let change = set.remove([destination("192.0.2.1")]).unwrap();
    assert_eq!(change.removed, [noted]);
    assert_eq!((change.generation, set.len()), (2, 1));
}

#[test]
fn a_removal_of_what_is_not_there_removes_nothing() {
    let mut set = set(&[destination("::1")]);
    let before = set.clone();
    let error = set
        .remove([destination("::1"), destination("192.0.2.0/24")])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "destination 192.0.2.0/24 is not in the bypass list; `weir bypass list` shows what is"
    );
    assert_eq!(set, before);
}

#[test]
fn a_full_set_takes_all_or_nothing() {
    let mut set = Set::new(2);
    set.add([destination("::1")]).unwrap();
    let before = set.clone();
    let error = set
        .add([destination("::2"), destination("::3")])
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the bypass list is full: 3 entries"),
        "{error}"
    );
    assert_eq!(set, before);
    set.add([destination("::1"), destination("::2")]).unwrap();
    assert_eq!(set.len(), 2);
}

#[test]
fn changes_can_be_taken_back() {
    let mut set = set(&[destination("::1"), source("::1")]);
    let before: Vec<Entry> = set.iter().cloned().collect();

    let change = set.add([destination("::1"), destination("::2")]).unwrap();
    let back = set.revert(&change);
    assert_eq!(
        (back.added, back.removed),
        (vec![], vec![destination("::2")])
    );
    assert!(set.iter().eq(&before));

    let change = set.remove([destination("::1"), source("::1")]).unwrap();
    assert_eq!(change.inverse().added, change.removed);
    let back = set.revert(&change);
    assert_eq!(back.generation, set.generation());
    assert!(set.iter().eq(&before));
    assert_eq!(set.generation(), 5, "every content has a number of its own");
}

#[test]
fn the_longest_destination_goes_before_every_source() {
    let set = set(&[
        destination("10.0.0.0/8"),
        destination("10.1.0.0/16"),
        source("192.168.0.0/16"),
        source("192.168.1.1"),
    ]);
    let covering = |to: &str, from: &str| set.covering(ip(to), ip(from)).cloned();
    assert_eq!(
        covering("10.1.2.3", "192.168.1.1"),
        Some(destination("10.1.0.0/16"))
    );
    assert_eq!(
        covering("10.2.2.3", "172.16.0.1"),
        Some(destination("10.0.0.0/8"))
    );
    assert_eq!(
        covering("11.2.2.3", "192.168.1.1"),
        Some(source("192.168.1.1"))
    );
    assert_eq!(
        covering("11.2.2.3", "192.168.1.2"),
        Some(source("192.168.0.0/16"))
    );
    assert_eq!(covering("11.2.2.3", "172.16.0.1"), None);
    assert_eq!(
        covering("192.168.1.1", "10.1.2.3"),
        None,
        "directions are not mixed up"
    );
}

#[test]
fn families_do_not_cover_each_other_but_mapped_addresses_are_ipv4() {
    let v4 = set(&[destination("0.0.0.0/0")]);
    assert!(v4.covering(ip("::1"), ip("::2")).is_none());
    assert!(
        v4.covering(ip("::ffff:192.0.2.1"), ip("::ffff:10.0.0.1"))
            .is_some()
    );
    let v6 = set(&[destination("::/0")]);
    assert!(v6.covering(ip("192.0.2.1"), ip("10.0.0.1")).is_none());
    assert!(v6.covering(ip("2001:db8::1"), ip("2001:db8::2")).is_some());
}

/// Addresses that share many leading bits, so that prefixes cover them by chance.
fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u32..8, 0u32..4).prop_map(|(high, low)| IpAddr::from((high << 29 | low).to_be_bytes())),
        (0u128..8, 0u128..4)
            .prop_map(|(high, low)| IpAddr::from((high << 125 | low).to_be_bytes())),
    ]
}

fn entries() -> impl Strategy<Value = Entry> {
    let lengths = prop_oneof![0u8..4, 29u8..=32, 126u8..=128];
    (addresses(), lengths, any::<bool>()).prop_map(|(address, length, is_source)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = IpNet::new(address, length.min(longest))
            .unwrap()
            .trunc()
            .to_string();
        if is_source {
            source(&prefix)
        } else {
            destination(&prefix)
        }
    })
}

proptest! {
    #[test]
    fn covering_agrees_with_a_look_at_every_entry(
        entries in vec(entries(), 0..40),
        to in addresses(),
        from in addresses(),
    ) {
        let set = set(&entries);
        let longest = |prefix: fn(&Entry) -> Option<IpNet>, address: IpAddr| {
            entries
                .iter()
                .filter(|entry| prefix(entry).is_some_and(|prefix| prefix.contains(&address)))
                .max_by_key(|entry| prefix(entry).map(|prefix| prefix.prefix_len()))
        };
        let naive = longest(Entry::destination, to).or_else(|| longest(Entry::source, from));
        prop_assert_eq!(set.covering(to, from), naive);
    }

    #[test]
    fn applying_the_changes_elsewhere_gives_the_same_entries(
        edits in vec((any::<bool>(), vec(entries(), 0..5)), 0..20),
    ) {
        let mut set = Set::new(20);
        let mut elsewhere: Vec<Entry> = Vec::new();
        for (add, entries) in edits {
            let before = set.clone();
            let Ok(change) = (if add { set.add(entries) } else { set.remove(entries) }) else {
                prop_assert_eq!(&set, &before);
                continue;
            };
            elsewhere.retain(|entry| !change.removed.contains(entry));
            elsewhere.extend(change.added);
            prop_assert_eq!(set.generation(), change.generation);
            prop_assert_eq!(set.len(), elsewhere.len());
            prop_assert!(set.iter().all(|entry| elsewhere.contains(entry)));
        }
    }
}
