//! `weir doctor --fix`: all of it or nothing, twice is as once, and `--undo` takes it back.

use std::{fs, path::Path, process::Command, time::Duration};

use weir_tests::{
    Doctor, Family, HostState, LAN, Layout, Network, WAN, World, network, run_weir, until,
    weir_binary,
};

const SOON: Duration = Duration::from_secs(20);

/// INPUT as many have it, and one more behind it that would drop as well.
const FIREWALL: &str = "table inet fw { chain input { type filter hook input priority filter; \
     policy drop; ct state established accept; meta l4proto ipv6-icmp accept; }; \
     chain late { type filter hook input priority filter + 10; tcp dport 80 reject; }; \
     chain output { type filter hook output priority filter; policy drop; \
     meta l4proto ipv6-icmp accept; }; }";

/// A doctor's instance that no other test has.
struct Patient {
    net: Network,
    instance: String,
}

impl Patient {
    fn new(name: &str) -> Self {
        Self {
            net: network(&Layout::default()),
            instance: format!("fix-{}-{name}", std::process::id()),
        }
    }

    fn arguments(&self) -> Vec<&str> {
        let netns = self.net.router.name();
        let instance = &self.instance[..];
        vec![
            "--lan",
            LAN,
            "--wan",
            WAN,
            "--netns",
            netns,
            "--instance",
            instance,
        ]
    }

    #[track_caller]
    fn doctor(&self, arguments: &[&str]) -> Doctor {
        Doctor::examine(&[arguments, &self.arguments()[..]].concat())
    }

    /// The commands that `arguments` print.
    #[track_caller]
    fn commands(&self, arguments: &[&str]) -> Vec<String> {
        let all = match arguments.contains(&"--undo") {
            true => vec!["--instance", &self.instance],
            false => self.arguments(),
        };
        let output = run_weir(&[&["doctor"], arguments, &all[..]].concat());
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Everything that the doctor may have a hand in.
    fn state(&self) -> (HostState, String) {
        let rules = self
            .net
            .router
            .command("nft")
            .args(["list", "ruleset"])
            .output();
        let rules = String::from_utf8(rules.unwrap().stdout).unwrap();
        (HostState::of(&self.net.router, &self.instance), rules)
    }

    fn ledger(&self) -> std::path::PathBuf {
        Path::new("/run/weir/.doctor").join(&self.instance)
    }
}

/// What is left after a test that failed in between would be another one's.
impl Drop for Patient {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.ledger());
    }
}

#[track_caller]
fn assert_same(before: &(HostState, String), after: &(HostState, String), when: &str) {
    before.0.assert_same(&after.0, when);
    assert_eq!(before.1, after.1, "{when}");
}

#[test]
fn what_it_mends_it_takes_back() {
    let patient = Patient::new("back");
    let router = &patient.net.router;
    router.nft(FIREWALL).unwrap();
    for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
        router.sysctl(key, "0").unwrap();
    }
    // One that had been on alone is on alone again.
    router.sysctl("net.ipv4.conf.lan0.forwarding", "1").unwrap();
    let before = patient.state();
    let found = patient.doctor(&[]);
    assert_eq!(found.code, 4);
    assert_eq!(found.coded("forwarding-off").len(), 2, "{found:#?}");

    let planned = patient.commands(&["--fix", "--dry-run"]);
    assert_eq!(planned[0], "sysctl -w net.ipv4.ip_forward=1");
    assert_eq!(planned[1], "sysctl -w net.ipv6.conf.all.forwarding=1");
    assert!(planned.len() >= 4, "{planned:?}");
    assert_same(&before, &patient.state(), "after --fix --dry-run");

    let fixed = patient.doctor(&["--fix"]);
    assert_eq!((fixed.code, fixed.alarms()), (0, vec![]));
    let done = fixed.report["fixed"].as_array().unwrap().clone();
    assert_eq!(done.len(), 5, "{done:?}");
    let codes: Vec<_> = done.iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert_eq!(codes.iter().filter(|it| **it == "input-drops").count(), 2);
    assert_eq!(codes.iter().filter(|it| **it == "output-drops").count(), 1);
    assert_eq!(router.read_sysctl("net.ipv4.ip_forward").unwrap(), "1");
    assert!(patient.ledger().exists());

    let once = patient.state();
    let twice = patient.doctor(&["--fix"]);
    assert_eq!(twice.report["fixed"], serde_json::json!([]));
    assert_same(&once, &patient.state(), "after a second --fix");

    let planned = patient.commands(&["--undo", "--dry-run"]);
    assert!(
        planned[0].starts_with("nft delete rule inet fw "),
        "{planned:?}"
    );
    assert_same(&once, &patient.state(), "after --undo --dry-run");
    assert_eq!(patient.commands(&["--undo"]), planned);
    assert_same(&before, &patient.state(), "after --undo");
    assert!(!patient.ledger().exists());
    assert_eq!(patient.commands(&["--undo"]), [""; 0]);
}

