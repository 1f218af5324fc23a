//! One daemon takes over from another, and nobody notices.

use std::{env, net::SocketAddr, time::Duration};

use nix::sys::signal::Signal;
use weir_tests::{
    Attempt, BridgeWorld, Connection, Downloads, Family, HostState, Layout, Load, Options, Pace,
    Plan, Weir, World, lived_in, repeat, until, use_it,
};

const SOON: Duration = Duration::from_secs(20);

/// So many daemons may drain beside the one that is in charge.
const GENERATIONS: usize = 4;

fn plans() -> Vec<Plan> {
    Family::BOTH
        .map(|family| Plan::new(family, 41000..41100))
        .to_vec()
}

#[track_caller]
fn all_intercepted(attempts: &[Attempt]) {
    let failed: Vec<_> = attempts
        .iter()
        .filter(|it| !it.outcome.as_ref().is_ok_and(|echo| echo.intercepted()))
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} were not intercepted: {:?}",
        failed.len(),
        attempts.len(),
        &failed[..failed.len().min(5)]
    );
}

/// New connections as fast as two clients make them, and long downloads, while daemons come and
/// go. More of them: `WEIR_UPGRADES=100 cargo xtask test --test upgrade`.
#[test]
fn upgrades_under_load_refuse_and_cut_nothing() {
    let upgrades = env::var("WEIR_UPGRADES").map_or(20, |it| it.parse().expect("WEIR_UPGRADES"));
    let config = "[limits]\nconnections = 4000\nclient_connections = 4000\n";
    let mut world = World::with(&Layout::default(), &Options::config(config), |_| {});
    let pace = Pace {
        length: 200_000,
        rate: 100_000,
    };
    let downloads = Downloads::start(&world.net.client, 200, pace);
    let load = Load::start(&world.net.client, &plans());
    for _ in 0..upgrades {
        let seen = world.origin.connections();
        until(SOON, "load", || world.origin.connections() > seen + 200);
        // One more, and the oldest would be cut.
        until(SOON, "room for another that drains", || {
            world.weir.draining() < GENERATIONS
        });
        world.weir.upgrade();
    }
    let attempts = load.stop();
    assert!(attempts.len() > 200 * upgrades);
    all_intercepted(&attempts);
    let downloads = downloads.stop();
    assert!(downloads.len() >= 200);
    let failed = downloads.iter().filter(|it| it.outcome.is_err());
    assert_eq!(failed.count(), 0, "of {}", downloads.len());
    world.weir.drained();
    world.weir.stop();
}

#[test]
fn what_is_under_way_goes_on_and_what_has_drained_ends() {
    let mut world = World::new();
    for family in Family::BOTH {
        let seen = world.origin.requests();
        let mut connection = world.connect(family);
        connection
            .send("GET /slow/1500 HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
        until(SOON, "the request at the origin", || {
            world.origin.requests() > seen
        });
        world.weir.upgrade();
        assert_eq!(world.weir.draining(), 1);
        let generations = world.weir.status()["generations"].clone();
        assert_eq!(generations.as_array().unwrap().len(), 1, "{generations}");
        assert!(world.get(family).intercepted());
        assert_eq!(connection.response().unwrap().status, 200);
        world.weir.drained();
        until(SOON, "no generation", || {
            world.weir.status()["generations"] == serde_json::json!([])
        });
    }
    world.weir.stop();
}

/// Handshakes that are answered by a cookie are known to the listener alone that answered.
#[test]
fn syn_cookies_survive() {
    let mut world = World::with(&Layout::default(), &Options::default(), |net| {
        net.router.sysctl("net.ipv4.tcp_syncookies", "2").unwrap();
    });
    // A SYN that meets the TIME_WAIT of its port's last connection gets no cookie.
    let fresh = Family::BOTH.map(|family| Plan::new(family, 30000..50000));
    let load = Load::start(&world.net.client, &fresh);
    for _ in 0..3 {
        let seen = world.origin.connections();
        until(SOON, "load", || world.origin.connections() > seen + 200);
        world.weir.upgrade();
    }
    all_intercepted(&load.stop());
    assert!(world.weir.packets("cookie-steered") > 400);
    world.weir.drained();
    world.weir.stop();
}

#[test]
fn beyond_four_that_drain_the_oldest_is_cut() {
    let mut world = World::new();
    let mut slow: Vec<_> = (0..=GENERATIONS)
        .map(|index| {
            let mut connection = world.connect(Family::BOTH[index % 2]);
            connection
                .send("GET /slow/30000 HTTP/1.1\r\nHost: lab\r\n\r\n")
                .unwrap();
            until(SOON, "the request at the origin", || {
                world.origin.requests() > index as u64
            });
            world.weir.upgrade();
            connection
        })
        .collect();
    world.weir.says("the oldest is cut");
    until(SOON, "the end of the oldest", || {
        world.weir.draining() == GENERATIONS
    });
    assert!(slow.remove(0).response().is_err());
    let generations = world.weir.status()["generations"].clone();
    assert_eq!(generations.as_array().unwrap().len(), GENERATIONS);
    // They are told to stop, too, and by when.
    drop(slow);
    world.weir.stop();
    world.weir.drained();
}

#[test]
fn a_stop_waits_for_those_that_drain() {
    let mut world = World::new();
    let mut connection = world.connect(Family::V4);
    connection
        .send("GET /slow/2500 HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    until(SOON, "the request at the origin", || {
        world.origin.requests() == 1
    });
    world.weir.upgrade();
    world.weir.stop();
    assert_eq!(connection.response().unwrap().status, 200);
    world.weir.drained();
}

