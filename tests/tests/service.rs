//! What a service manager hears of the daemon, on a socket as systemd has one.

use std::time::Duration;

use nix::sys::signal::Signal;
use weir_tests::{
    Dial, Family, HeldThread, Layout, Manager, Network, Notice, Options, Weir, World, dial,
    network, until,
};

const SOON: Duration = Duration::from_secs(20);

/// Half of it is between two signs of life.
const WATCHDOG: Duration = Duration::from_secs(2);

fn world(manager: &Manager, options: Options) -> World {
    let options = manager.service(options, Some(WATCHDOG));
    World::with(&Layout::default(), &options, |_| {})
}

#[track_caller]
fn is_ready(notice: &Notice, pid: u32) {
    assert_eq!(notice.pid, pid, "{notice:?}");
    assert!(notice.tells("READY=1"), "{notice:?}");
    let status = notice.value("STATUS").unwrap_or_default();
    assert!(
        status.starts_with("intercepting IPv4+IPv6 port 80 from lan0 to wan0"),
        "{notice:?}"
    );
}

/// Nothing of a failed start is to be taken for a daemon that works.
#[track_caller]
fn refused(net: &Network, config: &str, code: i32, words: &str) {
    let manager = Manager::new();
    let options = manager.service(Options::config(config), None);
    let failed = Weir::refused(&net.router, &options);
    assert_eq!(failed.status.code(), Some(code), "{}", failed.output);
    let news = manager.news();
    let [only] = &news[..] else {
        panic!("{news:?}")
    };
    assert_eq!(only.states.len(), 1, "{only:?}");
    let status = only.value("STATUS").unwrap();
    assert!(status.contains(words), "{status}");
}

#[test]
fn who_is_ready_intercepts() {
    let manager = Manager::new();
    let options = manager.service(Options::default(), None);
    let net = network(&Layout::default());
    let _origin = weir_tests::Origin::start(&net.origin).unwrap();
    let mut weir = Weir::begin(&net.router, &options);
    is_ready(&manager.hears(0), weir.pid());
    for family in Family::BOTH {
        let echo = weir_tests::get(&net.client, (family.client(), 0), family.http());
        assert!(echo.intercepted());
    }
    weir.says("weir: intercepting");
    weir.stop();
    let news = manager.news();
    assert_eq!(news.len(), 2, "{news:?}");
    // There is no watchdog.
    assert_eq!(manager.pings(weir.pid()), 0);
}

#[test]
fn who_fails_says_why_and_is_not_ready() {
    let net = network(&Layout::default());
    refused(&net, "[limits]\ndrain = 5\n", 2, "weir.toml:2:9");
    let taken = "[control]\ngroup = \"no-such-group\"\n";
    refused(&net, taken, 2, "no-such-group");
}

#[test]
fn a_reload_is_told_from_its_beginning_to_its_end() {
    let manager = Manager::new();
    let mut world = world(&manager, Options::default());
    let pid = world.weir.pid();
    is_ready(&manager.hears(0), pid);
    let by_signal = |weir: &Weir| weir.reload("");
    let by_command = |weir: &Weir| weir.ask(&["reload"]);
    for (number, reload) in [by_signal, by_command].into_iter().enumerate() {
        reload(&world.weir);
        let begins = manager.hears(1 + 2 * number);
        assert!(begins.tells("RELOADING=1"), "{begins:?}");
        let when: u64 = begins.value("MONOTONIC_USEC").unwrap().parse().unwrap();
        assert!(when > 0);
        is_ready(&manager.hears(2 + 2 * number), pid);
    }
    // One that is refused ends as well: the old configuration is in force.
    world.weir.configure("[limits]\ndrain = 5\n");
    assert_eq!(world.weir.command(&["reload"]).status.code(), Some(2));
    assert!(manager.hears(5).tells("RELOADING=1"));
    let after = manager.hears(6);
    is_ready(&after, pid);
    let status = after.value("STATUS").unwrap();
    assert!(
        status.contains("not reloaded") && status.contains("weir.toml:2:9"),
        "{status}"
    );
    world.weir.stop();
    assert!(manager.hears(7).tells("STOPPING=1"));
}

#[test]
fn a_stop_is_told_with_the_time_that_it_may_take() {
    let manager = Manager::new();
    let mut world = world(&manager, Options::config("[limits]\ndrain = \"3m\"\n"));
    let pid = world.weir.pid();
    let mut connection = world.connect(Family::V4);
    connection
        .send("GET /slow/1500 HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    until(SOON, "the request at the origin", || {
        world.origin.requests() == 1
    });
    world.weir.signal(Signal::SIGTERM);
    let stops = manager.hears(1);
    assert!(stops.tells("STOPPING=1") && stops.pid == pid, "{stops:?}");
    let status = stops.value("STATUS").unwrap();
    assert!(status.contains("1 connections under way"), "{status}");
    // Microseconds: the drain's, and some for what comes after it.
    let patience: u64 = stops.value("EXTEND_TIMEOUT_USEC").unwrap().parse().unwrap();
    assert!((180_000_000..240_000_000).contains(&patience), "{patience}");
    let pings = manager.pings(pid);
    assert_eq!(connection.response().unwrap().status, 200);
    until(SOON, "the end", || world.weir.ended().is_some());
    // It drained for longer than half of the watchdog.
    assert!(manager.pings(pid) > pings);
}

