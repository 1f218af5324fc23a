//! Bypass lists: edited live, kept over restarts, and no connection ever notices an edit.

use std::{fs, net::SocketAddr};

use serde_json::{Value, json};
use weir_tests::{Connection, Family, Options, World, run_weir};

fn origin(family: Family) -> String {
    format!("{}/{}", family.origin(0), family.host_length())
}

#[test]
fn an_edit_takes_effect_on_the_next_connection() {
    let world = World::new();
    for family in Family::BOTH {
        for _ in 0..3 {
            assert!(world.get(family).intercepted());
            world.weir.bypass(&["add", &origin(family)]);
            assert!(world.get(family).direct());
            let other = SocketAddr::new(family.origin(1), 80);
            assert!(
                world
                    .get_from((family.client(), 0).into(), other)
                    .intercepted()
            );
            world.weir.bypass(&["del", &origin(family)]);
        }
        assert!(world.get(family).intercepted());
    }
    assert_eq!(world.weir.flows("bypass-destination"), 6);
}

#[test]
fn the_longest_and_the_shortest_prefix() {
    let world = World::new();
    for (family, everything) in [(Family::V4, "0.0.0.0/0"), (Family::V6, "::/0")] {
        world.weir.bypass(&["add", "--yes", everything]);
        assert!(world.get(family).direct());
        world.weir.bypass(&["add", &origin(family)]);
        world.weir.bypass(&["del", everything]);
        assert!(world.get(family).direct());
        world.weir.bypass(&["del", &origin(family)]);
        assert!(world.get(family).intercepted());
    }
}

#[test]
fn clients_can_be_bypassed() {
    let world = World::new();
    for family in Family::BOTH {
        let second = format!("{}/{}", family.second_client(), family.host_length());
        world.weir.bypass(&["add", "--src", &second]);
        assert!(world.get(family).intercepted());
        let from = SocketAddr::new(family.second_client(), 0);
        assert!(world.get_from(from, family.http()).direct());
        world.weir.bypass(&["del", "--src", &second]);
        assert!(world.get_from(from, family.http()).intercepted());
    }
    assert_eq!(world.weir.flows("bypass-source"), 2);
}

#[test]
fn lists_are_kept_over_a_stop_and_over_a_crash() {
    let mut world = World::new();
    for family in Family::BOTH {
        world.weir.bypass(&["add", &origin(family)]);
    }
    assert_eq!(destinations(&world), Family::BOTH.map(origin));
    for end in [weir_tests::Weir::stop, weir_tests::Weir::kill9] {
        end(&mut world.weir);
        world.weir.start_again();
        assert_eq!(destinations(&world), Family::BOTH.map(origin));
        for family in Family::BOTH {
            assert!(world.get(family).direct());
        }
    }
}