/// In the tools' own words: what was put there by iptables is taken away by iptables.
#[test]
fn chains_of_iptables() {
    for tool in ["iptables-nft", "iptables-legacy"] {
        let patient = Patient::new(tool);
        let run = |arguments: &[&str]| {
            let output = patient.net.router.command(tool).args(arguments).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{tool} {arguments:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        run(&[
            "-A",
            "INPUT",
            "-m",
            "conntrack",
            "--ctstate",
            "ESTABLISHED",
            "-j",
            "ACCEPT",
        ]);
        run(&["-P", "INPUT", "DROP"]);
        let before = run(&["-S"]);
        assert_eq!(patient.doctor(&[]).coded("input-drops").len(), 1, "{tool}");
        let fixed = patient.doctor(&["--fix"]);
        assert_eq!((fixed.code, fixed.alarms()), (0, vec![]), "{tool}");
        assert!(run(&["-S"]).contains("-A INPUT -m mark --mark 0x10000000/0x10000000 -j ACCEPT"));
        let undone = patient.commands(&["--undo"]);
        assert_eq!(undone.len(), 1, "{undone:?}");
        assert_eq!(run(&["-S"]), before, "{tool}");
    }
}

/// Without `nft` the firewall cannot be mended, so forwarding, which comes first, is not either.
#[test]
fn a_step_that_fails_leaves_the_host_as_it_was() {
    let patient = Patient::new("half");
    let router = &patient.net.router;
    router.nft(FIREWALL).unwrap();
    router.sysctl("net.ipv4.ip_forward", "0").unwrap();
    let before = patient.state();
    let mut doctor = Command::new(weir_binary());
    doctor.env("PATH", "/nonexistent").args(["doctor", "--fix"]);
    let output = doctor.args(patient.arguments()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("nothing is changed: what had been done is undone"),
        "{errors}"
    );
    assert!(errors.contains("nft insert rule inet fw "), "{errors}");
    assert_same(&before, &patient.state(), "after a step that failed");
    assert!(!patient.ledger().exists());
}

#[test]
fn what_somebody_else_has_changed_since_stays() {
    let patient = Patient::new("since");
    let router = &patient.net.router;
    router.sysctl("net.ipv6.conf.all.forwarding", "0").unwrap();
    router
        .nft("table inet fw { chain input { type filter hook input priority 0; policy drop; }; }")
        .unwrap();
    assert_eq!(patient.doctor(&["--fix"]).code, 0);
    router.nft("delete table inet fw").unwrap();
    router.sysctl("net.ipv6.conf.all.forwarding", "0").unwrap();
    let before = patient.state();
    assert_eq!(patient.commands(&["--undo"]), [""; 0]);
    before.0.without(&["files"]).assert_same(
        &patient.state().0.without(&["files"]),
        "after --undo of what is gone",
    );
}

/// A firewall that eats intercepted SYNs, under a daemon that runs: its valve opens, `--fix` mends
/// it, and the exception outlives the daemon.
#[test]
fn a_daemon_whose_connections_are_dropped() {
    let mut world = World::new();
    let instance = world.weir.instance.clone();
    let router = &world.net.router;
    router.nft(FIREWALL).unwrap();
    let syns = || {
        let connect = || {
            let _ = std::net::TcpStream::connect_timeout(
                &Family::V4.http(),
                Duration::from_millis(100),
            );
        };
        world.net.client.run(connect).unwrap();
    };
    until(SOON, "an open valve", || {
        syns();
        !world.weir.status()["valve"].is_null()
    });
    let found = Doctor::examine(&["--instance", &instance]);
    assert_eq!(found.code, 4);
    for code in ["valve-open", "syns-lost", "input-drops", "output-drops"] {
        assert!(!found.coded(code).is_empty(), "{code}: {found:#?}");
    }
    let fixed = Doctor::examine(&["--fix", "--instance", &instance]);
    assert_eq!((fixed.code, fixed.alarms()), (0, vec![]));
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
    let rules = || {
        let rules = world
            .net
            .router
            .command("nft")
            .args(["list", "ruleset"])
            .output();
        String::from_utf8(rules.unwrap().stdout).unwrap()
    };
    let exceptions = |rules: &str| rules.matches("0x10000000 accept").count();
    let with = exceptions(&rules());
    assert_eq!(with, 2);
    world.weir.stop();
    assert_eq!(exceptions(&rules()), with);
    let undone = run_weir(&["doctor", "--undo", "--instance", &instance]);
    assert!(undone.status.success(), "{undone:?}");
    assert_eq!(exceptions(&rules()), 0);
}

/// With its network namespace, all is gone that was done there.
#[test]
fn a_namespace_that_is_gone() {
    let mut patient = Patient::new("gone");
    patient
        .net
        .router
        .sysctl("net.ipv4.ip_forward", "0")
        .unwrap();
    assert_eq!(patient.doctor(&["--fix"]).code, 0);
    assert!(patient.ledger().exists());
    // In another one it is not begun before that is settled.
    patient.net = network(&Layout::default());
    patient
        .net
        .router
        .sysctl("net.ipv4.ip_forward", "0")
        .unwrap();
    let refused = run_weir(&[&["doctor", "--fix"], &patient.arguments()[..]].concat());
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(errors.contains("is not undone yet"), "{errors}");
    assert_eq!(patient.commands(&["--undo"]), [""; 0]);
    assert!(!patient.ledger().exists());
    assert_eq!(patient.doctor(&["--fix"]).code, 0);
    assert_eq!(
        patient.commands(&["--undo"]),
        ["sysctl -w net.ipv4.ip_forward=0"]
    );
}

#[test]
fn it_is_said_what_goes_with_what() {
    for (arguments, words) in [
        (&["--dry-run"][..], "--dry-run goes with --fix or --undo"),
        (&["--fix", "--undo"], "cannot be used with"),
        (&["--undo", "--instance", "../x"], "is no instance name"),
    ] {
        let output = run_weir(&[&["doctor"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(words), "{errors}");
    }
}
