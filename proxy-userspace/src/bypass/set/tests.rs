use super::*;
use crate::bypass::{
    Edit,
    samples::{edit, entries, entry, name},
};

#[test]
fn families_are_counted_apart_and_what_is_of_both_in_both() {
    let mut set = Set::new(100);
    let lines = ["192.0.2.1", "any src ::1", "any port 80", "::1 port 80"];
    edit(&mut set, "a", Edit::Add(entries(&lines)));
    edit(&mut set, "b", Edit::Add(entries(&["192.0.2.1"])));
    let counts = |set: &Set| (set.len(), set.count(Family::V4), set.count(Family::V6));
    assert_eq!(counts(&set), (5, 3, 3));
    edit(
        &mut set,
        "a",
        Edit::Remove(vec![*entry("any port 80").key()]),
    );
    assert_eq!(counts(&set), (4, 2, 2));
    edit(&mut set, "a", Edit::Clear);
    assert_eq!(counts(&set), (1, 1, 0));
    assert!(!set.is_empty());
    let lists = set.lists.clone();
    assert_eq!(Set::restored(100, set.generation(), lists), Ok(set));
}

#[test]
fn what_does_not_fit_is_not_restored() {
    let mut set = Set::new(2);
    edit(&mut set, "a", Edit::Add(entries(&["any port 80", "::1"])));
    let error = Set::restored(1, 1, set.lists.clone()).unwrap_err();
    assert!(matches!(
        error,
        EditError::Full {
            family: "IPv6",
            needed: 2,
            capacity: 1
        }
    ));
}

#[test]
fn entries_are_told_by_list_and_key() {
    let mut set = Set::new(100);
    edit(&mut set, "b", Edit::Add(entries(&["192.0.2.1"])));
    edit(
        &mut set,
        "a",
        Edit::Add(entries(&["::1", "10.0.0.1", "any port 80", "10.0.0.0/8"])),
    );
    let told: Vec<String> = set
        .iter()
        .map(|(list, entry)| format!("{list} {entry}"))
        .collect();
    assert_eq!(
        told,
        [
            "a any port 80",
            "a 10.0.0.0/8",
            "a 10.0.0.1",
            "a ::1",
            "b 192.0.2.1"
        ]
    );
    let list = set.list(&name("a")).unwrap();
    assert_eq!(
        (list.len(), list.enabled(), list.is_empty()),
        (4, true, false)
    );
    assert_eq!(list.get(entry("::1").key()), Some(entry("::1")));
    assert_eq!(list.get(entry("::2").key()), None);
    assert_eq!(set.lists().len(), 2);
}

#[test]
fn a_million_entries_take_less_than_200_megabytes() {
    let key = |n: u32| {
        let [a, b, c, d] = (n << 8).to_be_bytes();
        let destination = format!("{a}.{b}.{c}.{d}/24").parse().unwrap();
        let source = "10.0.0.0/8".parse().unwrap();
        Key::new(Some(destination), Some(source), Some(80), None).unwrap()
    };
    let entry_of = |n| Entry::new(key(n), super::super::Action::Bypass);
    const MANY: u32 = 1_000_000;
    let mut set = Set::new(2_000_000);
    let info = allocation_counter::measure(|| {
        edit(
            &mut set,
            "a",
            Edit::Replace((0..MANY).map(entry_of).collect()),
        );
    });
    assert!(info.bytes_current < 100_000_000, "at once: {info:?}");
    edit(&mut set, "a", Edit::Clear);
    let info = allocation_counter::measure(|| {
        for part in 0..1000 {
            let part = (part * 1000..(part + 1) * 1000).map(entry_of).collect();
            edit(&mut set, "a", Edit::Add(part));
        }
    });
    assert!(info.bytes_current < 200_000_000, "in parts: {info:?}");
    assert_eq!(set.len(), MANY as usize);
}
