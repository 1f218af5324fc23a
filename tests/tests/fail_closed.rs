//! LANs that fail closed: without a daemon that works, new connections are refused at once.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use weir_tests::{
    Attempt, BridgeBox, BridgeWorld, Dial, Family, Layout, Load, Namespace, Options, Plan, TunLink,
    Weir, World, dial, network, repeat, until,
};

const SOON: Duration = Duration::from_secs(20);
const CLOSED: &str = "[intercept]\non_failure = \"closed\"\n";

/// An answer to a SYN: not the second that a lost one takes, nor the deadline of a hang.
const AT_ONCE: Duration = Duration::from_millis(900);

fn plans() -> [Plan; 2] {
    Family::BOTH.map(|family| Plan::new(family, 41000..41060))
}

fn closed_world() -> World {
    World::with(&Layout::default(), &Options::config(CLOSED), |_| {})
}

#[track_caller]
fn all_refused(attempts: &[Attempt]) {
    assert!(!attempts.is_empty());
    for attempt in attempts {
        refused(attempt);
    }
}

#[track_caller]
fn refused(attempt: &Attempt) {
    let error = attempt.outcome.as_ref().expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{attempt:?}");
    let took = attempt.ended - attempt.started;
    assert!(took < AT_ONCE, "{took:?} for {attempt:?}");
}

#[track_caller]
fn all_intercepted(attempts: &[Attempt]) {
    for attempt in attempts {
        assert!(
            attempt
                .outcome
                .as_ref()
                .is_ok_and(|echo| echo.intercepted()),
            "{attempt:?}"
        );
    }
}

#[test]
fn a_dead_daemon() {
    let mut world = closed_world();
    all_intercepted(&repeat(&world.net.client, &plans()));
    let origins = Family::BOTH.map(|family| family.origin(1).to_string());
    for origin in &origins {
        world.weir.bypass(&["add", origin]);
    }
    world.weir.kill9();
    // The same ports, on which the daemon's sockets are in TIME_WAIT.
    all_refused(&repeat(&world.net.client, &plans()));
    for family in Family::BOTH {
        // What is bypassed passes, and so does what is none of ours.
        let from = SocketAddr::new(family.client(), 0);
        assert!(
            world
                .get_from(from, SocketAddr::new(family.origin(1), 80))
                .direct()
        );
        assert!(
            world
                .get_from(from, SocketAddr::new(family.origin(0), 8080))
                .direct()
        );
    }
    world.weir.start_again();
    all_intercepted(&repeat(&world.net.client, &plans()));
    // The counters are of this daemon: what the dead one refused is gone with its maps.
    assert_eq!(world.weir.packets("refused"), 0);
    world.weir.stop();
    for attempt in repeat(&world.net.client, &plans()) {
        assert!(attempt.outcome.unwrap().direct(), "a stop opens");
    }
}

#[test]
fn a_daemon_that_hangs() {
    let world = closed_world();
    let mut waiting = Family::BOTH.map(|family| world.connect(family));
    for connection in &mut waiting {
        assert!(connection.echo("/").unwrap().intercepted());
    }
    world.weir.sigstop();
    for family in Family::BOTH {
        until(SOON, "a refusal", || is_refused(&world.net.client, family));
    }
    all_refused(&repeat(&world.net.client, &plans()));
    world.weir.signal(Signal::SIGCONT);
    for connection in &mut waiting {
        assert!(connection.echo("/").unwrap().intercepted(), "it waited");
    }
    for family in Family::BOTH {
        until(SOON, "interception", || {
            !is_refused(&world.net.client, family) && world.get(family).intercepted()
        });
    }
    let (stale, refused) = (
        world.weir.flows("stale-heartbeat"),
        world.weir.packets("refused"),
    );
    assert!(stale >= 120 && refused >= 120, "{stale} {refused}");
    assert_eq!(world.weir.flows("no-listener"), 0);
}

