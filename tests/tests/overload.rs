//! Workers that do not keep up: what waits at a listener, and workers that are late, are an
//! overload as connections are; and nothing of it fills the log.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use weir_tests::{Connection, Family, Layout, Options, Weir, World, until};

const SOON: Duration = Duration::from_secs(40);
const LATE: Duration = Duration::from_millis(600);

fn with(config: &str) -> World {
    World::with(&Layout::default(), &Options::config(config), |_| {})
}

/// Nothing can be opened any more, and so nothing accepted. What the limit was.
fn open_nothing(weir: &Weir) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", weir.pid())).unwrap();
    let files = limits.lines().find(|it| it.starts_with("Max open files"));
    let soft = files.unwrap().split_whitespace().nth(3).unwrap().to_owned();
    set_files(weir, "1");
    soft
}

fn set_files(weir: &Weir, soft: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &weir.pid().to_string()])
        .arg(format!("--nofile={soft}:"))
        .status();
    assert!(status.unwrap().success());
}

/// Connections whose handshake is done, and that nobody accepts, in both families; with a request
/// on its way, so that each can be answered when somebody does.
fn crowd(world: &World, many: usize) -> Vec<Connection> {
    let begin = |index: usize| {
        let mut connection = world.connect(Family::BOTH[index % 2]);
        connection
            .send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
        connection
    };
    (0..many).map(begin).collect()
}

fn served(connections: Vec<Connection>) {
    for mut connection in connections {
        assert_eq!(connection.response().unwrap().status, 200);
    }
}

/// The lines of the log with these words.
fn lines(weir: &Weir, words: &str) -> Vec<String> {
    let all = weir.output();
    let lines = all.lines().filter(|line| line.contains(words));
    lines.map(str::to_owned).collect()
}

/// How many lines before it were held back, as a line says.
fn held_back(line: &str) -> u64 {
    let (_, number) = line.split_once("held_back=").expect("held_back");
    let number = number.split_whitespace().next().unwrap_or_default();
    number.parse().expect("a number")
}

#[test]
fn what_waits_at_a_listener_is_an_overload() {
    let world = with("[limits]\naccept_queue = 4\n");
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
    let before = open_nothing(&world.weir);
    // Two listeners in each family.
    let waiting = crowd(&world, 16);
    world.weir.says("overloaded: new flows go direct");
    let told = lines(&world.weir, "overloaded");
    assert!(told[0].contains("accept-queue"), "{told:?}");
    until(SOON, "direct flows", || {
        Family::BOTH
            .iter()
            .all(|family| world.get(*family).direct())
    });
    set_files(&world.weir, &before);
    served(waiting);
    until(SOON, "the end of it", || {
        Family::BOTH
            .iter()
            .all(|family| world.get(*family).intercepted())
    });
    assert!(world.weir.flows("overload") >= 2);
    let status = world.weir.status();
    assert_eq!(status["overload"], serde_json::json!([]));
}

#[test]
fn what_waits_at_a_listener_goes_on_waiting_if_it_is_to() {
    let world = with("[intercept]\non_overload = \"queue\"\n[limits]\naccept_queue = 4\n");
    let before = open_nothing(&world.weir);
    let waiting = crowd(&world, 16);
    world.weir.says("overloaded: new flows wait");
    let more = crowd(&world, 4);
    set_files(&world.weir, &before);
    served(waiting);
    served(more);
    assert_eq!(world.weir.flows("overload"), 0);
    assert_eq!(world.weir.flows("intercepted"), 20);
}

#[test]
fn workers_that_are_late_are_an_overload() {
    let world = with("[limits]\nworker_lag = \"100ms\"\n");
    for family in Family::BOTH {
        until(SOON, "direct flows", || {
            let before = world.weir.flows("overload");
            world.weir.sigstop();
            // So long, they do nothing.
            let began = Instant::now();
            while began.elapsed() < LATE {
                thread::sleep(LATE);
            }
            world.weir.signal(Signal::SIGCONT);
            let _ = world.get(family);
            let _ = world.get(family);
            world.weir.flows("overload") > before
        });
        until(SOON, "the end of it", || world.get(family).intercepted());
    }
    world.weir.says("overloaded: new flows go direct");
    let told = lines(&world.weir, "overloaded");
    assert!(told[0].contains("worker-lag"), "{told:?}");
}

/// As long as nothing can be opened, each worker tries twenty times in a second, and the control
/// socket ten times. Messages of a kind come six times in a minute at most.
#[test]
fn what_cannot_be_accepted_does_not_fill_the_log() {
    let world = with("");
    let before = open_nothing(&world.weir);
    let began = Instant::now();
    let waiting = crowd(&world, 4);
    thread::scope(|scope| {
        // Nobody takes it in; it may give up.
        scope.spawn(|| world.weir.command(&["status"]));
        for words in ["cannot accept", "control socket"] {
            until(SOON, words, || lines(&world.weir, words).len() > 1);
        }
        set_files(&world.weir, &before);
    });
    assert_eq!(world.weir.status()["mode"], "enforce");
    served(waiting);
    let most = 2 + usize::try_from(began.elapsed().as_secs() / 10).unwrap();
    for words in ["cannot accept", "control socket"] {
        let told = lines(&world.weir, words);
        assert!(told.len() <= most, "{told:?}");
        assert_eq!(held_back(&told[0]), 0);
        assert!(held_back(&told[1]) >= 10, "{told:?}");
    }
    // Nor does anything else that cannot open a file.
    assert!(world.weir.output().lines().count() < 40);
}
