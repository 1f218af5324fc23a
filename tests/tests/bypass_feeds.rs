//! Bypass lists that are files which others write.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use weir_tests::{Family, Layout, Options, Weir, World, network, until};

const SOON: Duration = Duration::from_secs(20);

/// A directory with the feeds `first.txt` and `second.list.json`, and with the lists.
struct Feeds {
    directory: tempfile::TempDir,
}

impl Feeds {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    fn first(&self) -> PathBuf {
        self.directory.path().join("first.txt")
    }

    fn second(&self) -> PathBuf {
        self.directory.path().join("second.list.json")
    }

    fn config(&self) -> String {
        self.config_with(&[self.first(), self.second()])
    }

    fn config_with(&self, feeds: &[PathBuf]) -> String {
        let lists = self.directory.path().join("lists");
        format!("[bypass]\ndirectory = {lists:?}\nfeeds = {feeds:?}\n")
    }

    fn world(&self) -> World {
        let options = Options::config(&self.config());
        World::with(&Layout::default(), &options, |_| {})
    }
}

/// As a careful program does it: readers see the old file or the new one.
fn put(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(&draft, path).unwrap();
}

/// `fault` of the feed of that list.
fn fault(weir: &Weir, list: &str) -> Value {
    let status = weir.status();
    let feeds = status["bypass"]["feeds"].as_array().expect("feeds");
    let feed = feeds.iter().find(|feed| feed["list"] == list);
    feed.expect("a feed of that list")["fault"].clone()
}

#[test]
fn feeds_are_taken_in_at_the_start_and_when_they_change() {
    let feeds = Feeds::new();
    put(&feeds.first(), "# of ours\n203.0.113.2  # a\nfd77:2::2\n");
    put(
        &feeds.second(),
        "{\"entries\": [{\"destination\": \"203.0.113.3\"}]}",
    );
    let world = feeds.world();
    let weir = &world.weir;
    assert_eq!(weir.exported("first"), ["203.0.113.2  # a", "fd77:2::2"]);
    assert_eq!(weir.exported("second"), ["203.0.113.3"]);
    for family in Family::BOTH {
        assert!(world.get(family).direct());
    }
    let lists = weir.bypass(&["lists"]);
    assert!(lists.contains(feeds.first().to_str().unwrap()), "{lists}");

    put(&feeds.first(), "fd77:2::2\n203.0.113.4\n");
    until(SOON, "the new feed", || {
        weir.exported("first") == ["203.0.113.4", "fd77:2::2"]
    });
    assert!(world.get(Family::V4).intercepted());
    assert!(world.get(Family::V6).direct());
    assert_eq!(weir.exported("second"), ["203.0.113.3"]);

    put(&feeds.second(), "[]");
    until(SOON, "the empty feed", || {
        weir.exported("second").is_empty()
    });
    // What is as it was makes no new generation.
    let generation = weir.generation();
    weir.reload(&feeds.config());
    put(&feeds.first(), "203.0.113.4\nfd77:2::2\n");
    until(SOON, "another look", || {
        weir.output().matches("bypass feed taken in").count() >= 7
    });
    assert_eq!(weir.generation(), generation);
}

#[test]
fn a_reload_takes_feeds_in_at_once_and_knows_new_ones() {
    let feeds = Feeds::new();
    put(&feeds.first(), "203.0.113.3\n");
    put(&feeds.second(), "[]");
    let world = feeds.world();
    let weir = &world.weir;
    put(&feeds.first(), "203.0.113.2\n");
    weir.reload(&feeds.config());
    assert!(world.get(Family::V4).direct());
    let third = feeds.directory.path().join("third");
    put(&third, "fd77:2::2\n");
    let said = weir.reload(&feeds.config_with(&[third]));
    assert!(said.contains("configuration reloaded"), "{said}");
    assert!(world.get(Family::V6).direct());
    // The list whose feed is gone stays, an ordinary one.
    assert!(world.get(Family::V4).direct());
    weir.bypass(&["del", "203.0.113.2", "--list", "first"]);
    assert!(world.get(Family::V4).intercepted());
    weir.say(&["clear", "--list", "third"])
        .failed(2, &["list third is what the feed"]);
}

