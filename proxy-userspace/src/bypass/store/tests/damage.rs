//! Files that are not as we left them.

use super::*;

/// What opening says, without the directory's name. Nothing in it may be changed.
#[track_caller]
fn error(directory: &Path) -> String {
    let before: Vec<Vec<u8>> = contents(directory);
    let error = Store::open(directory, CAPACITY)
        .map(|(_, set)| set)
        .unwrap_err();
    assert_eq!(contents(directory), before, "the files are left alone");
    error
        .to_string()
        .replace(&format!("{}/", directory.display()), "")
}

fn contents(directory: &Path) -> Vec<Vec<u8>> {
    let read = |file| fs::read(directory.join(file)).unwrap();
    files(directory).into_iter().map(read).collect()
}

/// A list with a log of three lines: directory, the states after each line, and the log.
fn logged() -> (tempfile::TempDir, Vec<Set>, Vec<u8>) {
    let (directory, mut store, mut set) = long_list();
    let mut states = vec![set.clone()];
    for edit in [add("::2 # ü"), remove("192.0.2.0"), Edit::Enable(false)] {
        keep(&mut store, &mut set, "a", edit);
        states.push(set.clone());
    }
    let log = fs::read(directory.path().join("a.log")).unwrap();
    (directory, states, log)
}

fn lines(log: &[u8]) -> usize {
    log.iter().filter(|&&byte| byte == b'\n').count()
}

#[test]
fn a_log_that_is_cut_anywhere_has_its_whole_lines() {
    let (directory, states, log) = logged();
    for length in 0..=log.len() {
        fs::write(directory.path().join("a.log"), &log[..length]).unwrap();
        let (mut store, mut set) = Store::open(directory.path(), CAPACITY).unwrap();
        let whole = lines(&log[..length]);
        assert_eq!(set, states[whole], "{length}");
        let good = log[..length].iter().rposition(|&byte| byte == b'\n');
        let good = good.map_or(0, |last| last + 1);
        assert_eq!(store.notices().len(), usize::from(good < length));
        let there = fs::read(directory.path().join("a.log")).unwrap();
        assert_eq!(there, &log[..good], "the rest is cut off");
        keep(&mut store, &mut set, "a", add("192.0.2.99"));
        let (again, read) = Store::open(directory.path(), CAPACITY).unwrap();
        assert_eq!((read, again.notices().len()), (set, 0));
    }
}

#[test]
fn who_only_looks_mends_nothing() {
    let (directory, states, log) = logged();
    // As another command leaves them while it is at it.
    let unfinished = &log[..log.len() - 1];
    fs::write(directory.path().join("a.log"), unfinished).unwrap();
    fs::write(directory.path().join(".a.draft"), "half of it").unwrap();
    let before = contents(directory.path());
    let set = Store::look(directory.path(), CAPACITY).unwrap();
    assert_eq!(set, states[states.len() - 2]);
    assert_eq!(contents(directory.path()), before);
    assert_eq!(files(directory.path()).len(), 3);
}

#[test]
fn a_flipped_bit_is_an_error_but_for_the_last_line() {
    let (directory, states, log) = logged();
    for place in 0..log.len() {
        for bit in [0x01, 0x80] {
            let mut flipped = log.clone();
            flipped[place] ^= bit;
            fs::write(directory.path().join("a.log"), &flipped).unwrap();
            let line = lines(&log[..place]) + 1;
            // A line that does not end is one with the next.
            let merged = line == 2 && log[place] == b'\n';
            if merged {
                assert_eq!(
                    Store::open(directory.path(), CAPACITY).unwrap().1,
                    states[1]
                );
            } else if line == 3 {
                assert_eq!(
                    Store::open(directory.path(), CAPACITY).unwrap().1,
                    states[2]
                );
            } else {
                assert_eq!(
                    error(directory.path()),
                    format!(
                        "bypass list a.log:{line}:1 is damaged: its checksum is not that of the \
                         line; remove the line to go on without that edit"
                    )
                );
            }
        }
    }
}

