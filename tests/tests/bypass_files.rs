//! Bypass lists from files and from standard input, and back.

use std::{fs, io::Write as _, path::PathBuf};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use weir_tests::{Family, Said, World};

/// All that a line can say.
const LINES: &str = "\
203.0.113.0/24 src 10.0.0.0/8 port 80 in lan0 until 2099-12-01T00:00:00Z owner alice  # the bank
intercept 203.0.113.4  # an exception
fd77:2::/64 owner \"two words\"
any src 10.77.1.9
any port 80 in lan0
";

#[test]
fn text_and_json_from_files_and_from_standard_input() {
    let world = World::new();
    let weir = &world.weir;
    let json = json!([
        {"destination": "203.0.113.2", "comment": "v4"},
        {"destination": "fd77:2::2/128"},
    ]);
    for (text, format) in [
        ("203.0.113.2  # v4\nfd77:2::2\n".to_owned(), "text"),
        (json.to_string(), "JSON"),
        (json!({ "entries": json }).to_string(), "JSON in an object"),
    ] {
        let file = file(&world, "some.list", &text);
        let file = file.to_str().unwrap();
        for (verb, name) in [("import", file), ("import", "-"), ("replace", file)] {
            let said = weir.say_with(&[verb, name], &text).done();
            assert!(said.out.contains("2 "), "{format}: {said:?}");
            assert_eq!(said.err, "", "{format}");
            assert_eq!(weir.exported("manual"), ["203.0.113.2  # v4", "fd77:2::2"]);
            for family in Family::BOTH {
                assert!(world.get(family).direct(), "{format}");
            }
            let said = weir.say_with(&["del", "-"], &text).done();
            assert!(said.out.contains("203.0.113.2, fd77:2::2"), "{said:?}");
            for family in Family::BOTH {
                assert!(world.get(family).intercepted(), "{format}");
            }
        }
        weir.say_with(&["add", "-"], &text).done();
        assert!(world.get(Family::V6).direct(), "{format}");
        weir.bypass(&["clear", "--list", "manual"]);
    }
}