#[test]
fn a_feed_that_is_broken_leaves_its_list_as_it_is() {
    let feeds = Feeds::new();
    let (first, second) = (feeds.first(), feeds.second());
    put(&first, "203.0.113.2\n");
    put(&second, "[{\"destination\": \"fd77:2::2\"}]");
    let world = feeds.world();
    let weir = &world.weir;
    let generation = weir.generation();
    for (path, list, broken, place) in [
        (&first, "first", "203.0.113.9\n  bank\n", ":2:3: "),
        (&first, "first", "203.0.113.9\n0.0.0.0/0\n", ":2:1: "),
        (&first, "first", "203.0.113.9\nany\n", ":2:1: "),
        (
            &first,
            "first",
            "203.0.113.9\n203.0.113.9 # b\n",
            ":2:1: entry 203.0.113.9 says something else",
        ),
        (&second, "second", "[\n{\"destination\": \"::/0\"}]", ":2:"),
        (&second, "second", "[{\"destination\": ", ":1:"),
    ] {
        let sound = fs::read_to_string(path).unwrap();
        put(path, broken);
        let place = format!("{}{place}", path.display());
        until(SOON, &format!("the fault of {broken:?}"), || {
            fault(weir, list)
                .as_str()
                .is_some_and(|fault| fault.starts_with(&place))
        });
        let told = fault(weir, list);
        weir.says(told.as_str().unwrap());
        assert!(weir.output().contains("bypass feed not taken in"));
        assert_eq!(weir.generation(), generation);
        for family in Family::BOTH {
            assert!(world.get(family).direct());
        }
        put(path, &sound);
        until(SOON, "the end of the fault", || fault(weir, list).is_null());
    }
    fs::remove_file(&first).unwrap();
    until(SOON, "the fault of a file that is gone", || {
        fault(weir, "first")
            .as_str()
            .is_some_and(|fault| fault.contains("No such file"))
    });
    assert!(world.get(Family::V4).direct());
}

#[test]
fn what_was_kept_holds_while_the_file_is_missing() {
    let feeds = Feeds::new();
    put(&feeds.first(), "203.0.113.2\n");
    put(&feeds.second(), "[]");
    let mut world = feeds.world();
    world.weir.stop();
    fs::remove_file(feeds.first()).unwrap();
    put(&feeds.second(), "[{");
    world.weir.start_again();
    let weir = &world.weir;
    assert_eq!(weir.exported("first"), ["203.0.113.2"]);
    assert!(world.get(Family::V4).direct());
    let path = feeds.first().display().to_string();
    assert!(fault(weir, "first").as_str().unwrap().starts_with(&path));
    weir.say(&["add", "203.0.113.3", "--list", "first"])
        .failed(2, &["list first is what the feed", &path]);
    put(&feeds.first(), "203.0.113.3\n");
    until(SOON, "the feed that has come", || {
        weir.exported("first") == ["203.0.113.3"]
    });
    assert_eq!(fault(weir, "first"), json!(null));
}

#[test]
fn nothing_but_the_file_says_what_is_in_the_list() {
    let feeds = Feeds::new();
    put(&feeds.first(), "203.0.113.2\n203.0.113.3\n");
    put(&feeds.second(), "[]");
    let mut world = feeds.world();
    let path = feeds.first().display().to_string();
    let refuse = |weir: &Weir| {
        for (arguments, input) in [
            (&["add", "203.0.113.9"][..], ""),
            (&["del", "203.0.113.2"], ""),
            (&["clear"], ""),
            (&["import", "-"], "203.0.113.9\n"),
            (&["replace", "-", "--yes"], ""),
        ] {
            let all = [arguments, &["--list", "first"]].concat();
            weir.say_with(&all, input)
                .failed(2, &["list first is what the feed", &path, "disabled"]);
        }
        assert_eq!(weir.exported("first"), ["203.0.113.2", "203.0.113.3"]);
    };
    refuse(&world.weir);
    world.weir.bypass(&["disable", "--list", "first"]);
    assert!(world.get(Family::V4).intercepted());
    refuse(&world.weir);
    // Over another reading,
    put(&feeds.first(), "203.0.113.2\n203.0.113.3\nfd77:2::2\n");
    until(SOON, "the new feed", || {
        world.weir.exported("first").len() == 3
    });
    assert!(world.get(Family::V4).intercepted() && world.get(Family::V6).intercepted());
    // a reload,
    world.weir.reload(&feeds.config());
    assert!(world.get(Family::V4).intercepted());
    // a stop, with another edit of the file, and a crash.
    world.weir.stop();
    put(&feeds.first(), "203.0.113.2\n203.0.113.3\n");
    world
        .weir
        .say(&[
            "add",
            "203.0.113.9",
            "--list",
            "first",
            "--config",
            &config(&world),
        ])
        .failed(2, &["list first is what the feed"]);
    world.weir.start_again();
    refuse(&world.weir);
    assert!(world.get(Family::V4).intercepted());
    world.weir.kill9();
    world.weir.start_again();
    assert!(world.get(Family::V4).intercepted());
    world.weir.bypass(&["enable", "--list", "first"]);
    assert!(world.get(Family::V4).direct() && world.get(Family::V6).intercepted());
}

