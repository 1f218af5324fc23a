use super::*;
use crate::bypass::EntrySpec;

const CAPACITY: usize = 8;

fn entry(text: &str) -> Entry {
    EntrySpec::parse(text, true).unwrap().destination(None)
}

/// What opening a file with this content says.
#[track_caller]
fn error(content: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bypass.json");
    fs::write(&path, content).unwrap();
    let error = Store::open(&path, CAPACITY)
        .map(|(_, set)| set)
        .unwrap_err();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        content,
        "the file is left alone"
    );
    error
        .to_string()
        .replace(&path.display().to_string(), "bypass.json")
}

#[test]
fn a_missing_file_is_an_empty_set_and_stays_missing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/bypass.json");
    let (store, set) = Store::open(&path, CAPACITY).unwrap();
    assert_eq!(
        (set.len(), set.generation(), store.path()),
        (0, 0, path.as_path())
    );
    assert!(!path.exists());
}

#[test]
fn what_is_saved_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/bypass.json");
    let (store, mut set) = Store::open(&path, CAPACITY).unwrap();
    store.save(&set).unwrap();
    assert_eq!(Store::open(&path, CAPACITY).unwrap().1, set);

    let source = EntrySpec::parse("2001:db8::/32", false)
        .unwrap()
        .source(Some("ü\n".into()));
    set.add([entry("192.0.2.0/24"), entry("0.0.0.0/0"), source])
        .unwrap();
    set.remove([entry("192.0.2.0/24")]).unwrap();
    store.save(&set).unwrap();
    let (_, again) = Store::open(&path, CAPACITY).unwrap();
    assert_eq!(again, set);
    assert_eq!(again.generation(), 2);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        MODE
    );
    let others = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(others, 1, "no temporary file is left");
}

#[test]
fn the_file_has_one_entry_a_line() {
    let mut set = Set::new(CAPACITY);
    assert_eq!(
        String::from_utf8(encode(&set).unwrap()).unwrap(),
        "{\n  \"version\": 1,\n  \"generation\": 0,\n  \"entries\": []\n}\n"
    );
    set.add([entry("192.0.2.0/24"), entry("::1")]).unwrap();
    let text = String::from_utf8(encode(&set).unwrap()).unwrap();
    assert_eq!(text.lines().count(), 8, "{text}");
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
}

#[test]
fn a_damaged_file_is_named_with_the_place() {
    let empty = error("");
    assert!(
        empty.starts_with("bypass list bypass.json:1:0 is damaged: EOF"),
        "{empty}"
    );
    let cut = error("{\"version\": 1,\n \"generation\": 3,\n \"entries\": [");
    assert!(
        cut.starts_with("bypass list bypass.json:3:13 is damaged: EOF"),
        "{cut}"
    );
    assert!(!cut.contains("at line"), "{cut}");
    assert!(error("[]").contains("is damaged"));
    assert!(error("{\"version\": 1, \"generation\": 0}").contains("missing field `entries`"));
    let more = "{\"version\": 1, \"generation\": 0, \"entries\": [], \"x\": 1}";
    assert!(error(more).contains("unknown field `x`"));
}

#[test]
fn a_wrong_entry_is_named_with_its_line() {
    let wrong = error(
        "{\"version\": 1, \"generation\": 0, \"entries\": [\n\
         {\"destination\": \"10.0.0.0/8\", \"source\": null, \"list\": \"manual\"},\n\
         {\"destination\": \"10.0.0.1/8\", \"source\": null, \"list\": \"manual\"},\n\
         {\"destination\": \"11.0.0.0/8\", \"source\": null, \"list\": \"manual\"}\n]}",
    );
    assert!(wrong.starts_with("bypass list bypass.json:3:"), "{wrong}");
    assert!(
        wrong.contains("prefix 10.0.0.1/8 has host bits set; write 10.0.0.0/8"),
        "{wrong}"
    );
}

#[test]
fn a_later_version_is_not_mistaken_for_damage() {
    let later = error("{\"version\": 2, \"lists\": {}}");
    assert!(
        later.starts_with("bypass list bypass.json has version 2"),
        "{later}"
    );
}

#[test]
fn more_entries_than_fit_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bypass.json");
    let (store, mut set) = Store::open(&path, 2).unwrap();
    set.add([entry("::1"), entry("::2")]).unwrap();
    store.save(&set).unwrap();
    let error = Store::open(&path, 1)
        .map(|(_, set)| set)
        .unwrap_err()
        .to_string();
    assert!(error.contains("2 entries are more than 1"), "{error}");
}

#[test]
fn what_cannot_be_written_leaves_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "x").unwrap();
    let store = Store {
        path: file.join("bypass.json"),
    };
    let error = store.save(&Set::new(CAPACITY)).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot create the directory of bypass list"),
        "{error}"
    );

    let path = directory.path().join("taken");
    fs::create_dir(&path).unwrap();
    let error = Store { path }
        .save(&Set::new(CAPACITY))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("cannot write bypass list"), "{error}");
    let left = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 2, "no temporary file is left");
}
