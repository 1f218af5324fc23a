//! The ground that the other tests stand on: networks without Weir, the origin's answers, and
//! `weir lab` itself.

use std::{
    net::SocketAddr,
    panic,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use weir_tests::{
    Family, Hop, HostState, Layout, Load, Origin, Plan, Side, Site, Sites, connect, get, network,
    repeat, run_weir, until, until_some, weir_binary,
};

const MIB: usize = 1 << 20;

#[test]
fn without_weir_the_origin_sees_the_clients_own_connection() {
    let net = network(&Layout {
        aside: true,
        ..Layout::default()
    });
    let origin = Origin::start(&net.origin).unwrap();
    let aside = Origin::start(net.aside.as_ref().unwrap()).unwrap();
    for family in Family::BOTH {
        for client in [family.client(), family.second_client()] {
            for (address, port) in [(family.origin(0), 80), (family.origin(3), 8080)] {
                let echo = get(&net.client, (client, 0), (address, port));
                assert!(echo.direct(), "{echo:?}");
                assert_eq!(echo.0["local"], address.to_string());
                assert_eq!(echo.0["local_port"], port);
            }
        }
        assert!(get(&net.client, (family.client(), 0), (family.aside(), 80)).direct());
    }
    assert_eq!(
        (origin.connections(), origin.requests(), origin.broken()),
        (8, 8, 0)
    );
    assert_eq!(aside.connections(), 2);
}

#[test]
fn small_links_are_found_by_icmp() {
    for side in [Side::Client, Side::Origin] {
        for mtu in [600, 1280] {
            let net = network(&Layout {
                hop: Some(Hop { side, mtu }),
                ..Layout::default()
            });
            let _origin = Origin::start(&net.origin).unwrap();
            assert_eq!(net.families().len(), if mtu == 600 { 1 } else { 2 });
            for family in net.families() {
                let mut connection = connect(&net.client, (family.client(), 0), family.http());
                connection.download(MIB).unwrap();
                assert!(connection.upload(MIB).unwrap().direct());
                // Both ends have learned it, so there was something to learn.
                for (end, to) in [
                    (&net.client, family.origin(0)),
                    (&net.origin, family.client()),
                ] {
                    let route = end.ip(&["route", "get", &to.to_string()]).unwrap();
                    assert!(route.contains(&format!("mtu {mtu}")), "{side:?}: {route}");
                }
            }
        }
    }
}

#[test]
fn networks_go_with_their_owner_and_its_panic() {
    let name = |net: &weir_tests::Network| net.router.name().to_owned();
    let exists = |name: &str| Path::new("/run/netns").join(name).exists();
    let net = network(&Layout::default());
    let other = network(&Layout::default());
    let names = [name(&net), name(&other)];
    assert!(names.iter().all(|name| exists(name)));
    drop(net);
    assert!(!exists(&names[0]) && exists(&names[1]));
    let panicked = panic::catch_unwind(move || panic::panic_any(name(&other))).unwrap_err();
    assert_eq!(panicked.downcast_ref(), Some(&names[1]));
    assert!(!exists(&names[1]));
}

#[test]
fn what_a_killed_process_left_is_swept() {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let left = format!("weir-{}-0-rtr", child.id());
    // Another test may be sweeping while this one is being made, and then it fails.
    until(
        Duration::from_secs(10),
        "a namespace to be left behind",
        || {
            let mut add = Command::new("ip");
            add.args(["netns", "add", &left])
                .status()
                .unwrap()
                .success()
        },
    );
    let _net = network(&Layout::default());
    assert!(
        !Path::new("/run/netns").join(&left).exists(),
        "{left} was not swept"
    );
}

#[test]
fn a_host_state_shows_what_changed() {
    let net = network(&Layout::default());
    let before = HostState::of(&net.router, "none");
    before.assert_same(&HostState::of(&net.router, "none"), "nothing done");
    net.router
        .ip(&["rule", "add", "fwmark", "7", "lookup", "77"])
        .unwrap();
    net.router
        .ip(&[
            "route", "add", "local", "default", "dev", "lo", "table", "77",
        ])
        .unwrap();
    net.router
        .sysctl("net.ipv4.conf.lan0.rp_filter", "1")
        .unwrap();
    let difference = before.difference(&HostState::of(&net.router, "none"));
    let subjects: Vec<_> = difference
        .iter()
        .map(|line| line.split(':').next().unwrap_or_default())
        .collect();
    assert_eq!(
        subjects,
        ["+ routes -4", "+ rules -4", "- sysctls", "+ sysctls"]
    );
}

#[test]
fn load_comes_from_the_ports_it_was_given() {
    let net = network(&Layout::default());
    let _origin = Origin::start(&net.origin).unwrap();
    let plans = Family::BOTH.map(|family| Plan::new(family, 40000..40050));
    for _ in 0..2 {
        let attempts = repeat(&net.client, &plans);
        assert_eq!(attempts.len(), 100);
        assert!(
            attempts
                .iter()
                .all(|attempt| attempt.outcome.as_ref().unwrap().direct())
        );
    }
    let load = Load::start(&net.client, &plans);
    let busy = Origin::requests;
    until(Duration::from_secs(20), "some load", || {
        busy(&_origin) > 1000
    });
    for attempt in load.stop() {
        assert_eq!(attempt.outcome.unwrap().peer(), attempt.from);
    }
}

#[test]
fn real_servers_serve_in_the_origins_namespace() {
    let net = network(&Layout::default());
    let _sites = Sites::start(&net.origin);
    for site in Site::ALL {
        for family in Family::BOTH {
            let to = SocketAddr::new(site.address(family), 80);
            let mut connection = connect(&net.client, (family.client(), 0), to);
            let index = connection.get("/index.html").unwrap();
            assert_eq!(index.body, Site::INDEX, "{site:?}");
            let own = format!("{} {}", family.client(), connection.local.port());
            assert_eq!(index.field(Site::PEER), Some(own.as_str()), "{site:?}");
            assert_eq!(
                connection.get("/big").unwrap().body,
                Site::big(),
                "{site:?}"
            );
        }
    }
}

#[test]
fn weir_lab_tells_its_story_and_leaves_nothing() {
    let output = run_weir(&["lab"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}{errors}", output.status);
    let client = Family::V6.client().to_string();
    for part in [
        client.as_str(),
        "intercepted",
        "direct",
        "weir bypass add",
        "--shell",
    ] {
        assert!(text.contains(part), "the account lacks {part:?}: {text}");
    }
    assert!(text.trim_end().ends_with("removed again."), "{text}");
}

#[test]
fn weir_lab_cleans_up_when_interrupted() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child = Killed(
            Command::new(weir_binary())
                .args(["lab", "--shell"])
                .env("SHELL", "/bin/cat")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let prefix = format!("weir-{}-", child.0.id());
        let left = || -> Vec<String> {
            let entries = std::fs::read_dir("/run/netns")
                .into_iter()
                .flatten()
                .flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.filter(|name| name.starts_with(&prefix)).collect()
        };
        let instance = format!("/run/weir/lab-{}", child.0.id());
        until(Duration::from_secs(30), "the lab's daemon", || {
            Path::new(&instance).exists()
        });
        assert!(!left().is_empty());
        kill(Pid::from_raw(i32::try_from(child.0.id()).unwrap()), signal).unwrap();
        let status = until_some(Duration::from_secs(30), "the end of weir lab", || {
            child.0.try_wait().unwrap()
        });
        assert!(!status.success(), "an interrupted lab is not a success");
        assert_eq!(left(), Vec::<String>::new(), "after {signal}");
        assert!(!Path::new(&instance).exists(), "{instance} after {signal}");
    }
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill().and_then(|()| self.0.wait());
        }
    }
}
