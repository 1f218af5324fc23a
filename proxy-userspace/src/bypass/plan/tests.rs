use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::bypass::samples::{any_entries, at, edit, entries, entry, name};

fn keys(lines: &[&str]) -> Vec<Key> {
    entries(lines).iter().map(|entry| *entry.key()).collect()
}

/// A set with one list, and its capacity full.
fn set() -> Set {
    let mut set = Set::new(4);
    let lines = [
        "192.0.2.1 owner alice # one",
        "192.0.2.2 until 2026-01-01T00:00:00Z",
        "192.0.2.3",
    ];
    edit(&mut set, "manual", Edit::Add(entries(&lines)));
    set
}

#[track_caller]
fn error(set: &Set, list: &str, edit: Edit) -> String {
    set.plan(&name(list), edit).unwrap_err().to_string()
}

#[test]
fn a_plan_changes_nothing_and_its_commit_does() {
    let mut set = set();
    let before = set.clone();
    let plan = set.plan(&name("manual"), Edit::Clear).unwrap();
    assert_eq!(set, before);
    set.commit(&plan);
    assert_eq!((set.len(), set.generation(), plan.generation), (0, 2, 2));
    assert!(plan.whole && !plan.created);
}

#[test]
fn adding_says_action_and_end_anew_and_keeps_notes() {
    let mut set = set();
    let change = edit(
        &mut set,
        "manual",
        Edit::Add(entries(&[
            "192.0.2.4",
            "192.0.2.3",
            "192.0.2.2",
            "intercept 192.0.2.1 until 2027-01-01T00:00:00Z # new",
        ])),
    );
    assert_eq!(change.added, [entry("192.0.2.4")]);
    assert_eq!(change.unchanged, 1);
    assert_eq!(
        change.updated,
        [
            (
                entry("192.0.2.1 owner alice # one"),
                entry("intercept 192.0.2.1 until 2027-01-01T00:00:00Z owner alice # new"),
            ),
            (
                entry("192.0.2.2 until 2026-01-01T00:00:00Z"),
                entry("192.0.2.2")
            ),
        ]
    );
    assert_eq!((set.len(), set.generation()), (4, 2));
    let list = set.list(&name("manual")).unwrap();
    assert_eq!(list.get(&keys(&["192.0.2.2"])[0]), Some(entry("192.0.2.2")));
}

#[test]
fn what_changes_nothing_leaves_the_generation() {
    let mut set = set();
    let there: Vec<Entry> = set.list(&name("manual")).unwrap().iter().collect();
    for (nothing, unchanged) in [
        (Edit::Add(there.clone()), 3),
        (Edit::Add(entries(&["192.0.2.1"])), 1),
        (Edit::Add(vec![]), 0),
        (Edit::Remove(vec![]), 0),
        (Edit::Replace(there), 3),
        (Edit::Enable(true), 0),
        (Edit::Expire(at("2025-12-31T23:59:59Z")), 0),
    ] {
        let change = edit(&mut set, "manual", nothing.clone());
        assert!(change.is_empty(), "{nothing:?}");
        assert_eq!(
            (change.unchanged, change.generation, set.generation()),
            (unchanged, 1, 1)
        );
    }
}

#[test]
fn removing_is_all_or_nothing() {
    let mut set = set();
    let both = ["192.0.2.3", "192.0.2.9 src 10.0.0.1", "192.0.2.8"];
    assert_eq!(
        error(&set, "manual", Edit::Remove(keys(&both))),
        "192.0.2.9 src 10.0.0.1 is not in bypass list manual; `weir bypass list` shows what is"
    );
    let change = edit(
        &mut set,
        "manual",
        Edit::Remove(keys(&["192.0.2.3", "192.0.2.1", "192.0.2.3"])),
    );
    assert_eq!(
        change.removed,
        entries(&["192.0.2.1 owner alice # one", "192.0.2.3"])
    );
    assert_eq!(set.len(), 1);
}

#[test]
fn replacing_takes_the_new_at_its_word() {
    let mut set = set();
    let new = ["192.0.2.9", "192.0.2.3", "192.0.2.1", "192.0.2.0"];
    let change = edit(&mut set, "manual", Edit::Replace(entries(&new)));
    assert_eq!(change.added, entries(&["192.0.2.0", "192.0.2.9"]));
    assert_eq!(
        change.removed,
        [entry("192.0.2.2 until 2026-01-01T00:00:00Z")]
    );
    assert_eq!(
        change.updated,
        [(entry("192.0.2.1 owner alice # one"), entry("192.0.2.1"))],
        "without the notes that were there"
    );
    assert_eq!((change.unchanged, change.whole), (1, true));
    assert_eq!(set.len(), 4);
}