#[test]
fn signs_of_life_come_while_keeper_and_workers_live() {
    let manager = Manager::new();
    let options = Options {
        arguments: vec!["--workers".to_owned(), "2".to_owned()],
        ..Options::default()
    };
    let mut world = world(&manager, options);
    let pid = world.weir.pid();
    let more = || {
        let pings = manager.pings(pid);
        until(SOON, "signs of life", || manager.pings(pid) > pings + 1);
    };
    more();
    for worker in ["worker-0", "worker-1"] {
        let times = |world: &World| world.weir.output().matches("a worker hangs").count();
        let before = times(&world);
        let held = HeldThread::of(pid, worker);
        until(SOON, "a word on it", || times(&world) > before);
        let pings = manager.pings(pid);
        until(SOON, "more words on it", || times(&world) > before + 2);
        assert_eq!(manager.pings(pid), pings, "{worker} hangs");
        drop(held);
        more();
    }
    world.weir.stop();
}

#[test]
fn an_upgrade_makes_the_new_process_the_main_one() {
    let manager = Manager::new();
    let mut world = world(&manager, Options::default());
    for number in 0..2 {
        let old = world.weir.pid();
        is_ready(&manager.hears(2 * number), old);
        world.weir.upgrade();
        let new = world.weir.pid();
        // Both are believed: who is the main process says so.
        let names = manager.hears(2 * number + 1);
        assert_eq!(
            (names.pid, names.states),
            (old, vec![format!("MAINPID={new}")])
        );
        is_ready(&manager.hears(2 * number + 2), new);
        // The watchdog is the new one's.
        until(SOON, "signs of life", || manager.pings(new) > 1);
        world.weir.drained();
        let heard = manager.heard();
        let handed_over = heard
            .iter()
            .position(|it| it.value("MAINPID").is_some_and(|it| it == new.to_string()));
        let since = &heard[handed_over.unwrap() + 1..];
        assert!(since.iter().all(|it| it.pid == new), "{since:?}");
    }
    world.weir.stop();
    let news = manager.news();
    assert_eq!(news.len(), 6, "{news:?}");
    assert_eq!(news[5].pid, world.weir.pid());
}

#[test]
fn an_upgrade_that_fails_leaves_the_main_process() {
    let manager = Manager::new();
    let mut world = world(&manager, Options::default());
    let pid = world.weir.pid();
    world.weir.configure("[limits]\ndrain = 5\n");
    let said = world.weir.try_upgrade();
    assert_eq!(said.code, Some(2), "{said:?}");
    let pings = manager.pings(pid);
    until(SOON, "signs of life", || manager.pings(pid) > pings + 1);
    assert!(world.get(Family::V4).intercepted());
    world.weir.stop();
    let news = manager.news();
    let expected = ["READY=1", "STOPPING=1"];
    for (notice, state) in news.iter().zip(expected) {
        assert!(notice.tells(state) && notice.pid == pid, "{news:?}");
    }
    assert_eq!(news.len(), expected.len(), "{news:?}");
}

/// What a unit runs when its daemon has ended, whatever the end was.
#[test]
fn what_a_dead_one_has_left_is_cleared_unless_it_fails_closed() {
    for (config, direct) in [
        ("", true),
        ("[intercept]\non_failure = \"closed\"\n", false),
    ] {
        let mut world = World::with(&Layout::default(), &Options::config(config), |_| {});
        let file = world.weir.directory().join("weir.toml");
        let file = file.display().to_string();
        let clear = ["down", "--left-behind", "--config", &file];
        // One that runs goes on.
        world.weir.ask(&clear);
        assert!(world.get(Family::V4).intercepted());
        world.weir.kill9();
        world.weir.ask(&clear);
        assert_eq!(world.weir.run_dir().exists(), !direct);
        let rules = world.net.router.ip(&["rule"]).unwrap();
        assert_eq!(rules.contains("8780"), !direct, "{rules}");
        let (from, to) = ((Family::V4.client(), 0), Family::V4.http());
        let dialled = world.net.client.run(|| dial(&Dial::new(from, to)));
        assert_eq!(dialled.unwrap().is_ok(), direct);
        // Nothing to do is no failure.
        let _ = world.weir.command(&["down"]);
        world.weir.ask(&clear);
    }
}
