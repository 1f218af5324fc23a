//! SIGHUP and SIGUSR1: what changes under a running daemon, and what does not.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use weir_tests::{Connection, Family, Layout, Options, Weir, World, run_weir, until};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn limits_change_for_new_connections() {
    let world = World::new();
    let long = "x".repeat(3000);
    let request = format!("GET / HTTP/1.1\r\nHost: lab\r\nLong: {long}\r\n\r\n");
    let status = |connection: &mut Connection| {
        connection.send(&request).unwrap();
        connection.response().unwrap().status
    };
    let mut running = Family::BOTH.map(|family| world.connect(family));
    for connection in &mut running {
        assert_eq!(status(connection), 200);
    }
    let said = world
        .weir
        .reload("[limits]\nhead = \"2KiB\"\nidle_timeout = \"300ms\"\n");
    assert!(said.contains("configuration reloaded"), "{said}");
    for family in Family::BOTH {
        assert_eq!(status(&mut world.connect(family)), 431);
        let mut idle = world.connect(family);
        let began = Instant::now();
        assert_eq!(idle.to_end().unwrap(), b"");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the new idle timeout"
        );
    }
    for connection in &mut running {
        assert_eq!(status(connection), 200, "as it began");
    }
    world.weir.reload("");
    for family in Family::BOTH {
        assert_eq!(status(&mut world.connect(family)), 200);
    }
}

#[test]
fn the_limit_of_connections_changes() {
    let world = World::new();
    let mut running: Vec<_> = (0..8).map(|i| world.connect(Family::BOTH[i % 2])).collect();
    let intercepted: fn(&mut Connection) = |c| assert!(c.echo("/").unwrap().intercepted());
    running.iter_mut().for_each(intercepted);
    world.weir.reload("[limits]\nconnections = 8\n");
    assert_eq!(world.weir.status()["connections"]["limit"], 8);
    for family in Family::BOTH {
        until(SOON, "new flows going direct", || {
            world.net.client.run(|| direct(family)).unwrap()
        });
    }
    running.iter_mut().for_each(intercepted);
    world.weir.reload("[limits]\nconnections = 1000\n");
    for family in Family::BOTH {
        until(SOON, "interception again", || {
            world.get(family).intercepted()
        });
    }
    running.iter_mut().for_each(intercepted);
}

#[test]
fn watched_ports_change() {
    let world = World::new();
    let mut running: Vec<_> = Family::BOTH
        .map(|family| (family, at(&world, family, 80), at(&world, family, 8080)))
        .into();
    for (_, on_80, on_8080) in &mut running {
        assert!(on_80.echo("/").unwrap().intercepted());
        assert!(on_8080.echo("/").unwrap().direct());
    }
    let said = world.weir.reload("[intercept]\nports = [8080]\n");
    assert!(said.contains("configuration reloaded"), "{said}");
    for family in Family::BOTH {
        assert!(at(&world, family, 80).echo("/").unwrap().direct());
        assert!(at(&world, family, 8080).echo("/").unwrap().intercepted());
    }
    for (_, on_80, on_8080) in &mut running {
        on_80.download(1 << 20).unwrap();
        on_8080.download(1 << 20).unwrap();
        assert!(
            on_80.echo("/").unwrap().intercepted(),
            "under way, as it began"
        );
        assert!(
            on_8080.echo("/").unwrap().direct(),
            "under way, as it began"
        );
    }
    world.weir.reload("[intercept]\nports = [80, 8080]\n");
    for family in Family::BOTH {
        for port in [80, 8080] {
            assert!(
                at(&world, family, port).echo("/").unwrap().intercepted(),
                "{port}"
            );
        }
    }
}

#[test]
fn an_invalid_file_changes_nothing_and_is_named_with_its_line() {
    let world = World::new();
    let before = stable(&world.weir);
    for (wrong, line, word) in [
        ("[limits]\nconnections = 7\nhaed = \"2KiB\"\n", 3, "haed"),
        (
            "[limits]\nhead = \"2KiB\"\n\n[intercept]\nports = [8080, 0]\n",
            5,
            "65535",
        ),
        (
            "[intercept]\nports = [8080]\n[limits]\nhead = 1KiB\n",
            4,
            "",
        ),
    ] {
        let said = world.weir.reload(wrong);
        assert!(said.contains("not reloaded"), "{said}");
        let place = format!("weir.toml:{line}:");
        assert!(
            said.contains(&place) && said.contains(word),
            "{place} {word}: {said}"
        );
        assert_eq!(stable(&world.weir), before);
        works(&world);
    }
    fs::remove_file(world.weir.directory().join("weir.toml")).unwrap();
    let before = world.weir.output().len();
    world.weir.signal(Signal::SIGHUP);
    until(SOON, "word of the missing file", || {
        world.weir.output()[before..].contains("not reloaded")
    });
    works(&world);
    assert!(world.weir.reload("").contains("configuration reloaded"));
}

