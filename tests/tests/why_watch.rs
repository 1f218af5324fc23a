//! `weir why --watch`: every decision is told to whoever wants it, and to nobody else.

use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use weir_tests::{
    BridgeWorld, Family, Layout, Load, Namespace, Options, Plan, Watcher, World, until,
};

const SOON: Duration = Duration::from_secs(20);

/// Verdict, reason and interface of what was told of connections from there to there.
fn told(watcher: &Watcher, client: IpAddr, origin: SocketAddr) -> Vec<[String; 3]> {
    let is = |it: &&Value| {
        let from = it["client"].as_str().unwrap().parse::<SocketAddr>();
        from.unwrap().ip() == client && it["origin"] == origin.to_string()
    };
    let words = |it: &Value| {
        ["verdict", "reason", "interface"].map(|word| it[word].as_str().unwrap().to_owned())
    };
    watcher.decisions().iter().filter(is).map(words).collect()
}

#[track_caller]
fn tells(watcher: &Watcher, client: IpAddr, origin: SocketAddr, expected: [&str; 3]) {
    until(SOON, &format!("{expected:?} for {origin}"), || {
        !told(watcher, client, origin).is_empty()
    });
    assert_eq!(told(watcher, client, origin), [expected.map(str::to_owned)]);
}

fn with(config: &str) -> World {
    World::with(&Layout::default(), &Options::config(config), |_| {})
}

