//! Bypass lists under load, and what becomes of connections that are under way.

use std::{fmt::Write as _, io::Read as _, net::SocketAddr, path::PathBuf, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;
use weir_tests::{Dial, Family, GET, Load, OK, Options, Plan, Stage, World, until};

const SOON: Duration = Duration::from_secs(20);

/// The origin's address in two lists that have nothing else in common, and a long tail.
fn file(world: &World, name: &str, prefixes: [&str; 2], tail: u32) -> PathBuf {
    let mut text = format!("{}\n{}\n", prefixes[0], prefixes[1]);
    for number in 0..tail {
        let [_, a, b, c] = number.to_be_bytes();
        let offset = if name == "one" { 16 } else { 18 };
        writeln!(
            text,
            "{offset}.{a}.{b}.{c}\n2001:db8:{offset}:{a:x}{b:02x}:{c:x}::/80"
        )
        .unwrap();
    }
    let path = world.weir.directory().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// In place and by a new table: every connection is decided about by the old list or the new one,
/// and both bypass it.
#[test]
fn no_connection_sees_a_list_that_is_half_replaced() {
    for tail in [10, 5_000] {
        let world = World::new();
        let one = file(&world, "one", ["203.0.113.0/24", "fd77:2::/64"], tail);
        let other = file(&world, "other", ["203.0.113.0/25", "fd77:2::/65"], tail);
        let replace = |file: &PathBuf| world.weir.bypass(&["replace", file.to_str().unwrap()]);
        replace(&one);
        let plans = Family::BOTH.map(|family| Plan::new(family, 30_000..31_000));
        let load = Load::start(&world.net.client, &plans);
        for _ in 0..20 {
            let said = replace(&other);
            assert!(said.contains("gone, 0 as before"), "{said}");
            replace(&one);
        }
        let attempts = load.stop();
        assert!(attempts.len() > 50, "only {} connections", attempts.len());
        for attempt in attempts {
            assert!(
                attempt.outcome.as_ref().is_ok_and(|echo| echo.direct()),
                "{attempt:?}"
            );
        }
        assert_eq!(world.weir.flows("intercepted"), 0);
    }
}

#[test]
fn hits_are_counted_and_survive_what_happens_to_the_others() {
    let world = World::new();
    let hits = |family: Family| -> Vec<u64> {
        let list = world.weir.bypass(&["list", "--json"]);
        let list: Vec<Value> = serde_json::from_str(&list).unwrap();
        let own = format!("{}/{}", family.origin(0), family.host_length());
        let own = list.iter().filter(|entry| entry["destination"] == own);
        own.map(|entry| {
            assert_eq!(entry["hits"] != 0, !entry["last_hit"].is_null(), "{entry}");
            entry["hits"].as_u64().unwrap()
        })
        .collect()
    };
    let tail = file(&world, "one", ["192.0.2.0/24", "2001:db8::/64"], 2_000);
    let tail = tail.to_str().unwrap();
    for family in Family::BOTH {
        let own = family.origin(0).to_string();
        world.weir.bypass(&["add", &own]);
        assert_eq!(hits(family), [0]);
        for _ in 0..3 {
            assert!(world.get(family).direct());
        }
        assert_eq!(hits(family), [3]);
        // An edit beside it, a change of its own, a new table for the many, and their end.
        world.weir.bypass(&["add", "198.51.100.1"]);
        assert_eq!(hits(family), [3]);
        world.weir.bypass(&["add", &own, "--for", "1h"]);
        assert_eq!(hits(family), [3]);
        world.weir.bypass(&["import", tail, "--list", "many"]);
        assert!(world.get(family).direct());
        assert_eq!(hits(family), [4]);
        world.weir.bypass(&["clear", "--list", "many"]);
        world.weir.bypass(&["disable", "--list", "manual"]);
        assert!(world.get(family).intercepted());
        assert_eq!(hits(family), [4]);
        world.weir.bypass(&["enable", "--list", "manual"]);
        assert!(world.get(family).direct());
        assert_eq!(hits(family), [5]);
        world.weir.bypass(&["del", &own]);
        assert_eq!(hits(family), Vec::<u64>::new());
        world.weir.bypass(&["del", "198.51.100.1"]);
    }
}

/// Idle, in the middle of a message, silent, tunnelled, connecting: all come back direct.
#[test]
fn connections_under_way_end_when_that_is_wanted() {
    let stage = Stage::with("");
    for family in Family::BOTH {
        let own = family.origin(0).to_string();
        let end = |number: u64, client: &mut weir_tests::Connection| {
            let had = stage.weir.outcomes("bypassed-now");
            let said = stage.weir.bypass(&["add", "--now", &own]);
            assert!(said.contains(&format!("{number} connection")), "{said}");
            assert!(client.stream.read(&mut [0; 64]).is_err(), "no reset");
            until(SOON, "the records", || {
                stage.weir.outcomes("bypassed-now") == had + number
            });
            stage.weir.bypass(&["del", &own]);
        };
        let (mut idle, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send(OK).unwrap();
        idle.expect(OK);
        end(1, &mut idle);
        let (mut waiting, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        end(1, &mut waiting);
        assert!(origin.stream.read(&mut [0; 64]).is_err(), "no reset");
        let (mut tunnel, mut origin) = stage.begin(family, "\x00\x01");
        origin.expect("\x00\x01");
        end(1, &mut tunnel);
        // Not those of others.
        let (mut other, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        let said = stage
            .weir
            .bypass(&["add", "--now", &own, "--src", &beside(family)]);
        assert!(said.contains("0 connections ended"), "{said}");
        origin.send(OK).unwrap();
        other.expect(OK);
        stage.weir.bypass(&["clear", "--list", "manual"]);
    }
}

/// An address of a client that there is none of.
fn beside(family: Family) -> String {
    match family {
        Family::V4 => "10.77.1.99".to_owned(),
        Family::V6 => "fd77:1::99".to_owned(),
    }
}

#[test]
fn an_entry_for_a_connection_that_goes_on_is_for_the_next_one() {
    let world = World::new();
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        assert!(connection.echo("/").unwrap().intercepted());
        let own = family.origin(0).to_string();
        world.weir.bypass(&["add", &own]);
        assert!(connection.echo("/").unwrap().intercepted());
        assert!(world.get(family).direct());
        world.weir.bypass(&["add", &own, "--now"]);
        world.weir.bypass(&["del", &own]);
        let other = SocketAddr::new(family.origin(1), 80);
        assert!(
            world
                .get_from((family.client(), 0).into(), other)
                .intercepted()
        );
    }
}

/// The kernel itself does not heed an entry that is over: nobody has to sweep it.
#[test]
fn an_end_is_kept_while_the_daemon_hangs() {
    let options = Options::config("[intercept]\nheartbeat_stale = \"60s\"\n");
    let world = World::with(&weir_tests::Layout::default(), &options, |_| {});
    let family = Family::V4;
    let query = [family.client().to_string(), family.origin(0).to_string()];
    world.weir.bypass(&["add", &query[1], "--for", "2s"]);
    assert!(world.get(family).direct());
    world.weir.sigstop();
    // Workers of a stopped process accept nothing, but the kernel steers to them again.
    until(SOON, "SYNs that are steered", || steered(&world));
    world.weir.signal(Signal::SIGCONT);
    until(SOON, "the sweep", || {
        world.weir.bypass(&["export"]).is_empty()
    });
    world.weir.says("the bypass entry has ended");
    assert!(world.get(family).intercepted());
}

/// Whether a connection to the origin is answered by nobody, as the process that would is stopped.
fn steered(world: &World) -> bool {
    let way = Dial::new((Family::V4.client(), 0), Family::V4.http());
    let echo = world.net.client.run(|| {
        let mut connection = weir_tests::dial(&way)?;
        connection
            .stream
            .set_read_timeout(Some(Duration::from_millis(300)))?;
        connection.echo("/")
    });
    !echo.unwrap().is_ok_and(|echo| echo.direct())
}