#[test]
fn what_is_no_prefix_is_a_usage_error_and_changes_nothing() {
    let world = World::new();
    for wrong in ["203.0.113.2/33", "example.org", "203.0.113", ""] {
        let output = world.weir.command(&["bypass", "add", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(destinations(&world), Vec::<String>::new());
    assert!(world.get(Family::V4).intercepted());
}

#[test]
fn no_such_instance_is_exit_code_5() {
    for arguments in [["status", "--json"], ["bypass", "list"]] {
        let output = run_weir(&[arguments[0], arguments[1], "--instance", "test-nobody"]);
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {output:?}");
    }
}

#[test]
fn the_list_for_programs_has_everything() {
    let mut world = World::new();
    world
        .weir
        .bypass(&["add", "203.0.113.0/24", "--comment", "the bank"]);
    world.weir.bypass(&["add", "fd77:2::4"]);
    world.weir.bypass(&[
        "add",
        "--src",
        "10.77.1.3",
        "--comment",
        "Ä printer, \"old\"",
    ]);
    let entry = |destination: Option<&str>, source: Option<&str>, comment: Option<&str>| {
        json!({
            "destination": destination,
            "source": source,
            "port": null,
            "interface": null,
            "action": "bypass",
            "expires": null,
            "comment": comment,
            "owner": null,
            "list": "manual",
            "enabled": true,
            "hits": 0,
            "last_hit": null,
        })
    };
    let expected = json!([
        entry(None, Some("10.77.1.3/32"), Some("Ä printer, \"old\"")),
        entry(Some("203.0.113.0/24"), None, Some("the bank")),
        entry(Some("fd77:2::4/128"), None, None),
    ]);
    assert_eq!(list(&world), expected);
    for end in [weir_tests::Weir::stop, weir_tests::Weir::kill9] {
        end(&mut world.weir);
        world.weir.start_again();
        assert_eq!(list(&world), expected);
    }
    let screen = world.weir.bypass(&["list"]);
    for word in [
        "203.0.113.0/24",
        "fd77:2::4",
        "src 10.77.1.3",
        "the bank",
        "manual",
    ] {
        assert!(screen.contains(word), "{word}: {screen}");
    }
    assert_eq!(world.weir.status()["bypass"]["entries"], 3);
}

#[test]
fn what_is_there_already_is_reported_and_stays_as_it_is() {
    let world = World::new();
    world
        .weir
        .bypass(&["add", "203.0.113.2", "--comment", "first"]);
    let (before, count) = (list(&world), generation(&world));
    let said = world.weir.bypass(&["add", "203.0.113.2"]);
    assert!(said.contains("there already"), "{said}");
    assert_eq!(list(&world), before, "comment included");
    assert_eq!(generation(&world), count);
    let said = world
        .weir
        .bypass(&["add", "203.0.113.2", "--comment", "second"]);
    assert!(!said.contains("there already"), "{said}");
    assert_eq!(list(&world)[0]["comment"], "second");

    let said = world
        .weir
        .bypass(&["add", "203.0.113.2/32", "203.0.113.3", "203.0.113.3"]);
    assert!(said.contains("1 there already"), "{said}");
    assert_eq!(destinations(&world), ["203.0.113.2/32", "203.0.113.3/32"]);
    assert_eq!(list(&world)[0]["comment"], "second");
    assert_eq!(generation(&world), count + 2);
    // A source is another entry than a destination.
    let said = world.weir.bypass(&["add", "--src", "203.0.113.2"]);
    assert!(!said.contains("there already"), "{said}");
}

#[test]
fn deleting_what_is_not_there_is_an_error_and_changes_nothing() {
    let world = World::new();
    world
        .weir
        .bypass(&["add", "203.0.113.0/24", "--comment", "kept"]);
    let (before, count) = (list(&world), generation(&world));
    for absent in [
        &["del", "203.0.113.2"][..],
        &["del", "203.0.112.0/23"],
        &["del", "fd77:2::2"],
        &["del", "--src", "203.0.113.0/24"],
        // All or nothing: the first of these is there.
        &["del", "203.0.113.0/24", "203.0.113.2"],
    ] {
        let output = world.weir.command(&[&["bypass"], absent].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{absent:?}: {text}");
        assert!(
            text.contains("is not in bypass list manual"),
            "{absent:?}: {text}"
        );
        assert_eq!(list(&world), before, "{absent:?}");
    }
    assert_eq!(generation(&world), count);
    assert!(world.get(Family::V4).direct());
    world.weir.bypass(&["del", "203.0.113.0/24"]);
    assert!(world.get(Family::V4).intercepted());
}

#[test]
fn one_that_is_wrong_among_many_and_none_is_added() {
    let mut world = World::new();
    let many: Vec<String> = (0..100).map(|n| format!("198.18.{n}.0/24")).collect();
    for wrong in [
        "198.18.1.1/24",
        "203.0.113.2/33",
        "0.0.0.0/0",
        "::ffff:203.0.113.2",
        "bank",
    ] {
        for place in [0, 50, 100] {
            let mut arguments = vec!["bypass", "add"];
            arguments.extend(many.iter().map(String::as_str));
            arguments.insert(2 + place, wrong);
            arguments.insert(2, "203.0.113.2");
            let output = world.weir.command(&arguments);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{wrong}: {text}");
            assert!(text.contains(wrong), "{wrong}: {text}");
        }
    }
    assert_eq!(list(&world), json!([]));
    assert_eq!(generation(&world), 0);
    assert!(world.get(Family::V4).intercepted());
    world.weir.stop();
    world.weir.start_again();
    assert_eq!(list(&world), json!([]), "nor in the file");
}

#[test]
fn the_way_to_bypass_everything_is_named() {
    let world = World::new();
    let output = world.weir.command(&["bypass", "add", "0.0.0.0/0"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--yes"), "{text}");
    world.weir.bypass(&["add", "0.0.0.0/0", "--yes"]);
    assert!(world.get(Family::V4).direct());
    assert!(world.get(Family::V6).intercepted());
}

#[test]
fn a_file_that_is_damaged_is_not_taken_for_empty() {
    let mut world = World::new();
    world.weir.bypass(&["add", "203.0.113.2"]);
    world.weir.stop();
    let directory = world.weir.directory().join("bypass");
    let file = directory.join("manual.list");
    let good = fs::read(&file).unwrap();
    fs::write(&file, &good[..good.len() / 2]).unwrap();
    let options = Options::config(&format!("[bypass]\ndirectory = {directory:?}\n"));
    let failed = weir_tests::Weir::refused(&world.net.router, &options);
    assert_eq!(failed.status.code(), Some(1), "{}", failed.output);
    let named = failed.output.contains(&file.display().to_string());
    assert!(named, "{}", failed.output);

    // By policy it starts, but does not intercept what it may not.
    let config = format!("[bypass]\ndirectory = {directory:?}\ndamaged = \"direct\"\n");
    let options = Options::config(&config);
    let mut careful = weir_tests::Weir::start(&world.net.router, &options);
    for family in Family::BOTH {
        assert!(world.get(family).direct());
    }
    let output = careful.command(&["bypass", "add", "203.0.113.9"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read(&file).unwrap(), &good[..good.len() / 2]);
    let named = careful.output().contains(&file.display().to_string());
    assert!(named, "{}", careful.output());
    fs::write(&file, &good).unwrap();
    let said = careful.reload(&config);
    assert!(said.contains("configuration reloaded"), "{said}");
    assert!(world.get(Family::V4).direct());
    assert!(world.get(Family::V6).intercepted());
    careful.stop();

    world.weir.start_again();
    assert!(world.get(Family::V4).direct());
}

/// A hundred of each kind, both families; one edit in two covers their origin.
#[test]
fn two_hundred_connections_survive_a_thousand_edits() {
    let world = World::new();
    let open = |kind: fn(&mut Connection)| -> Vec<Connection> {
        let mut connections: Vec<_> = (0..100)
            .map(|index| world.connect(Family::BOTH[index % 2]))
            .collect();
        connections.iter_mut().for_each(kind);
        connections
    };
    let intercepted: fn(&mut Connection) = |c| assert!(c.echo("/").unwrap().intercepted());
    let direct: fn(&mut Connection) = |c| assert!(c.echo("/").unwrap().direct());

    let mut first = open(intercepted);
    for family in Family::BOTH {
        world.weir.bypass(&["add", &origin(family)]);
    }
    let mut second = open(direct);
    for family in Family::BOTH {
        world.weir.bypass(&["del", &origin(family)]);
    }
    for round in 0..250 {
        for verb in ["add", "del"] {
            for family in Family::BOTH {
                world.weir.bypass(&[verb, &origin(family)]);
            }
            intercepted(&mut first[round % 100]);
            direct(&mut second[round % 100]);
        }
    }
    first.iter_mut().for_each(intercepted);
    second.iter_mut().for_each(direct);
    assert_eq!(world.origin.connections(), 200);
    assert_eq!(world.weir.status()["bypass"]["entries"], 0);
}

fn list(world: &World) -> Value {
    serde_json::from_str(&world.weir.bypass(&["list", "--json"])).unwrap()
}

fn generation(world: &World) -> u64 {
    let generation = &world.weir.status()["bypass"]["generation"];
    generation.as_u64().expect("a generation")
}

/// What `weir bypass list --json` has for destinations, sorted as the addresses of the lab are.
fn destinations(world: &World) -> Vec<String> {
    let list = list(world);
    let entries = list.as_array().expect("an array of entries");
    let mut destinations: Vec<String> = entries
        .iter()
        .map(|entry| {
            entry["destination"]
                .as_str()
                .expect("a destination")
                .to_owned()
        })
        .collect();
    destinations.sort();
    destinations
}