#[test]
fn a_key_that_cannot_change_refuses_the_whole_reload() {
    let world = World::new();
    for (key, line) in [
        ("host.table", "[host]\ntable = 4711\n"),
        ("host.priority", "[host]\npriority = 99\n"),
        ("host.steer_mark", "[host]\nsteer_mark = 0x40000000\n"),
        ("workers.count", "[workers]\ncount = 3\n"),
        (
            "bypass.directory",
            "[bypass]\ndirectory = \"/nowhere/else\"\n",
        ),
        ("intercept.families", "[intercept]\nfamilies = [\"ipv4\"]\n"),
        ("spoof.ports", "[spoof]\nports = \"20000-20100\"\n"),
        ("log.level", "[log]\nlevel = \"debug\"\n"),
    ] {
        let said = world
            .weir
            .reload(&format!("[limits]\nhead = \"2KiB\"\n\n{line}"));
        assert!(
            said.contains("not reloaded") && said.contains(key),
            "{key}: {said}"
        );
        works(&world);
    }
}

#[test]
fn interfaces_of_the_file_cannot_change() {
    let interfaces = |lan: &str| format!("[intercept]\nlan = [\"{lan}\"]\nwan = [\"wan0\"]\n");
    let (net, _origin) = weir_tests::lived_in();
    let options = weir_tests::Options {
        lan: Vec::new(),
        wan: Vec::new(),
        ..weir_tests::Options::config(&interfaces("lan0"))
    };
    let weir = Weir::start(&net.router, &options);
    let said = weir.reload(&interfaces("aside0"));
    assert!(
        said.contains("not reloaded") && said.contains("intercept.lan"),
        "{said}"
    );
    weir_tests::use_it(&net);
    assert!(
        weir.reload(&interfaces("lan0"))
            .contains("configuration reloaded")
    );
}

#[test]
fn the_valve_can_be_switched_off_while_it_is_open() {
    let world = World::new();
    world
        .net
        .router
        .nft("table inet r { chain i { type filter hook input priority 0; iifname lan0 tcp dport 80 drop; }; }")
        .unwrap();
    for family in Family::BOTH {
        until(SOON, "direct connections", || world.get(family).direct());
    }
    assert_eq!(world.weir.status()["valve"], "not-delivered");
    world.net.router.nft("delete table inet r").unwrap();
    world.weir.reload("[valve]\nenabled = false\n");
    // All of them: one in a hundred would be an open valve's probe.
    for family in Family::BOTH {
        for _ in 0..20 {
            assert!(world.get(family).intercepted());
        }
    }
    assert_eq!(world.weir.status()["valve"], Value::Null);
}

#[test]
fn the_access_log_moves_and_stops() {
    let world = World::new();
    let (first, second) = (
        log(&world.weir, "access.log"),
        log(&world.weir, "other.log"),
    );
    assert!(world.get(Family::V4).intercepted());
    until(SOON, "a line", || first() == 1);
    let path = world.weir.directory().join("other.log");
    let said = world.weir.reload(&format!("[log]\naccess = {path:?}\n"));
    assert!(said.contains("configuration reloaded"), "{said}");
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
    until(SOON, "lines in the other file", || second() == 2);
    assert_eq!(first(), 1);

    let said = world
        .weir
        .reload("[log]\naccess = \"/nowhere/access.log\"\n");
    assert!(
        said.contains("not reloaded") && said.contains("/nowhere/access.log"),
        "{said}"
    );
    assert!(world.get(Family::V6).intercepted());
    until(SOON, "a line where they went before", || second() == 3);

    world.weir.reload("[log]\naccess = \"off\"\n");
    assert!(world.get(Family::V4).intercepted());
    world.weir.reload("");
    assert!(world.get(Family::V4).intercepted());
    until(SOON, "a line in the first file again", || first() == 2);
    assert_eq!(second(), 3);
}