#[test]
fn a_stop_cuts_those_that_drain_for_too_long() {
    let config = "[limits]\ndrain = \"500ms\"\n";
    let mut world = World::with(&Layout::default(), &Options::config(config), |_| {});
    let mut connection = world.connect(Family::V6);
    connection
        .send("GET /slow/60000 HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    until(SOON, "the request at the origin", || {
        world.origin.requests() == 1
    });
    world.weir.upgrade();
    world.weir.stop();
    assert!(connection.response().is_err());
    world.weir.drained();
}

/// Whichever of the two dies, the other is not harmed.
#[test]
fn the_death_of_one_is_not_that_of_the_other() {
    let mut world = World::new();
    let mut connections = Family::BOTH.map(|family| world.connect(family));
    for connection in &mut connections {
        connection
            .send("GET /slow/4000 HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
    }
    until(SOON, "the requests at the origin", || {
        world.origin.requests() == 2
    });
    world.weir.upgrade();
    world.weir.kill9();
    for connection in &mut connections {
        assert_eq!(connection.response().unwrap().status, 200);
    }
    world.weir.drained();
    for attempt in repeat(&world.net.client, &plans()) {
        assert!(attempt.outcome.unwrap().direct());
    }
    world.weir.start_again();
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
    world.weir.stop();
}

#[test]
fn nothing_is_left_in_the_end() {
    let (net, _origin) = lived_in();
    let instance = format!("upgrade-{}", std::process::id());
    let before = HostState::of(&net.router, &instance);
    for end in [Weir::stop, Weir::kill9] {
        let options = Options {
            instance: Some(instance.clone()),
            config: "[intercept]\noutput = true\ndefragment = true\n".to_owned(),
            ..Options::default()
        };
        let mut weir = Weir::start(&net.router, &options);
        for _ in 0..2 {
            use_it(&net);
            weir.upgrade();
        }
        use_it(&net);
        end(&mut weir);
        weir.drained();
        let _ = weir.command(&["down"]);
        before.assert_same(&HostState::of(&net.router, &instance), "afterwards");
    }
}

#[test]
fn what_was_counted_and_bypassed_stays() {
    let mut world = World::new();
    let others = |family: Family| {
        if family == Family::V4 {
            "192.0.2.0/24"
        } else {
            "2001:db8:ffff::/48"
        }
    };
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
        world.weir.bypass(&["add", others(family)]);
        world.weir.upgrade();
        let listed = world.weir.bypass(&["list"]);
        assert!(listed.contains(others(family)), "{listed}");
        world.weir.bypass(&["add", &family.http().ip().to_string()]);
        assert!(world.get(family).direct());
        world.weir.upgrade();
        assert!(world.get(family).direct());
        world.weir.bypass(&["del", &family.http().ip().to_string()]);
        assert!(world.get(family).intercepted());
    }
    assert_eq!(world.weir.flows("intercepted"), 4);
    assert_eq!(world.weir.flows("bypass-destination"), 4);
}

#[test]
fn edits_meanwhile_are_all_made() {
    let mut world = World::new();
    let weir = &world.weir.instance.clone();
    let editing = std::thread::spawn({
        let weir = weir.clone();
        move || {
            (0..60).for_each(|number| {
                let prefix = format!("198.51.100.{number}/32");
                let said = weir_tests::run_weir(&["bypass", "add", &prefix, "--instance", &weir]);
                assert!(said.status.success(), "{said:?}");
            });
        }
    });
    while !editing.is_finished() {
        world.weir.upgrade();
    }
    editing.join().unwrap();
    let listed = world.weir.bypass(&["list"]);
    for number in 0..60 {
        assert!(
            listed.contains(&format!("198.51.100.{number}")),
            "{number}: {listed}"
        );
    }
}

#[test]
fn across_a_bridge() {
    let mut world = BridgeWorld::new(|_, _| {});
    world.works();
    let load = Load::start(&world.net.client, &plans());
    for _ in 0..3 {
        let seen = world.origin.connections();
        until(SOON, "load", || world.origin.connections() > seen + 200);
        world.weir.upgrade();
    }
    let attempts = load.stop();
    all_intercepted(&attempts);
    world.works();
    world.weir.signal(Signal::SIGTERM);
    until(SOON, "the end", || world.weir.ended().is_some());
    world.weir.drained();
}