/// Under load, through a crash and a restart: nothing goes direct for a moment, and nothing hangs.
#[test]
fn a_crash_and_a_restart_under_load() {
    let mut world = closed_world();
    let load = Load::start(&world.net.client, &plans());
    until(SOON, "load", || world.origin.connections() > 300);
    world.weir.kill9();
    let dead = Instant::now();
    until(SOON, "a refusal", || {
        is_refused(&world.net.client, Family::V4)
    });
    let restarting = Instant::now();
    world.weir.start_again();
    let started = Instant::now();
    let seen = world.origin.connections();
    until(SOON, "load", || world.origin.connections() > seen + 300);
    for attempt in load.stop() {
        match &attempt.outcome {
            Ok(echo) => assert!(echo.intercepted(), "{attempt:?}"),
            Err(_) if attempt.started > dead && attempt.ended < restarting => refused(&attempt),
            Err(_) => assert!(attempt.started < started, "{attempt:?}"),
        }
    }
}

#[test]
fn some_lans_only_and_live() {
    let layout = Layout {
        aside: true,
        ..Layout::default()
    };
    let options = Options {
        lan: vec!["lan0".to_owned(), "aside0".to_owned()],
        ..Options::config("[intercept]\nfail_closed = [\"as*\"]\n")
    };
    let mut world = World::with(&layout, &options, |_| {});
    let on_failure = |world: &World| {
        let status = world.weir.status();
        [0, 1].map(|at| {
            status["interfaces"][at]["on_failure"]
                .as_str()
                .unwrap()
                .to_owned()
        })
    };
    assert_eq!(on_failure(&world), ["open", "closed"]);
    world.weir.sigstop();
    let aside = world.net.aside.as_ref().unwrap();
    for family in Family::BOTH {
        until(SOON, "a refusal", || {
            is_refused_from(aside, SocketAddr::new(family.aside(), 0), family)
        });
        let direct = repeat(&world.net.client, &[Plan::new(family, 41000..41010)]);
        assert!(direct.into_iter().all(|it| it.outcome.unwrap().direct()));
    }
    world.weir.signal(Signal::SIGCONT);
    let said = world.weir.reload("[intercept]\nfail_closed = [\"lan0\"]\n");
    assert!(!said.contains("not reloaded"), "{said}");
    until(SOON, "the other way round", || {
        on_failure(&world) == ["closed", "open"]
    });
    world.weir.kill9();
    all_refused(&repeat(&world.net.client, &plans()));
}

#[test]
fn across_a_bridge_and_with_tags_kept() {
    let mut world = bridge_world(CLOSED);
    world.works();
    world.weir.kill9();
    all_refused(&repeat(&world.net.client, &plans()));
    world.weir.start_again();
    world.works();
}

#[test]
fn by_a_link_without_a_header() {
    let mut link = None;
    let mut world = World::with(&Layout::default(), &Options::config(CLOSED), |net| {
        link = Some(TunLink::lan(net));
    });
    all_intercepted(&repeat(&world.net.client, &plans()));
    world.weir.kill9();
    all_refused(&repeat(&world.net.client, &plans()));
    drop(link);
}

fn is_refused(client: &Namespace, family: Family) -> bool {
    is_refused_from(client, SocketAddr::new(family.client(), 0), family)
}

fn is_refused_from(client: &Namespace, from: SocketAddr, family: Family) -> bool {
    let way = Dial {
        deadline: Duration::from_millis(500),
        ..Dial::new(from, family.http())
    };
    let refused = || match dial(&way) {
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
        Ok(connection) => {
            connection.reset();
            false
        }
    };
    client.run(refused).unwrap()
}

/// Nothing that is refused reaches the origin.
#[test]
fn the_origin_sees_nothing() {
    let mut world = closed_world();
    assert!(world.get(Family::V4).intercepted());
    let end: fn(&mut Weir) = Weir::kill9;
    end(&mut world.weir);
    let seen = world.origin.connections();
    all_refused(&repeat(&world.net.client, &plans()));
    assert_eq!(world.origin.connections(), seen);
}

fn bridge_world(config: &str) -> BridgeWorld {
    let net = network(&Layout::default());
    let bridge = BridgeBox::between(&net);
    BridgeWorld::with(net, bridge, &BridgeBox::options(config), |_, _| {})
}
