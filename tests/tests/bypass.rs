//! Bypass lists: edited live, kept over restarts, and no connection ever notices an edit.

use std::net::SocketAddr;

use serde_json::Value;
use weir_tests::{Connection, Family, World, run_weir};

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

/// What `weir bypass list --json` has for destinations, sorted as the addresses of the lab are.
fn destinations(world: &World) -> Vec<String> {
    let list: Value = serde_json::from_str(&world.weir.bypass(&["list", "--json"])).unwrap();
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