/// Knocks at a door that may be shut.
fn knock(from: &Namespace, at: SocketAddr) {
    from.run(|| drop(TcpStream::connect_timeout(&at, SOON)))
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn each_decision_is_told_with_its_reason() {
    let world = World::new();
    let watcher = world.weir.watch(&[]);
    for family in Family::BOTH {
        let client = family.client();
        let at = |address: IpAddr, port| SocketAddr::new(address, port);
        assert!(world.get(family).intercepted());
        let expected = ["intercepted", "intercepted", "lan0"];
        tells(&watcher, client, family.http(), expected);

        let bypassed = at(family.origin(1), 80);
        world.weir.bypass(&["add", &family.origin(1).to_string()]);
        assert!(world.get_from(at(client, 0), bypassed).direct());
        let expected = ["direct", "bypass-destination", "lan0"];
        tells(&watcher, client, bypassed, expected);

        let unwatched = at(family.origin(0), 8080);
        assert!(world.get_from(at(client, 0), unwatched).direct());
        let expected = ["direct", "port-not-watched", "lan0"];
        tells(&watcher, client, unwatched, expected);

        let router = at(family.router_wan(), 80);
        knock(&world.net.client, router);
        tells(&watcher, client, router, ["direct", "own-address", "lan0"]);

        let inbound = at(client, 80);
        knock(&world.net.origin, inbound);
        let expected = ["direct", "not-from-lan", "wan0"];
        tells(&watcher, family.origin(0), inbound, expected);
    }
    assert_eq!(watcher.hidden(), [0; 3]);
}

#[test]
fn this_hosts_own_connections_are_told() {
    let world = with("[intercept]\noutput = true\n");
    let watcher = world.weir.watch(&[]);
    for family in Family::BOTH {
        knock(&world.net.router, family.http());
        let expected = ["intercepted", "intercepted", "lo"];
        tells(&watcher, family.router_wan(), family.http(), expected);
        let other = SocketAddr::new(family.origin(0), 8080);
        knock(&world.net.router, other);
        let expected = ["direct", "port-not-watched", "lo"];
        tells(&watcher, family.router_wan(), other, expected);
    }
}

#[test]
fn for_people_there_is_a_line_for_each() {
    let world = World::new();
    for family in Family::BOTH {
        let client = family.client().to_string();
        let mut watcher = world.weir.watch_as(&[&client, "--count", "2"]);
        for _ in 0..2 {
            assert!(world.get(family).intercepted());
        }
        let (status, text) = watcher.ended();
        assert_eq!(status.code(), Some(0), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let end = format!(" → {} intercepted (intercepted)", family.http());
        for line in lines {
            assert!(line.contains("Z lan0 ") && line.ends_with(&end), "{line}");
        }
        until(SOON, "the end of the watch", || world.weir.watching() == 0);
    }
}

#[test]
fn only_what_is_wanted_is_told() {
    let world = World::new();
    for family in Family::BOTH {
        let (client, second) = (family.client(), family.second_client());
        let bypassed = SocketAddr::new(family.origin(1), 80);
        let other = SocketAddr::new(family.origin(0), 8080);
        world.weir.bypass(&["add", &bypassed.ip().to_string()]);
        let origin = family.origin(0).to_string();
        let narrow = world
            .weir
            .watch(&[&second.to_string(), &origin, "--in", "lan0"]);
        let port = world.weir.watch(&["any", "any:8080"]);
        let reason = world
            .weir
            .watch(&["--reason", "bypass-destination", "--reason", "canary"]);
        let inbound = world.weir.watch(&["--in", "wan0"]);
        for from in [client, second] {
            for to in [family.http(), bypassed, other] {
                let _ = world.get_from(SocketAddr::new(from, 0), to);
            }
        }
        knock(&world.net.origin, SocketAddr::new(client, 80));
        // What comes last has come, and so what came before it.
        until(SOON, "what is wanted", || {
            narrow.decisions().len() >= 2
                && port.decisions().len() >= 2
                && reason.decisions().len() >= 2
                && !inbound.decisions().is_empty()
        });
        let ends = |watcher: &Watcher| {
            let end = |it: &Value| {
                let client = it["client"].as_str().unwrap().parse::<SocketAddr>();
                (
                    client.unwrap().ip(),
                    it["origin"].as_str().unwrap().to_owned(),
                )
            };
            watcher.decisions().iter().map(end).collect::<Vec<_>>()
        };
        let [http, bypassed, other] = [family.http(), bypassed, other].map(|it| it.to_string());
        assert_eq!(
            ends(&narrow),
            [(second, http), (second, other.clone())],
            "client, destination and interface"
        );
        assert_eq!(ends(&port), [(client, other.clone()), (second, other)]);
        assert_eq!(
            ends(&reason),
            [(client, bypassed.clone()), (second, bypassed)]
        );
        assert_eq!(ends(&inbound).len(), 1);

        let more = world.weir.command(&["why", "--watch"]);
        let said = String::from_utf8_lossy(&more.stderr).into_owned();
        assert_eq!(more.status.code(), Some(2), "{said}");
        assert!(said.contains("4 watch already"), "{said}");
        drop((narrow, port, reason, inbound));
        until(SOON, "the end of all", || world.weir.watching() == 0);
    }
}

#[test]
fn prefixes_are_of_one_family() {
    let world = World::new();
    let all = [("0.0.0.0/0", Family::V4), ("::/0", Family::V6)];
    let watchers = all.map(|(prefix, _)| world.weir.watch(&[prefix]));
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
        assert!(world.get(family).intercepted());
    }
    for (watcher, (_, family)) in watchers.iter().zip(all) {
        until(SOON, "both", || watcher.decisions().len() >= 2);
        assert_eq!(told(watcher, family.client(), family.http()).len(), 2);
        assert_eq!(watcher.decisions().len(), 2);
    }
}

#[test]
fn wrong_wishes_are_refused() {
    let world = World::new();
    for (arguments, words) in [
        (&["--in", "nope0"][..], "there are: lan0, wan0"),
        (&["--reason", "luck"], "port-not-watched"),
        (&["10.0.0.0/8", "2001:db8::/32"], "different families"),
        (&["--sample", "0"], "1.."),
        (&["--rate", "0"], "1.."),
    ] {
        let told = world
            .weir
            .command(&[&["why", "--watch"], arguments].concat());
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let told = world.weir.command(&["why", "10.0.0.0/8", "192.0.2.1"]);
    assert_eq!(told.status.code(), Some(2));
    assert_eq!(world.weir.watching(), 0);
}

/// Connections of both families, as many as that.
fn load(world: &World, connections: u64) {
    let plans = Family::BOTH.map(|family| Plan::new(family, 41_000..41_400));
    let load = Load::start(&world.net.client, &plans);
    let seen = world.origin.connections();
    until(SOON, "load", || {
        world.origin.connections() > seen + connections
    });
    for attempt in load.stop() {
        assert!(attempt.outcome.unwrap().intercepted());
    }
}

/// Everything is told or counted, whatever is left out.
#[test]
fn what_is_left_out_is_counted() {
    let world = World::new();
    let began = Instant::now();
    let few = world.weir.watch(&["--rate", "3"]);
    let sample = world.weir.watch(&["--sample", "10", "--rate", "10000"]);
    let before = world.weir.flows("intercepted");
    load(&world, 600);
    let all = world.weir.flows("intercepted") - before;
    let number = |watcher: &Watcher| u64::try_from(watcher.decisions().len()).unwrap();
    for watcher in [&few, &sample] {
        until(SOON, "all of them", || {
            number(watcher) + watcher.hidden().iter().sum::<u64>() == all
        });
    }
    let [sampled, limited, lost] = few.hidden();
    assert_eq!((sampled, lost), (0, 0));
    // As many as there were seconds, and parts of them.
    let most = 3 * (began.elapsed().as_secs() + 2);
    assert!((1..=most).contains(&number(&few)), "{}", number(&few));
    assert!(limited > 0);
    let [sampled, limited, lost] = sample.hidden();
    assert_eq!((limited, lost), (0, 0));
    assert!(
        number(&sample) > 0 && sampled > 3 * number(&sample),
        "{sampled}"
    );
}

#[test]
fn watching_ends_with_who_watches() {
    let world = World::new();
    for end in [Signal::SIGINT, Signal::SIGKILL, Signal::SIGTERM] {
        let mut watcher = world.weir.watch(&[]);
        assert!(world.get(Family::V4).intercepted());
        until(SOON, "a decision", || !watcher.decisions().is_empty());
        watcher.signal(end);
        let _ = watcher.ended();
        until(SOON, "the end of the watch", || world.weir.watching() == 0);
    }
    // One that is stopped, and takes nothing in, is not waited for; what it misses is counted.
    let stopped = world.weir.watch(&[]);
    let other = world.weir.watch(&[]);
    stopped.signal(Signal::SIGSTOP);
    assert!(world.get(Family::V6).intercepted());
    until(SOON, "the other's", || !other.decisions().is_empty());
}

#[test]
fn nothing_else_changes() {
    let world = World::new();
    for family in Family::BOTH {
        world.weir.bypass(&["add", &family.origin(1).to_string()]);
    }
    let counted = || {
        let status = world.weir.status();
        let flows = status["flows"].as_object().unwrap().clone();
        let flows: Vec<_> = flows.values().map(|it| it.as_u64().unwrap()).collect();
        let entries = world.weir.entries();
        let hits: Vec<_> = entries
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["hits"].as_u64().unwrap())
            .collect();
        [flows, hits].concat()
    };
    let more = || {
        let before = counted();
        for family in Family::BOTH {
            let from = SocketAddr::new(family.client(), 0);
            for to in [(0, 80), (1, 80), (0, 8080)] {
                let _ = world.get_from(from, SocketAddr::new(family.origin(to.0), to.1));
            }
        }
        let after = counted();
        after
            .iter()
            .zip(before)
            .map(|(a, b)| a - b)
            .collect::<Vec<_>>()
    };
    let without = more();
    let watchers = [world.weir.watch(&[]), world.weir.watch(&["--rate", "1"])];
    assert_eq!(more(), without);
    until(SOON, "all", || watchers[0].decisions().len() == 6);
}

#[test]
fn a_watch_survives_an_upgrade_and_ends_behind_it() {
    let mut world = World::new();
    let mut watcher = world.weir.watch(&["--rate", "10000"]);
    for family in Family::BOTH {
        for upgrade in 1..=2 {
            let before = watcher.decisions().len();
            world.weir.upgrade();
            until(SOON, "the watch", || world.weir.watching() == 1);
            assert!(world.get(family).intercepted());
            until(SOON, "a decision", || watcher.decisions().len() > before);
            assert_eq!(watcher.decisions().len(), before + 1, "{upgrade}");
        }
    }
    watcher.signal(Signal::SIGKILL);
    let _ = watcher.ended();
    until(SOON, "the end", || world.weir.watching() == 0);

    // Its end while one daemon takes over from another.
    let watcher = world.weir.watch(&[]);
    watcher.signal(Signal::SIGSTOP);
    world.weir.upgrade();
    assert_eq!(world.weir.watching(), 0);
    drop(watcher);

    let mut watcher = world.weir.watch(&[]);
    world.weir.stop();
    let (status, text) = watcher.ended();
    assert!(matches!(status.code(), Some(1 | 5)), "{status}: {text}");
    assert!(text.contains("weir: "), "{text}");
}

#[test]
fn across_a_bridge() {
    let world = BridgeWorld::new(|_, _| {});
    let watcher = world.weir.watch(&[]);
    for family in Family::BOTH {
        assert!(world.intercepts(family));
        until(SOON, "a decision", || {
            !told(&watcher, family.client(), family.http()).is_empty()
        });
        let [verdict, reason, interface] = &told(&watcher, family.client(), family.http())[0];
        assert_eq!((&verdict[..], &reason[..]), ("intercepted", "intercepted"));
        let status = world.weir.status();
        let mut interfaces = status["interfaces"].as_array().unwrap().iter();
        let lan = interfaces.find(|it| it["role"] == "lan").unwrap();
        assert_eq!(lan["name"], *interface);
    }
}