#[test]
fn sigusr1_opens_a_renamed_log_anew() {
    let world = World::new();
    let (now, old) = (
        log(&world.weir, "access.log"),
        log(&world.weir, "access.log.1"),
    );
    let mut kept = world.connect(Family::V6);
    kept.echo("/").unwrap();
    until(SOON, "a line", || now() == 1);
    let path = |name: &str| world.weir.directory().join(name);
    fs::rename(path("access.log"), path("access.log.1")).unwrap();
    kept.echo("/").unwrap();
    until(SOON, "a line in the file that was renamed", || old() == 2);
    world.weir.signal(Signal::SIGUSR1);
    until(SOON, "a new file", || path("access.log").exists());
    kept.echo("/").unwrap();
    assert!(world.get(Family::V4).intercepted());
    until(SOON, "lines in the new file", || now() == 2);
    assert_eq!(old(), 2);
    assert_eq!(world.weir.status()["log_lines_lost"], 0);
}

/// Counts the lines of a file in the daemon's directory, each of them whole.
fn log(weir: &Weir, name: &str) -> impl Fn() -> usize {
    let path = weir.directory().join(name);
    move || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let whole = |line: &str| serde_json::from_str::<Value>(line).is_ok();
        text.lines().filter(|line| whole(line)).count()
    }
}

/// What of the status does not change by itself.
fn stable(weir: &Weir) -> Value {
    let status = weir.status();
    ["interfaces", "workers", "bypass", "valve"]
        .iter()
        .map(|key| status[*key].clone())
        .chain([status["connections"]["limit"].clone()])
        .collect()
}

/// As with the configuration that it began with.
#[track_caller]
fn works(world: &World) {
    let long = "x".repeat(3000);
    for family in Family::BOTH {
        assert!(at(world, family, 8080).echo("/").unwrap().direct());
        let mut connection = world.connect(family);
        assert!(connection.echo("/").unwrap().intercepted());
        assert!(connection.echo(&format!("/{long}")).unwrap().intercepted());
    }
}

fn at(world: &World, family: Family, port: u16) -> Connection {
    let to = SocketAddr::new(family.origin(0), port);
    weir_tests::connect(&world.net.client, (family.client(), 0), to)
}

/// One attempt, which may also be reset at the limit.
fn direct(family: Family) -> bool {
    let way = weir_tests::Dial::new((family.client(), 0), family.http());
    let echo = weir_tests::dial(&way).and_then(|mut connection| connection.echo("/"));
    echo.is_ok_and(|echo| echo.direct())
}

#[test]
fn the_command_says_what_has_come_of_it() {
    let world = World::new();
    for (config, code, words) in [
        ("[intercept]\nports = [80, 8080]\n", 0, ""),
        ("[intercept]\nprots = [80]\n", 2, "ports"),
        ("[host]\ntable = 4711\n", 2, "host.table"),
    ] {
        world.weir.configure(config);
        let output = world.weir.command(&["reload"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(world.weir.status()["ports"], serde_json::json!([80, 8080]));
    }
}

#[test]
fn what_is_in_force_and_what_would_be_is_shown() {
    let world = World::with(
        &Layout::default(),
        &Options::config("[limits]\nhead = \"32KiB\"\n"),
        |_| {},
    );
    let show = |more: &[&str]| world.weir.ask(&[&["config", "show"], more].concat());
    let all = show(&[]);
    assert!(all.contains("\nhead = \"32KiB\"\n"), "{all}");
    assert!(all.contains("\nfields = 128  # default\n"), "{all}");
    assert!(
        all.contains("\n[bypass.learn]\n") && all.contains("# 0 rules\n"),
        "{all}"
    );
    // What is shown is a file that says the same.
    let file = world.weir.directory().join("shown.toml");
    std::fs::write(&file, &all).unwrap();
    let check = run_weir(&["config", "check", file.to_str().unwrap()]);
    assert!(check.status.success(), "{check:?}");

    world.weir.configure(
        "[limits]\nhead = \"16KiB\"\n[host]\ntable = 100\n[[rule]]\naction = \"deny\"\n",
    );
    let changed = show(&["--changed"]);
    assert!(
        changed.contains("head = \"32KiB\"  # \"16KiB\" after a reload"),
        "{changed}"
    );
    assert!(
        changed.contains("table = 8780  # 100 after a restart"),
        "{changed}"
    );
    assert!(changed.contains("others after a reload"), "{changed}");
    assert!(!changed.contains("fields ="), "{changed}");
    let refused = world.weir.command(&["reload"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("host.table (8780 is in force, 100 in the file)"),
        "{said}"
    );

    world.weir.configure("[limits]\nhead = \"nonsense\"\n");
    let wrong = show(&["--changed"]);
    assert!(
        wrong.contains("# WRONG") && wrong.contains("2:8"),
        "{wrong}"
    );
}