#[test]
fn what_a_feed_means_is_taken_where_it_is_clear() {
    let feeds = Feeds::new();
    let lines = "\u{feff}203.0.113.77/24\r\n203.0.113.0/24\r\n; old\r\nfd77:2::2:9/96\r\n\
                 198.51.100.1 until 2020-01-01T00:00:00Z\r\n";
    put(&feeds.first(), lines);
    put(&feeds.second(), "[{\"destination\": \"203.0.113.9/24\"}]");
    let world = feeds.world();
    let weir = &world.weir;
    let expected = ["203.0.113.0/24", "fd77:2::/96"];
    assert_eq!(weir.exported("first"), expected);
    assert_eq!(weir.exported("second"), ["203.0.113.0/24"]);
    assert!(weir.output().contains("normalised=2"), "{}", weir.output());
    for family in Family::BOTH {
        assert!(world.get(family).direct());
    }
}

#[test]
fn feeds_that_cannot_be_lists_are_refused() {
    let net = network(&Layout::default());
    for (feeds, word) in [
        ("[\"/tmp/manual\"]", "manual"),
        ("[\"/tmp/learned.txt\"]", "learned"),
        ("[\"/tmp/Ads.txt\"]", "Ads.txt"),
        ("[\"/a/ads.txt\", \"/b/ads.json\"]", "ads"),
        ("[\"ads.txt\"]", "ads.txt"),
    ] {
        let options = Options::config(&format!(
            "[bypass]\ndirectory = \"/nonexistent\"\nfeeds = {feeds}\n"
        ));
        let failed = Weir::refused(&net.router, &options);
        assert_eq!(failed.status.code(), Some(2), "{feeds}: {}", failed.output);
        assert!(failed.output.contains("weir.toml:3:"), "{}", failed.output);
        assert!(failed.output.contains(word), "{}", failed.output);
    }
}

fn config(world: &World) -> String {
    let file = world.weir.directory().join("weir.toml");
    file.display().to_string()
}

#[test]
fn a_feed_without_an_entry_is_a_broken_one_unless_it_says_so() {
    let feeds = Feeds::new();
    put(&feeds.first(), "203.0.113.2\n");
    put(&feeds.second(), "[]");
    let world = feeds.world();
    let weir = &world.weir;
    for nothing in ["", "# the server was not there\n"] {
        put(&feeds.first(), nothing);
        until(SOON, "the fault", || {
            fault(weir, "first")
                .as_str()
                .is_some_and(|fault| fault.contains("there is no entry in it"))
        });
        assert!(world.get(Family::V4).direct());
        assert!(
            weir.ask(&["status"])
                .contains("FEED NOT TAKEN IN: list first")
        );
        put(&feeds.first(), "203.0.113.2\n");
        until(SOON, "its end", || fault(weir, "first").is_null());
    }
    // The same by hand.
    weir.bypass(&["add", "fd77:2::2"]);
    let empty = feeds.directory.path().join("empty");
    put(&empty, "# nothing\n");
    let replace = ["bypass", "replace", empty.to_str().unwrap()];
    let output = weir.command(&replace);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(world.get(Family::V6).direct());
    weir.ask(&[&replace[..], &["--yes"]].concat());
    assert!(world.get(Family::V6).intercepted());
}
