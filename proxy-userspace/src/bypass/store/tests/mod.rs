use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;
use crate::bypass::{
    Edit, Entry, Timestamp,
    samples::{entries, entry, name},
};

mod cuts;
mod damage;
mod simulated;

const CAPACITY: usize = 10_000_000;

/// Entries of a list that is long enough for small edits to go into its log.
const LONG: [&str; 12] = [
    "192.0.2.0",
    "192.0.2.1",
    "192.0.2.2 src 10.0.0.0/8 port 80 in lan0 until 2026-12-01T00:00:00Z owner \"a b\"  # ü # x",
    "192.0.2.3",
    "192.0.2.4",
    "192.0.2.5",
    "192.0.2.6",
    "192.0.2.7",
    "2001:db8::/32",
    "any src ::1",
    "any port 443",
    "intercept 192.0.2.128/25",
];

/// Plans, keeps and commits.
#[track_caller]
fn keep(store: &mut Store, set: &mut Set, list: &str, edit: Edit) -> Change {
    let change = set.plan(&name(list), edit).unwrap();
    store.append(set, &change).unwrap();
    set.commit(&change);
    change
}

fn remove(line: &str) -> Edit {
    Edit::Remove(vec![*entry(line).key()])
}

fn add(line: &str) -> Edit {
    Edit::Add(vec![entry(line)])
}

/// The names of a directory's files.
fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A directory with the list `a`, of [`LONG`] entries.
fn long_list() -> (tempfile::TempDir, Store, Set) {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, mut set) = Store::open(directory.path(), CAPACITY).unwrap();
    keep(&mut store, &mut set, "a", Edit::Add(entries(&LONG)));
    (directory, store, set)
}

#[test]
fn a_missing_directory_is_an_empty_set_and_stays_missing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b");
    let (mut store, mut set) = Store::open(&path, CAPACITY).unwrap();
    assert_eq!(
        (&set, store.directory()),
        (&Set::new(CAPACITY), path.as_path())
    );
    assert!(!directory.path().join("a").exists());
    keep(&mut store, &mut set, "x", Edit::Replace(vec![]));
    assert_eq!(files(&path), ["x.list"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&path), mode(&path.join("x.list"))), (0o755, 0o644));
    assert_eq!(Store::open(&path, CAPACITY).unwrap().1, set);
}

#[test]
fn what_is_kept_comes_back_after_every_edit() {
    let (directory, mut store, mut set) = long_list();
    let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
    for (list, edit, file) in [
        ("a", add("192.0.2.9"), "a.log"),
        ("a", add("intercept 192.0.2.9 owner x # y"), "a.log"),
        ("a", remove("192.0.2.0"), "a.log"),
        ("a", Edit::Enable(false), "a.log"),
        ("a", Edit::Expire(now), "a.log"),
        ("b", add("::1"), "b.list"),
        ("b", Edit::Clear, "b.list"),
        ("a", Edit::Replace(entries(&LONG[..5])), "a.list"),
        ("a", Edit::Enable(true), "a.log"),
        ("c.list", Edit::Add(vec![]), "c.list.list"),
    ] {
        keep(&mut store, &mut set, list, edit.clone());
        assert!(
            files(directory.path()).contains(&file.to_owned()),
            "{edit:?}"
        );
        let (again, read) = Store::open(directory.path(), CAPACITY).unwrap();
        assert_eq!(read, set, "{edit:?}");
        assert!(again.notices().is_empty());
    }
    assert_eq!(set.generation(), 11);
    assert_eq!(
        files(directory.path()),
        ["a.list", "a.log", "b.list", "c.list.list"]
    );
}

#[test]
fn a_list_is_text_and_an_edit_is_one_line() {
    let (directory, mut store, mut set) = long_list();
    keep(
        &mut store,
        &mut set,
        "a",
        Edit::Add(entries(&["192.0.2.1 # \"x\"", "::2"])),
    );
    keep(
        &mut store,
        &mut set,
        "a",
        remove("192.0.2.2 src 10.0.0.0/8 port 80 in lan0"),
    );
    keep(&mut store, &mut set, "a", Edit::Enable(false));
    let read = |file| fs::read_to_string(directory.path().join(file)).unwrap();
    let list = read("a.list");
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(
        lines[0],
        "# weir bypass list 1 · name a · generation 1 · enabled"
    );
    assert_eq!(lines[1], "any port 443");
    assert_eq!(lines[5], LONG[2]);
    assert_eq!(lines[13..], ["# end of list · 12 entries"]);
    let log = read("a.log");
    let edits: Vec<&str> = log.lines().map(|line| &line[9..]).collect();
    assert_eq!(
        edits,
        [
            r#"{"generation":2,"add":["::2","192.0.2.1  # \"x\""]}"#,
            r#"{"generation":3,"del":["192.0.2.2 src 10.0.0.0/8 port 80 in lan0"]}"#,
            r#"{"generation":4,"enabled":false}"#,
        ]
    );
    // The check value of CRC-32.
    assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
}

