//! Bypass lists without a daemon, with one that does not answer, and at the ends of their entries.

use std::{
    path::Path,
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use nix::sys::signal::Signal;
use serde_json::json;
use weir_tests::{Family, Said, Weir, World, run_weir, until};

const SOON: Duration = Duration::from_secs(20);
const OFFLINE: &str = "no daemon is running: it holds from the next start on";
const ENDS: [fn(&mut Weir); 2] = [Weir::stop, Weir::kill9];

#[test]
fn root_edits_what_the_next_daemon_begins_with() {
    let mut world = World::new();
    world.weir.bypass(&["add", "203.0.113.3"]);
    let mut generation = world.weir.generation();
    for end in ENDS {
        end(&mut world.weir);
        let weir = &world.weir;
        let there = weir.run_dir().exists();
        for family in Family::BOTH {
            let origin = family.origin(0).to_string();
            let said = offline(weir, &["add", &origin], "").done();
            assert!(said.out.contains(OFFLINE), "{said:?}");
        }
        offline(weir, &["import", "-"], "203.0.113.4\n203.0.113.5\n").done();
        let said = offline(weir, &["del", "203.0.113.4"], "").done();
        assert!(said.out.contains(OFFLINE), "{said:?}");
        offline(weir, &["del", "203.0.113.9"], "").failed(2, &["is not in bypass list manual"]);
        offline(weir, &["import", "-"], "203.0.113.9\nbank\n").failed(2, &["standard input:2:1"]);
        let said = offline(weir, &["list"], "").done();
        assert!(said.out.contains("203.0.113.5"), "{said:?}");
        assert!(said.err.contains("what the next one begins with"));
        let said = offline(weir, &["test", "10.77.1.2", "203.0.113.2"], "").done();
        assert!(
            said.out
                .starts_with("bypassed by 203.0.113.2 (list manual)")
        );
        assert!(said.out.contains("no daemon is running"), "{said:?}");
        let expected = "203.0.113.2\n203.0.113.3\n203.0.113.5\nfd77:2::2\n";
        assert_eq!(offline(weir, &["export"], "").done().out, expected);
        assert_eq!(
            weir.run_dir().exists(),
            there,
            "nothing is left of the command"
        );

        world.weir.start_again();
        assert_eq!(world.weir.exported("manual").join("\n") + "\n", expected);
        assert_eq!(world.weir.generation(), generation + 4);
        for family in Family::BOTH {
            assert!(world.get(family).direct());
            world.weir.bypass(&["del", &family.origin(0).to_string()]);
            assert!(world.get(family).intercepted());
        }
        world.weir.bypass(&["del", "203.0.113.5"]);
        generation = world.weir.generation();
    }
}

#[test]
fn an_instance_that_never_was_is_not_made() {
    let name = format!("test-{}-never", process::id());
    for arguments in [
        &["bypass", "add", "203.0.113.2"][..],
        &["bypass", "list"],
        &["bypass", "lists"],
        &["bypass", "test", "10.77.1.2", "203.0.113.2"],
        &["bypass", "clear", "--list", "manual"],
    ] {
        let output = run_weir(&[arguments, &["--instance", &name]].concat());
        Said::of(&output).failed(5, &[&name]);
    }
    for directory in ["/run/weir", "/var/lib/weir"] {
        assert!(!Path::new(directory).join(&name).exists(), "{directory}");
    }
}

#[test]
fn a_daemon_that_does_not_answer_changes_nothing_later_either() {
    let world = World::new();
    let weir = &world.weir;
    weir.bypass(&["add", "203.0.113.3"]);
    let (entries, generation) = (weir.entries(), weir.generation());
    let large: String = (0..100_000_u32)
        .map(|n| format!("100.64.{}.{}  # of many\n", n >> 8 & 0xff, n & 0xff))
        .take(60_000)
        .collect();
    weir.sigstop();
    thread::scope(|scope| {
        for (arguments, input) in [
            (&["add", "203.0.113.2"][..], ""),
            (&["del", "203.0.113.3"], ""),
            (&["clear", "--list", "manual"], ""),
            (&["disable", "--list", "manual"], ""),
            (&["replace", "-"], &large),
            (&["list"], ""),
        ] {
            scope.spawn(move || {
                let said = offline(weir, arguments, input);
                said.failed(1, &["does not answer"]);
            });
        }
    });
    weir.signal(Signal::SIGCONT);
    assert_eq!(weir.entries(), entries);
    assert_eq!(weir.generation(), generation);
    weir.bypass(&["add", "203.0.113.2"]);
    assert_eq!(weir.generation(), generation + 1);
    assert!(world.get(Family::V4).direct());
}

#[test]
fn an_entry_that_ended_while_there_was_no_daemon() {
    let mut world = World::new();
    for end in ENDS {
        let over = SystemTime::now() + Duration::from_secs(3);
        world
            .weir
            .bypass(&["add", "203.0.113.2", "fd77:2::2", "--for", "2s"]);
        world.weir.bypass(&["add", "203.0.113.3", "--for", "1h"]);
        let generation = world.weir.generation();
        assert!(world.get(Family::V4).direct());
        end(&mut world.weir);
        until(SOON, "the end of the entries", || SystemTime::now() > over);
        let said = offline(&world.weir, &["test", "10.77.1.2", "203.0.113.2"], "").done();
        assert!(said.out.contains("it has ended"), "{said:?}");
        world.weir.start_again();
        for family in Family::BOTH {
            assert!(world.get(family).intercepted());
        }
        until(SOON, "what has ended is swept", || {
            world.weir.exported("manual").len() == 1
        });
        world.weir.says("the bypass entry has ended");
        assert_eq!(world.weir.generation(), generation + 1);
        world.weir.bypass(&["clear", "--list", "manual"]);
    }
}

#[test]
fn an_entry_that_ends_while_there_is_a_daemon() {
    let world = World::new();
    let weir = &world.weir;
    for family in Family::BOTH {
        let origin = family.origin(0).to_string();
        weir.bypass(&["add", &origin, "--for", "2s"]);
        assert!(world.get(family).direct());
        until(SOON, "interception", || world.get(family).intercepted());
        until(SOON, "the list without it", || {
            weir.exported("manual").is_empty()
        });
        weir.says(&format!("entry={origin} until "));
        weir.says("the bypass entry has ended");
        // What is prolonged does not end.
        weir.bypass(&["add", &origin, "--for", "2s"]);
        let end = SystemTime::now() + Duration::from_secs(3);
        weir.bypass(&["add", &origin, "--for", "1h"]);
        until(SOON, "the first end", || SystemTime::now() > end);
        assert!(world.get(family).direct());
        // And what is cut short does.
        weir.bypass(&["add", &origin, "--for", "1s"]);
        until(SOON, "interception", || world.get(family).intercepted());
    }
    weir.say(&["add", "203.0.113.2", "--until", "2020-01-01T00:00:00Z"])
        .failed(2, &["2020-01-01T00:00:00Z"]);
}

#[test]
fn who_edits_at_once_loses_nothing() {
    let world = World::new();
    let weir = &world.weir;
    let address = |of: usize, number: usize| format!("198.18.{of}.{number}");
    thread::scope(|scope| {
        for of in 0..8 {
            scope.spawn(move || {
                for number in 0..50 {
                    weir.bypass(&["add", &address(of, number)]);
                }
            });
        }
    });
    let all = |ofs: std::ops::Range<usize>| {
        let mut all: Vec<_> = ofs
            .flat_map(|of| (0..50).map(move |number| address(of, number)))
            .collect();
        all.sort_unstable();
        all
    };
    let sorted = || {
        let mut lines = weir.exported("manual");
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(), all(0..8));
    assert_eq!(weir.generation(), 400);
    thread::scope(|scope| {
        for of in 0..8 {
            scope.spawn(move || {
                for number in 0..50 {
                    if of < 4 {
                        weir.bypass(&["del", &address(of, number)]);
                    } else {
                        weir.bypass(&["add", &address(of + 4, number)]);
                    }
                }
            });
        }
    });
    assert_eq!(sorted(), all(4..12));
    assert_eq!(weir.generation(), 800);
    assert_eq!(weir.status()["bypass"]["entries"], 400);
}

/// Without a daemon they wait for each other, and who reads disturbs nobody.
#[test]
fn who_edits_at_once_without_a_daemon_loses_nothing() {
    let mut world = World::new();
    world.weir.bypass(&["add", "203.0.113.2"]);
    world.weir.stop();
    let weir = &world.weir;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let editors: Vec<_> = (0..4)
            .map(|of| {
                scope.spawn(move || {
                    for number in 0..25 {
                        offline(weir, &["add", &format!("198.18.{of}.{number}")], "").done();
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let said = offline(weir, &["list", "--json"], "").done();
                assert!(said.out.contains("203.0.113.2"), "{said:?}");
            }
        });
        let ends: Vec<_> = editors.into_iter().map(|editor| editor.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(Result::is_ok));
    });
    world.weir.start_again();
    assert_eq!(world.weir.exported("manual").len(), 101);
    assert_eq!(world.weir.generation(), 101);
    assert_ne!(world.weir.entries(), json!([]));
}

/// An edit waits for a daemon that is starting, and that for an edit.
#[test]
fn a_daemon_that_starts_among_edits() {
    let mut world = World::new();
    world.weir.bypass(&["add", "203.0.113.2"]);
    for (round, end) in (0..).zip(ENDS) {
        end(&mut world.weir);
        let instance = world.weir.instance.clone();
        let config = world.weir.directory().join("weir.toml");
        let config = config.display().to_string();
        thread::scope(|scope| {
            for of in 0..3 {
                let rest = ["--instance", &instance, "--config", &config].map(str::to_owned);
                scope.spawn(move || {
                    for number in 0..30 {
                        let address = format!("198.18.{of}.{}", round * 30 + number);
                        let mut all = vec!["bypass", "add", &address];
                        all.extend(rest.iter().map(String::as_str));
                        Said::of(&run_weir(&all)).done();
                    }
                });
            }
            world.weir.start_again();
        });
        let count = 1 + (round + 1) * 90;
        assert_eq!(world.weir.exported("manual").len(), count);
        assert_eq!(world.weir.generation(), count as u64);
        assert!(world.get(Family::V4).direct());
    }
}

/// A command for which there may be no daemon.
fn offline(weir: &Weir, arguments: &[&str], input: &str) -> Said {
    let config = weir.directory().join("weir.toml");
    let config = config.display().to_string();
    weir.say_with(&[arguments, &["--config", &config]].concat(), input)
}
