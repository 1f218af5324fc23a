//! A daemon that dies, hangs, stops or comes back, under a load of new connections.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use weir_tests::{
    Attempt, Connection, Dial, Family, Layout, Load, Options, Plan, World, dial, repeat, until,
};

/// How long a state that the daemon must come to may take, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// Few ports, each used again within a fraction of a second: every one of them meets what the
/// daemon's sockets have left on its tuple.
fn plans() -> Vec<Plan> {
    Family::BOTH
        .map(|family| Plan::new(family, 41000..41100))
        .to_vec()
}

#[test]
fn after_kill_9_new_connections_go_direct() {
    let mut world = World::new();
    let load = Load::start(&world.net.client, &plans());
    until(SOON, "load", || world.origin.connections() > 1000);
    world.weir.kill9();
    let reaped = Instant::now();
    let seen = world.origin.connections();
    until(SOON, "load after the crash", || {
        world.origin.connections() > seen + 1000
    });
    let (after, before) = split(load.stop(), reaped);
    assert!(before.iter().filter(|attempt| intercepted(attempt)).count() > 500);
    all_direct(&after);
    assert!(
        after.len() > 500,
        "only {} connections after the crash",
        after.len()
    );
}

#[test]
fn after_kill_9_and_a_restart_new_connections_are_intercepted_and_direct_ones_stay() {
    let mut world = World::new();
    for end in [weir_tests::Weir::kill9, weir_tests::Weir::stop] {
        assert!(repeat(&world.net.client, &plans()).iter().all(intercepted));
        end(&mut world.weir);
        let direct: fn(&mut Connection) = |c| assert!(c.echo("/").unwrap().direct());
        let mut running: Vec<_> = (0..50)
            .map(|index| world.connect(Family::BOTH[index % 2]))
            .collect();
        running.iter_mut().for_each(direct);
        world.weir.start_again();
        for family in Family::BOTH {
            assert!(world.get(family).intercepted());
        }
        running.iter_mut().for_each(direct);
        running
            .iter_mut()
            .for_each(|connection| drop(connection.download(1 << 20).unwrap()));
    }
}

#[test]
fn restarts_under_load_lose_no_connection_that_began_while_nobody_was_there() {
    let mut world = World::new();
    let load = Load::start(&world.net.client, &plans());
    let mut gaps = Vec::new();
    for _ in 0..3 {
        let seen = world.origin.connections();
        until(SOON, "load", || world.origin.connections() > seen + 300);
        world.weir.kill9();
        let reaped = Instant::now();
        let seen = world.origin.connections();
        until(SOON, "load without a daemon", || {
            world.origin.connections() > seen + 300
        });
        gaps.push(reaped..Instant::now());
        world.weir.start_again();
    }
    let attempts = load.stop();
    for gap in gaps {
        let inside: Vec<_> = attempts
            .iter()
            .filter(|a| gap.contains(&a.started))
            .collect();
        assert!(!inside.is_empty());
        inside.into_iter().for_each(succeeded);
    }
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
}

#[test]
fn a_hung_daemon_is_passed_by_once_its_heartbeat_is_stale() {
    let world = World::new();
    let mut waiting: Vec<_> = Family::BOTH.map(|family| world.connect(family)).into();
    for connection in &mut waiting {
        assert!(connection.echo("/").unwrap().intercepted());
    }
    world.weir.sigstop();
    for connection in &mut waiting {
        connection
            .send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
    }
    for family in Family::BOTH {
        until(SOON, "a direct connection past the hung daemon", || {
            impatient(&world, family)
        });
    }
    all_direct(&repeat(&world.net.client, &plans()));
    world.weir.signal(Signal::SIGCONT);
    for connection in &mut waiting {
        assert_eq!(connection.response().unwrap().status, 200, "it waited");
    }
    for family in Family::BOTH {
        until(SOON, "interception after SIGCONT", || {
            world.get(family).intercepted()
        });
    }
    assert!(world.weir.flows("stale-heartbeat") >= 200);
}