#[test]
fn lists_are_made_by_what_fills_them_and_stay_when_they_are_empty() {
    let mut set = Set::new(4);
    for (list, edit) in [
        ("x", Edit::Clear),
        ("x", Edit::Enable(false)),
        ("x", Edit::Remove(vec![])),
        ("x", Edit::Expire(at("2026-01-01T00:00:00Z"))),
    ] {
        assert_eq!(
            error(&set, list, edit),
            "there is no bypass list x; there is none yet, adding an entry makes one"
        );
    }
    assert!(edit(&mut set, "b", Edit::Replace(vec![])).created);
    assert!(edit(&mut set, "a", Edit::Add(entries(&["::1"]))).created);
    assert_eq!(set.generation(), 2);
    assert_eq!(
        error(&set, "x", Edit::Clear),
        "there is no bypass list x; there are: a, b"
    );
    assert_eq!(
        edit(&mut set, "a", Edit::Enable(false)).enabled,
        Some(false)
    );
    edit(&mut set, "a", Edit::Clear);
    let list = set.list(&name("a")).unwrap();
    assert!(list.is_empty() && !list.enabled());
}

#[test]
fn what_has_ended_goes() {
    let mut set = set();
    let change = edit(&mut set, "manual", Edit::Expire(at("2026-01-01T00:00:00Z")));
    assert_eq!(
        change.removed,
        [entry("192.0.2.2 until 2026-01-01T00:00:00Z")]
    );
    assert!(!change.whole);
    assert_eq!(set.len(), 2);
}

#[test]
fn limits_are_told_with_numbers() {
    let mut set = set();
    let more = ["192.0.2.5", "192.0.2.6", "::1"];
    assert_eq!(
        error(&set, "other", Edit::Add(entries(&more))),
        "the bypass lists are full: 5 IPv4 entries are more than 4; delete some or join them to \
         shorter prefixes"
    );
    edit(
        &mut set,
        "manual",
        Edit::Replace(entries(&["::1", "::2", "::3", "any port 80"])),
    );
    assert!(error(&set, "x", Edit::Add(entries(&["::4"]))).contains("5 IPv6"));
    edit(
        &mut set,
        "x",
        Edit::Add(entries(&["192.0.2.5", "192.0.2.6"])),
    );
    for number in 2..MOST_LISTS {
        edit(&mut set, &number.to_string(), Edit::Add(vec![]));
    }
    for fill in [Edit::Add(vec![]), Edit::Replace(vec![])] {
        assert!(error(&set, "y", fill).contains("more than 64 bypass lists"));
    }
}

#[test]
fn an_edit_must_not_contradict_itself() {
    let set = Set::new(9);
    let twice = entries(&["192.0.2.1", "::1", "intercept 192.0.2.1"]);
    for edit in [Edit::Add(twice.clone()), Edit::Replace(twice)] {
        assert_eq!(
            error(&set, "a", edit),
            "192.0.2.1 is said twice, and not the same of it; leave one of the two"
        );
    }
    let same = entries(&["192.0.2.1", "::1", "192.0.2.1"]);
    assert_eq!(
        set.plan(&name("a"), Edit::Add(same)).unwrap().added.len(),
        2
    );
}

proptest! {
    /// Against a plain map.
    #[test]
    fn edits_do_what_they_say(edits in vec((0..4, any_entries(8)), 1..12)) {
        let mut set = Set::new(1000);
        edit(&mut set, "a", Edit::Add(vec![]));
        let mut model: BTreeMap<Key, Entry> = BTreeMap::new();
        for (which, entries) in edits {
            let before = set.clone();
            let by_key = || entries.iter().map(|entry| (*entry.key(), entry.clone()));
            let planned = match which {
                0 => {
                    for (key, entry) in by_key() {
                        let kept = model.get(&key).map(|there| there.attributes());
                        let (_, new) = entry.into_parts();
                        let new = kept.map_or(new.clone(), |there| new.keeping_notes_of(there));
                        model.insert(key, Entry::of(key, new));
                    }
                    Edit::Add(entries)
                }
                1 => {
                    model = by_key().collect();
                    Edit::Replace(entries)
                }
                2 => {
                    let gone: Vec<Key> = model.keys().step_by(2).copied().collect();
                    model.retain(|key, _| !gone.contains(key));
                    Edit::Remove(gone)
                }
                _ => {
                    let now = Timestamp::from_unix(2_000_000_000);
                    model.retain(|_, entry| !entry.is_over(now));
                    Edit::Expire(now)
                }
            };
            let change = edit(&mut set, "a", planned);
            let list = set.list(&name("a")).unwrap();
            prop_assert!(list.iter().eq(model.values().cloned()));
            prop_assert_eq!(change.is_empty(), before == set);
            let restored = Set::restored(1000, set.generation(), set.lists.clone());
            prop_assert_eq!(restored.as_ref(), Ok(&set), "the counts");
        }
    }
}
