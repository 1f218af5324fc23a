//! `weir why`: what it says is what happens, and asking changes nothing.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use weir_tests::{Family, Layout, Options, World, until};

const SOON: Duration = Duration::from_secs(20);

fn why(world: &World, family: Family, more: &[&str]) -> Value {
    let origin = SocketAddr::new(family.origin(0), 80).to_string();
    ask(world, &family.client().to_string(), &origin, more)
}

fn ask(world: &World, client: &str, origin: &str, more: &[&str]) -> Value {
    let all = [&["why", client, origin, "--json"], more].concat();
    serde_json::from_str(&world.weir.ask(&all)).unwrap()
}

/// The text of the last step, which decides.
fn decides(told: &Value) -> &str {
    let last = told["steps"].as_array().unwrap().last().unwrap();
    last["text"].as_str().unwrap()
}

#[track_caller]
fn says(told: &Value, verdict: &str, reason: &str, text: &str) {
    assert_eq!(
        (&told["verdict"], &told["reason"]),
        (&verdict.into(), &reason.into()),
        "{told:#}"
    );
    assert!(decides(told).contains(text), "{told:#}");
}

fn with(config: &str) -> World {
    World::with(&Layout::default(), &Options::config(config), |_| {})
}

#[test]
fn what_it_says_is_what_happens() {
    let world = with("");
    for family in Family::BOTH {
        let told = why(&world, family, &[]);
        says(&told, "intercepted", "intercepted", "the mode is enforce");
        assert!(
            told["then"].as_str().unwrap().contains("table 8780"),
            "{told}"
        );
        assert!(world.get(family).intercepted());

        let own = family.origin(0).to_string();
        world.weir.bypass(&["add", &own, "--list", "banks"]);
        let told = why(&world, family, &[]);
        says(&told, "direct", "bypass-destination", "(list banks)");
        assert!(world.get(family).direct());
        world.weir.bypass(&["del", &own, "--list", "banks"]);

        let client = family.client().to_string();
        world.weir.bypass(&["add", "--src", &client]);
        let told = why(&world, family, &[]);
        says(&told, "direct", "bypass-source", &client);
        world.weir.bypass(&["del", "--src", &client]);

        let router = SocketAddr::new(family.router_wan(), 80).to_string();
        let told = ask(&world, &client, &router, &[]);
        says(&told, "direct", "own-address", "this host's own");
        let other = SocketAddr::new(family.origin(0), 81).to_string();
        let told = ask(&world, &client, &other, &[]);
        says(
            &told,
            "direct",
            "port-not-watched",
            "port 81 is not watched",
        );
        let neighbour = SocketAddr::new(family.second_client(), 80).to_string();
        let told = ask(&world, &client, &neighbour, &[]);
        says(&told, "direct", "route-not-wan", "lan0, which is no WAN");
        let told = why(&world, family, &["--in", "wan0"]);
        says(&told, "direct", "not-from-lan", "wan0 is no LAN");
    }
    let told = ask(&world, "10.77.1.2", "224.0.0.1", &[]);
    says(&told, "direct", "local-scope", "multicast");
    let text = world.weir.ask(&[
        "why",
        &Family::V4.client().to_string(),
        &Family::V4.origin(0).to_string(),
    ]);
    assert!(text.contains("✓ lan0 is a LAN\n"), "{text}");
    assert!(
        text.contains("= intercepted (intercepted): marked 0x10000000"),
        "{text}"
    );
}

#[test]
fn modes_and_shares_are_told() {
    let world = with("[intercept]\nmode = \"shadow\"\n");
    for family in Family::BOTH {
        says(&why(&world, family, &[]), "direct", "shadow", "shadow");
    }
    world.weir.reload("[intercept]\nshare = 0\n");
    for family in Family::BOTH {
        let told = why(&world, family, &[]);
        says(&told, "direct", "canary", "not among the share of 0 %");
        assert!(world.get(family).direct());
    }
    world
        .weir
        .reload("[limits]\nconnections = 1\n[intercept]\nshare = 100\n");
    let _held = world.connect(Family::V4);
    until(SOON, "the limit", || {
        world.weir.status()["overload"][0].is_string()
    });
    let told = why(&world, Family::V4, &[]);
    says(&told, "direct", "overload", "connections");
}

#[test]
fn wrong_questions_are_refused() {
    let world = with("");
    for (arguments, words) in [
        (
            ["10.0.0.1", "2001:db8::1", "--in", "lan0"],
            "different families",
        ),
        (
            ["10.0.0.1", "192.0.2.1", "--in", "nope0"],
            "there are: lan0, wan0",
        ),
    ] {
        let all = [&["why"][..], &arguments].concat();
        let told = world.weir.command(&all);
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

/// Everything that is counted or remembered, but for what changes by itself.
#[test]
fn asking_changes_nothing() {
    let world = with("");
    for family in Family::BOTH {
        let own = family.origin(0).to_string();
        assert!(world.get(family).intercepted());
        let state = || {
            let status = world.weir.status();
            let parts = [
                "flows",
                "packets",
                "accepts",
                "valves",
                "translations",
                "output",
            ];
            let lists = world.weir.bypass(&["list", "--json"]);
            (parts.map(|part| status[part].clone()), lists)
        };
        let before = state();
        for _ in 0..50 {
            says(
                &why(&world, family, &[]),
                "intercepted",
                "intercepted",
                "enforce",
            );
        }
        assert_eq!(state(), before);
        world.weir.bypass(&["add", &own]);
        let before = state();
        for _ in 0..50 {
            says(
                &why(&world, family, &[]),
                "direct",
                "bypass-destination",
                &own,
            );
        }
        assert_eq!(state(), before, "also no hit of the entry");
        world.weir.bypass(&["del", &own]);
    }
}