#[test]
fn lines_that_do_not_follow_are_errors() {
    let (directory, _, log) = logged();
    let lines: Vec<&[u8]> = log.split_inclusive(|&byte| byte == b'\n').collect();
    let sealed = |json: &str| format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    for (log, message) in [
        (
            lines[1].repeat(2),
            "a.log:2:10 is damaged: generation 3 follows generation 3",
        ),
        (
            [lines[1], lines[0]].concat(),
            "a.log:2:10 is damaged: generation 2 follows generation 3",
        ),
        (
            sealed(r#"{"generation":5,"del":["192.0.2.99"]}"#).into(),
            "a.log:1:10 is damaged: 192.0.2.99 is removed, but was not there",
        ),
        (
            sealed(r#"{"generation":5,"add":["192.0.2.99 x"]}"#).into(),
            "a.log:1:10 is damaged: \"x\" is none of",
        ),
        (
            sealed(r#"{"generation":5,"move":[]}"#).into(),
            "a.log:1:10 is damaged: unknown field `move`, expected one of",
        ),
    ] {
        fs::write(directory.path().join("a.log"), log).unwrap();
        let told = error(directory.path());
        assert!(told.contains(message), "{told}");
    }
}

#[test]
fn what_the_list_has_already_is_passed_over() {
    let (directory, mut states, log) = logged();
    let (mut store, mut set) = Store::open(directory.path(), CAPACITY).unwrap();
    keep(
        &mut store,
        &mut set,
        "a",
        Edit::Replace(entries(&LONG[..9])),
    );
    fs::write(directory.path().join("a.log"), &log).unwrap();
    let (mut store, mut read) = Store::open(directory.path(), CAPACITY).unwrap();
    assert_eq!(read, set);
    keep(&mut store, &mut read, "a", add("::9"));
    assert_eq!(files(directory.path()), ["a.list", "a.log"]);
    assert_eq!(Store::open(directory.path(), CAPACITY).unwrap().1, read);
    states.clear();
}

#[test]
fn a_list_that_is_cut_anywhere_is_an_error() {
    let (directory, _, set) = long_list();
    let path = directory.path().join("a.list");
    let list = fs::read(&path).unwrap();
    for length in 0..list.len() {
        fs::write(&path, &list[..length]).unwrap();
        let told = error(directory.path());
        assert!(told.starts_with("bypass list a.list:"), "{length}: {told}");
    }
    fs::write(&path, &list).unwrap();
    assert_eq!(Store::open(directory.path(), CAPACITY).unwrap().1, set);
}

#[test]
fn a_damaged_list_is_named_with_the_place() {
    let header = "# weir bypass list 1 · name a · generation 7 · enabled\n";
    let remedy = "; put a sound copy in its place, or move it and its log away to begin without \
                  the list";
    let expected = "a.list:1:1 is damaged: \"# weir bypass list 1 · name a · generation 1 · \
                    enabled\" or the like is expected";
    let at =
        |place: &str, message: &str| format!("bypass list a.list:{place} is damaged: {message}");
    for (content, message) in [
        (String::new(), format!("bypass list {expected}{remedy}")),
        (
            "192.0.2.1\n".into(),
            format!("bypass list {expected}{remedy}"),
        ),
        (
            header.replace("enabled", "maybe"),
            format!("bypass list {expected}{remedy}"),
        ),
        (
            header.replace("7 ·", "x ·"),
            format!("bypass list {expected}{remedy}"),
        ),
        (
            header.replace("led", "led · x"),
            format!("bypass list {expected}{remedy}"),
        ),
        (
            header.replace("list 1", "list 2"),
            "bypass list a.list has version 2, this weir knows 1 only; use the weir that wrote it"
                .into(),
        ),
        (
            header.replace("name a", "name b"),
            at("1:1", "it is the list b, but the file is named after a"),
        ),
        (header.into(), at("1:1", "the end of the list is missing")),
        (
            format!("{header}::1\n"),
            at("2:1", "the end of the list is missing"),
        ),
        (
            format!("{header}::1\n# end of list · 2 entries\n"),
            at("3:1", "it tells of 2 entries, but there are 1"),
        ),
        (
            format!("{header}# end of list · many entries\n"),
            at("2:1", "the number of entries is not readable"),
        ),
        (
            format!("{header}# end of list · 0 entries\n\n"),
            at("3:1", "something follows the end of the list"),
        ),
        (
            format!("{header}::1\n::2 port x\n# end of list · 2 entries\n"),
            at(
                "3:10",
                "\"x\" is not a port; write a number from 1 to 65535",
            ),
        ),
        (
            format!("{header}::1\n::2\n::1 # x\n# end of list · 3 entries\n"),
            at(
                "4:1",
                "entry ::1 says something else on line 2; leave one of the two",
            ),
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.list"), &content).unwrap();
        let told = error(directory.path());
        assert!(told.starts_with(&message), "{content}\n{told}\n{message}");
    }
    let directory = tempfile::tempdir().unwrap();
    let content = [header.as_bytes(), b"::1\n\xff\n"].concat();
    fs::write(directory.path().join("a.list"), content).unwrap();
    assert!(error(directory.path()).starts_with(&at("3:1", "a byte there is not UTF-8")));
}

#[test]
fn files_of_others_are_passed_over_unless_they_look_like_lists() {
    let (directory, _, set) = long_list();
    for other in [
        "README",
        ".a.list.swp",
        ".hidden.list",
        "bypass.json",
        ".A.draft",
    ] {
        fs::write(directory.path().join(other), "x").unwrap();
    }
    fs::write(directory.path().join(".b.draft"), "x").unwrap();
    assert_eq!(Store::open(directory.path(), CAPACITY).unwrap().1, set);
    assert_eq!(files(directory.path()).len(), 6, "our own draft is removed");

    let foreign = directory.path().join("A.list");
    fs::write(&foreign, "x").unwrap();
    let told = error(directory.path());
    assert!(
        told.starts_with("A.list is no bypass list of ours: \"A\" cannot be"),
        "{told}"
    );
    fs::remove_file(foreign).unwrap();

    fs::write(directory.path().join("b.log"), "").unwrap();
    let told = error(directory.path());
    assert!(
        told.starts_with("b.log has edits of a bypass list, but b.list is missing"),
        "{told}"
    );
}