#[test]
fn two_thousand_connections_then_sigterm_and_the_same_ports_again() {
    let mut world = World::new();
    let plans = many();
    assert!(repeat(&world.net.client, &plans).iter().all(intercepted));
    world.weir.stop();
    all_direct(&repeat(&world.net.client, &plans));
}

#[test]
fn the_same_behind_masquerade_and_a_stateful_forward_chain() {
    let mut world = World::with(&Layout::default(), &Options::default(), |net| {
        net.router.nft(ROUTER_THAT_FILTERS_AND_TRANSLATES).unwrap();
    });
    let plans = many();
    assert!(repeat(&world.net.client, &plans).iter().all(intercepted));
    world.weir.stop();
    for attempt in repeat(&world.net.client, &plans) {
        succeeded(&attempt);
        let seen = attempt.outcome.unwrap().peer().ip();
        let family = if seen.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        assert_eq!(
            seen,
            family.router_wan(),
            "direct connections are translated again"
        );
    }
}

#[test]
fn the_same_after_kill_9_behind_masquerade() {
    let mut world = World::with(&Layout::default(), &Options::default(), |net| {
        net.router.nft(ROUTER_THAT_FILTERS_AND_TRANSLATES).unwrap();
    });
    assert!(repeat(&world.net.client, &plans()).iter().all(intercepted));
    world.weir.kill9();
    repeat(&world.net.client, &plans())
        .iter()
        .for_each(succeeded);
}

#[test]
fn a_stop_lets_running_exchanges_finish() {
    let mut world = World::new();
    let mut connection = world.connect(Family::V4);
    connection
        .send("GET /slow/1500 HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    until(SOON, "the request at the origin", || {
        world.origin.requests() == 1
    });
    world.weir.stop();
    assert_eq!(connection.response().unwrap().status, 200);
}

/// What most home routers do, but that the daemon's own connections, which carry its mark, leave
/// untranslated: only then does the origin see the client.
const ROUTER_THAT_FILTERS_AND_TRANSLATES: &str = r#"
table inet router {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iifname "lan0" accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "wan0" meta mark and 0x20000000 == 0 masquerade
    }
}
"#;

/// Two thousand of each family.
fn many() -> Vec<Plan> {
    Family::BOTH
        .map(|family| Plan::new(family, 42000..44000))
        .to_vec()
}

/// One attempt that does not wait for a daemon that hangs; whether it went direct.
fn impatient(world: &World, family: Family) -> bool {
    let from = SocketAddr::new(family.client(), 0);
    let way = Dial {
        deadline: Duration::from_millis(500),
        ..Dial::new(from, family.http())
    };
    world
        .net
        .client
        .run(|| {
            let Ok(mut connection) = dial(&way) else {
                return false;
            };
            let echo = connection.echo("/");
            connection.reset();
            echo.is_ok_and(|echo| echo.direct())
        })
        .unwrap()
}

/// Those that began after the instant, and the others.
fn split(attempts: Vec<Attempt>, at: Instant) -> (Vec<Attempt>, Vec<Attempt>) {
    attempts
        .into_iter()
        .partition(|attempt| attempt.started > at)
}

fn intercepted(attempt: &Attempt) -> bool {
    attempt
        .outcome
        .as_ref()
        .is_ok_and(|echo| echo.intercepted())
}

#[track_caller]
fn succeeded(attempt: &Attempt) {
    assert!(attempt.outcome.is_ok(), "{attempt:?}");
}

#[track_caller]
fn all_direct(attempts: &[Attempt]) {
    let failed: Vec<_> = attempts
        .iter()
        .filter(|a| !a.outcome.as_ref().is_ok_and(|e| e.direct()))
        .collect();
    let (some, all) = (&failed[..failed.len().min(5)], attempts.len());
    assert!(
        failed.is_empty(),
        "{} of {all} not direct, as {some:#?}",
        failed.len()
    );
}