#[test]
fn what_changes_nothing_is_not_kept() {
    let (directory, mut store, mut set) = long_list();
    keep(&mut store, &mut set, "a", add("192.0.2.1"));
    assert_eq!(files(directory.path()), ["a.list"]);
}

#[test]
fn a_long_log_becomes_a_list() {
    let (directory, mut store, mut set) = long_list();
    store.log = 200;
    let mut lengths = Vec::new();
    for number in 0..20 {
        keep(
            &mut store,
            &mut set,
            "a",
            add(&format!("198.51.100.{number}")),
        );
        let log = fs::metadata(directory.path().join("a.log"));
        lengths.push(log.map_or(0, |log| log.len()));
        assert_eq!(Store::open(directory.path(), CAPACITY).unwrap().1, set);
    }
    let least = 200.max(fs::metadata(directory.path().join("a.list")).unwrap().len() / 2);
    assert!(lengths.contains(&0) && lengths.iter().all(|&length| length <= least + 60));
}

#[test]
fn edits_of_somebody_else_at_the_log_are_overruled() {
    let (directory, mut store, mut set) = long_list();
    keep(&mut store, &mut set, "a", remove("192.0.2.0"));
    for spoil in [&b""[..], b"x\n"] {
        fs::write(directory.path().join("a.log"), spoil).unwrap();
        keep(&mut store, &mut set, "a", add("192.0.2.0 # back"));
        assert_eq!(Store::open(directory.path(), CAPACITY).unwrap().1, set);
        keep(&mut store, &mut set, "a", remove("192.0.2.0"));
        assert_eq!(Store::open(directory.path(), CAPACITY).unwrap().1, set);
    }
}

#[test]
fn many_entries_are_written_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, mut set) = Store::open(directory.path(), CAPACITY).unwrap();
    let many = (0..100_000_u32).map(|n| {
        let [_, b, c, d] = n.to_be_bytes();
        entry(&format!("10.{b}.{c}.{d}"))
    });
    keep(&mut store, &mut set, "a", Edit::Replace(many.collect()));
    assert!(store.files[&name("a")].snapshot > 1_100_000);
    let (again, read) = Store::open(directory.path(), CAPACITY).unwrap();
    assert_eq!(
        again.files[&name("a")].snapshot,
        store.files[&name("a")].snapshot
    );
    assert_eq!(read, set);
}

#[test]
fn what_does_not_fit_is_told() {
    let (directory, _, set) = long_list();
    assert_eq!(set.count(crate::bypass::Family::V4), 10);
    let error = Store::open(directory.path(), 9).map(|_| ()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("cannot load the bypass lists in "),
        "{error}"
    );
    assert!(error.contains("10 IPv4 entries are more than 9"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let (mut store, mut set) = Store::open(&path, CAPACITY).unwrap();
    fs::write(&path, "").unwrap();
    let change = set.plan(&name("a"), add("::1")).unwrap();
    let error = store.append(&set, &change).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot make the directory of "),
        "{error}"
    );
    assert!(Store::open(&path, CAPACITY).is_err());
    fs::remove_file(&path).unwrap();
    keep(&mut store, &mut set, "a", add("::1"));
    assert_eq!(Store::open(&path, CAPACITY).unwrap().1, set);
}

#[test]
#[ignore = "a measurement, for a machine that does nothing else"]
fn a_million_entries_are_kept_and_read_within_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, mut set) = Store::open(directory.path(), CAPACITY).unwrap();
    let many = (0..1_000_000_u32).map(|n| {
        let [_, b, c, d] = n.wrapping_mul(0x9e_3779).to_be_bytes();
        entry(&format!("10.{b}.{c}.{d}"))
    });
    let many: Vec<Entry> = many.collect();
    let mut last = std::time::Instant::now();
    let mut lap = |what: &str| {
        let took = std::mem::replace(&mut last, std::time::Instant::now()).elapsed();
        eprintln!("{what}: {took:?}");
        assert!(took.as_secs() < 3, "{what}: {took:?}");
    };
    let change = set.plan(&name("a"), Edit::Replace(many)).unwrap();
    lap("plan");
    store.append(&set, &change).unwrap();
    lap("append");
    set.commit(&change);
    lap("commit");
    keep(&mut store, &mut set, "a", add("::1"));
    lap("one more");
    assert_eq!(Store::open(directory.path(), CAPACITY).unwrap().1, set);
    lap("open");
}