#[test]
fn options_of_add_hold_for_every_line_of_standard_input() {
    let world = World::new();
    let weir = &world.weir;
    let lines = "203.0.113.2  # own\n203.0.113.3 owner bob\n";
    let rest = ["--list", "some", "--comment", "given", "--owner", "eve"];
    weir.say_with(&[&["add", "-", "--intercept"][..], &rest].concat(), lines)
        .done();
    let expected = [2, 3].map(|n| format!("intercept 203.0.113.{n} owner eve  # given"));
    assert_eq!(weir.exported("some"), expected);
    for more in [
        &["203.0.113.4"][..],
        &["--src", "10.0.0.1"],
        &["--port", "80"],
    ] {
        weir.say_with(&[&["add", "-"], more].concat(), lines)
            .failed(2, &["\"-\" stands alone"]);
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_nothing_changes() {
    let world = World::new();
    let weir = &world.weir;
    weir.bypass(&["add", "203.0.113.0/24", "--comment", "kept"]);
    let before = weir.exported("manual");
    let generation = weir.generation();
    let at = |line, column, message| (line, column, message);
    for (text, (line, column, message)) in [
        // Spaces in front count.
        (
            "203.0.113.9\n# two\n    198.51.100.1/24\n",
            at(3, 5, "prefix 198.51.100.1/24 has host bits set"),
        ),
        (
            "203.0.113.9 port 80\n203.0.113.9 port 99999\n",
            at(2, 18, "\"99999\" is not a port"),
        ),
        ("ä\n", at(1, 1, "\"ä\" is neither an address nor a prefix")),
        (
            "203.0.113.9  # ä\n203.0.113.9\n",
            at(2, 1, "entry 203.0.113.9 says something else on line 1"),
        ),
        ("::/0\n", at(1, 1, "entry ::/0 covers every connection")),
        (
            "203.0.113.9 src fd77:1::2\n",
            at(1, 17, "are of different families"),
        ),
        (
            "203.0.113.9 port 80 port 81\n",
            at(1, 21, "\"port\" is said twice"),
        ),
        ("203.0.113.9 owner \"bob\n", at(1, 19, "\"")),
        ("203.0.113.9 port\n", at(1, 13, "\"port\" needs something")),
        ("::ffff:203.0.113.9\n", at(1, 1, "write 203.0.113.9")),
        (
            "203.0.113.9 until soon\n",
            at(1, 19, "\"soon\" is not a moment"),
        ),
        (
            "port 80\n",
            at(1, 1, "\"port\" where the destination is expected"),
        ),
    ] {
        let path = file(&world, "wrong.list", text);
        let place = format!("{}:{line}:{column}: ", path.display());
        let path = path.to_str().unwrap();
        for verb in ["import", "replace"] {
            weir.say(&[verb, path]).failed(2, &[&place, message]);
        }
        let place = format!("weir: standard input:{line}:{column}: ");
        for arguments in [["import", "-"], ["replace", "-"], ["add", "-"]] {
            weir.say_with(&arguments, text)
                .failed(2, &[&place, message]);
        }
    }
    let said = weir.say_with(&["import", "-"], b"203.0.113.9\n203.0.113.8 # \xff\n");
    said.failed(2, &["standard input:2:15: this is not UTF-8"]);
    let json = "[\n  {\"destination\": \"203.0.113.9\"},\n  {\"destination\": \"bank\"}\n]\n";
    let said = weir.say_with(&["replace", "-"], json);
    said.failed(2, &["standard input:3:", "\"bank\" is neither an address"]);
    let said = weir.say_with(&["replace", "-"], "[{\"destination\": \"203.0.113.9\"");
    said.failed(2, &["standard input:1:"]);
    weir.say(&["import", "/nonexistent/list"])
        .failed(1, &["cannot read /nonexistent/list", "No such file"]);
    assert_eq!(weir.exported("manual"), before);
    assert_eq!(weir.generation(), generation);
    assert!(world.get(Family::V4).direct());
    assert!(world.get(Family::V6).intercepted());
}

#[test]
fn what_is_not_taken_as_it_is_written_is_told() {
    let world = World::new();
    let weir = &world.weir;
    let text = "203.0.113.2\n203.0.113.3 until 2020-01-01T00:00:00Z\n203.0.113.2\n203.0.113.2\n";
    for verb in ["import", "replace"] {
        let said = weir.say_with(&[verb, "-"], text).done();
        let told = "weir: 2 entries said twice, taken once; the first in line 3\n\
                    weir: 1 entry had ended, left out; the first in line 2\n";
        assert_eq!(said.err, told, "{verb}");
        assert_eq!(weir.exported("manual"), ["203.0.113.2"]);
    }
    // What one says oneself is right or an error.
    let said = weir.say_with(&["add", "-"], text);
    said.failed(2, &["standard input:2:19: ", "2020-01-01T00:00:00Z"]);
    assert_eq!(weir.exported("manual"), ["203.0.113.2"]);
}

#[test]
fn what_was_exported_is_what_there_is() {
    let world = World::new();
    let weir = &world.weir;
    weir.say_with(&["import", "-"], LINES).done();
    let (before, generation) = (weir.entries(), weir.generation());
    let text = weir.bypass(&["export"]);
    assert_eq!(sorted(&text), sorted(LINES));
    let json = weir.bypass(&["export", "--json"]);
    let list = weir.bypass(&["list", "--json"]);
    for exported in [&text, &json, &list] {
        let said = weir.say_with(&["replace", "-"], exported).done();
        let words = "replaced manual: 0 new, 0 changed, 0 gone, 5 as before";
        assert!(said.out.starts_with(words), "{said:?}");
        assert_eq!(said.err, "");
        assert_eq!(weir.generation(), generation);
        let said = weir.say_with(&["import", "-"], exported).done();
        assert!(said.out.contains("0 entries, 5 there already"), "{said:?}");
        assert_eq!(weir.generation(), generation);
    }
    assert_eq!(weir.entries(), before);
    for (number, exported) in (1..).zip([&text, &json, &list]) {
        weir.bypass(&["clear", "--list", "manual"]);
        assert_eq!(weir.entries(), json!([]));
        weir.say_with(&["replace", "-"], exported).done();
        assert_eq!(weir.entries(), before);
        assert_eq!(weir.generation(), generation + 2 * number);
    }
    // One differs, one is new, the others are gone.
    let said = weir.say_with(&["replace", "-"], "203.0.113.4\n203.0.113.9\n");
    let words = "1 new, 1 changed, 4 gone, 0 as before";
    assert!(said.done().out.contains(words));
    assert_eq!(weir.exported("manual"), ["203.0.113.4", "203.0.113.9"]);
}

/// Both families, and lengths that are not those of whole addresses.
#[test]
fn two_hundred_thousand_entries() {
    let world = World::new();
    let weir = &world.weir;
    let mut text = String::new();
    for number in 0..100_000_u32 {
        let (high, low) = (number >> 8, number & 0xff);
        let line = format!(
            "100.{}.{}.{low}\nfd99:{high:x}:{low:x}::/48\n",
            64 + (high >> 8),
            high & 0xff
        );
        text.push_str(&line);
    }
    for family in Family::BOTH {
        text.push_str(&format!("{}\n", family.origin(0)));
    }
    let said = weir.say_with(&["import", "-", "--list", "big"], &text);
    assert!(said.done().out.contains("200002 entries"));
    for (source, destination, by) in [
        ("10.77.1.2", "100.64.0.0", Some("100.64.0.0")),
        ("10.77.1.2", "100.65.134.159", Some("100.65.134.159")),
        ("10.77.1.2", "100.65.134.160", None),
        ("fd77:1::2", "fd99::1", Some("fd99::/48")),
        ("fd77:1::2", "fd99:186:9f:1::2", Some("fd99:186:9f::/48")),
        ("fd77:1::2", "fd99:186:a0::2", None),
    ] {
        let said = weir.bypass(&["test", source, destination]);
        let expected = by.map_or("intercepted, as far as the lists decide".into(), |by| {
            format!("bypassed by {by} (list big)")
        });
        assert!(said.starts_with(&expected), "{destination}: {said}");
    }
    for family in Family::BOTH {
        assert!(world.get(family).direct());
        let other = (family.origin(1), 80).into();
        let from = (family.client(), 0).into();
        assert!(world.get_from(from, other).intercepted());
    }
    // Again, and nothing is to be done; the other way round, and none is left.
    let generation = weir.generation();
    let said = weir.say_with(&["replace", "-", "--list", "big"], &text);
    assert!(said.done().out.contains("0 gone, 200002 as before"));
    assert_eq!(weir.generation(), generation);
    weir.say_with(&["del", "-", "--list", "big"], &text).done();
    assert_eq!(weir.status()["bypass"]["entries"], 0);
    assert!(world.get(Family::V4).intercepted());
}

#[test]
fn an_import_that_is_interrupted_has_done_nothing() {
    let world = World::new();
    let weir = &world.weir;
    weir.bypass(&["add", "203.0.113.3", "--comment", "kept"]);
    let (before, generation) = (weir.entries(), weir.generation());
    for (verb, signal) in [
        ("import", Signal::SIGINT),
        ("replace", Signal::SIGKILL),
        ("add", Signal::SIGTERM),
        ("del", Signal::SIGKILL),
    ] {
        let mut child = weir.begin_saying(&[verb, "-"]);
        let mut pipe = child.stdin.take().unwrap();
        let family = Family::V4;
        // More than a pipe holds, so that it has read some of it when this is through.
        let lines = format!("{}\n", family.origin(0)).repeat(20_000);
        pipe.write_all(lines.as_bytes()).unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, signal).unwrap();
        let said = Said::of(&child.wait_with_output().unwrap());
        assert_eq!(said.code, None, "{verb}: {said:?}");
        drop(pipe);
        assert_eq!(weir.entries(), before, "{verb}");
        assert_eq!(weir.generation(), generation, "{verb}");
        assert!(world.get(family).intercepted(), "{verb}");
    }
}

fn file(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.weir.directory().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn sorted(text: &str) -> Value {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    json!(lines)
}