/// A connection whose answer takes a minute, with the request at the origin.
fn slow(world: &World, family: Family) -> Connection {
    let seen = world.origin.requests();
    let mut connection = world.connect(family);
    connection
        .send("GET /slow/60000 HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    until(SOON, "the request at the origin", || {
        world.origin.requests() > seen
    });
    connection
}

#[test]
fn flows_of_those_that_drain_are_listed_and_can_be_ended() {
    let mut world = World::new();
    let list = |world: &World| -> serde_json::Value {
        let text = world.weir.ask(&["flows", "--interval", "0", "--json"]);
        serde_json::from_str(&text).unwrap()
    };
    let mut open = Vec::new();
    for family in [Family::V4, Family::V6, Family::V4, Family::V6] {
        open.push(slow(&world, family));
        world.weir.upgrade();
    }
    open.push(slow(&world, Family::V4));
    let told = list(&world);
    assert_eq!(told["elsewhere"], 0, "{told}");
    let flows = told["flows"].as_array().unwrap();
    assert_eq!(flows.len(), 5, "{told}");
    let id = |connection: &Connection| {
        let own = connection.local.to_string();
        let mut all = flows.iter().filter(|it| it["client"] == own);
        let flow = all.next().unwrap();
        assert_eq!((&flow["state"], all.next()), (&"exchange".into(), None));
        flow["id"].as_u64().unwrap().to_string()
    };
    let ids: std::collections::BTreeSet<_> = open.iter().map(id).collect();
    assert_eq!(ids.len(), 5, "each has a number of its own");
    let text = world.weir.ask(&["flows", "--interval", "0"]);
    assert!(!text.contains(" more"), "{text}");

    // The first generation's, and that of the daemon in charge.
    for mut connection in [open.remove(0), open.pop().unwrap()] {
        let id = id(&connection);
        let said = world.weir.ask(&["flows", "kill", &id]);
        assert_eq!(said, format!("flow {id} is ended\n"));
        assert!(connection.response().is_err());
        let again = world.weir.command(&["flows", "kill", &id]);
        assert_eq!(again.status.code(), Some(2), "{again:?}");
    }
    until(SOON, "both in the access log", || {
        let records = world.weir.access_log();
        records.iter().filter(|it| it["reason"] == "killed").count() == 2
    });

    // Two of IPv6, in two generations, and one of IPv4, which is not meant.
    let other = open.remove(1);
    let v6 = Family::V6.origin(0).to_string();
    let said = world.weir.bypass(&["add", &v6, "--now"]);
    assert!(said.contains("2 connections ended"), "{said}");
    for mut connection in open {
        assert!(connection.response().is_err());
    }
    let told = list(&world);
    let flows = told["flows"].as_array().unwrap();
    assert_eq!(flows.len(), 1, "{told}");
    assert_eq!(flows[0]["client"], other.local.to_string());
    let last = flows[0]["id"].to_string();
    world.weir.ask(&["flows", "kill", &last]);
    world.weir.drained();
    world.weir.stop();
}

#[test]
fn hits_are_counted_on() {
    let mut world = World::new();
    let hits = |world: &World| -> Vec<u64> {
        let entries = world.weir.entries();
        let all = entries.as_array().unwrap().iter();
        all.map(|it| it["hits"].as_u64().unwrap()).collect()
    };
    // The next daemon meets the lists in another order.
    for (list, family) in [("zebra", Family::V4), ("ape", Family::V6)] {
        let origin = family.origin(1).to_string();
        world.weir.bypass(&["add", &origin, "--list", list]);
    }
    let client = Family::V4.second_client().to_string();
    world.weir.bypass(&["add", "--src", &client]);
    world.weir.bypass(&["add", "192.0.2.0/24"]);
    let bypassed = |world: &World, family: Family, times: usize| {
        for _ in 0..times {
            let from = SocketAddr::new(family.client(), 0);
            let to = SocketAddr::new(family.origin(1), 80);
            assert!(world.get_from(from, to).direct());
        }
    };
    bypassed(&world, Family::V4, 3);
    bypassed(&world, Family::V6, 2);
    let from = SocketAddr::new(Family::V4.second_client(), 0);
    assert!(world.get_from(from, Family::V4.http()).direct());
    let before = world.weir.entries();
    let mut expected = hits(&world);
    assert_eq!(expected.iter().sum::<u64>(), 6);
    for _ in 0..2 {
        world.weir.upgrade();
        until(SOON, "the hits", || hits(&world) == expected);
        // Also when the last one was.
        assert_eq!(world.weir.entries(), before);
    }
    bypassed(&world, Family::V6, 1);
    world.weir.upgrade();
    let most = expected.iter().position(|it| *it == 2).unwrap();
    expected[most] += 1;
    until(SOON, "the hits", || hits(&world) == expected);
    world.weir.stop();
}
