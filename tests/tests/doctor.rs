//! `weir doctor` names what interception does not go with, and changes nothing.

use std::{process::Command, time::Duration};

use proxy_userspace::sys::bpf::Hook;
use weir_tests::{
    Doctor, Failed, Family, HostState, LAN, Layout, Neighbour, Network, Options, WAN, Weir, World,
    network, run_weir, until,
};

const SOON: Duration = Duration::from_secs(20);

#[track_caller]
fn examine(net: &Network) -> Doctor {
    let netns = net.router.name();
    Doctor::examine(&["--lan", LAN, "--wan", WAN, "--netns", netns])
}

#[test]
fn a_router_where_all_is_well() {
    let world = World::new();
    let net = &world.net;
    let before = HostState::of(&net.router, "none");
    let running = Doctor::examine(&["--instance", &world.weir.instance]);
    let planned = examine(net);
    for doctor in [&running, &planned] {
        assert_eq!(doctor.code, 0, "{doctor:?}");
        assert!(doctor.alarms().is_empty(), "{doctor:?}");
        for check in [
            "kernel",
            "interfaces",
            "hook",
            "hardware",
            "routing",
            "firewall",
        ] {
            let ok = doctor.findings(|it| it["check"] == check && it["level"] == "ok");
            assert!(!ok.is_empty(), "{check}: {doctor:?}");
        }
    }
    assert!(
        !running
            .findings(|it| it["found"] == "runs, mode enforce")
            .is_empty()
    );
    before.assert_same(&HostState::of(&net.router, "none"), "after the doctor");

    let screen = world.weir.ask(&["doctor"]);
    assert!(
        screen.contains("ok       LAN lan0: link type ether\n"),
        "{screen}"
    );
    let quiet = world.weir.ask(&["doctor", "--quiet"]);
    assert!(!quiet.contains("ok  "), "{quiet}");
}

#[test]
fn without_interfaces_there_is_nothing_to_look_at() {
    let output = run_weir(&["doctor", "--instance", "no-such-instance"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    for words in [
        "no instance no-such-instance is running",
        "weir doctor --lan IF --wan IF",
    ] {
        assert!(errors.contains(words), "{errors}");
    }
    let net = network(&Layout::default());
    let netns = net.router.name();
    let doctor = Doctor::examine(&["--lan", "lan7", "--wan", WAN, "--netns", netns]);
    assert_eq!(doctor.code, 4);
    assert_eq!(
        doctor.troubles("interfaces"),
        ["error LAN lan7: there is no such interface"]
    );
    let output = run_weir(&["doctor", "--lan", LAN, "--wan", WAN, "--netns", "no-such"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// What it says to do is done, word for word, and interception works.
#[test]
fn what_it_says_to_do_helps() {
    for rules in [
        "table inet fw { chain input { type filter hook input priority filter; policy drop; \
         ct state established accept; meta l4proto ipv6-icmp accept; }; }",
        "table inet fw { chain output { type filter hook output priority filter; policy drop; \
         meta l4proto ipv6-icmp accept; }; }",
        "table inet fw { chain pre { type filter hook prerouting priority mangle; \
         tcp dport 80 tproxy to :3129 accept; }; }",
    ] {
        let world = World::with(&Layout::default(), &Options::default(), |net| {
            net.router.nft(rules).unwrap();
        });
        let doctor = Doctor::examine(&["--instance", &world.weir.instance]);
        assert_eq!(doctor.code, 4, "{rules}");
        let mut done = 0;
        for finding in doctor.findings(|it| it["level"] == "error" && it["check"] != "daemon") {
            let remedy = finding["remedy"].as_str().unwrap();
            let mut command = world.net.router.command("sh");
            let status = command.args(["-c", remedy]).status().unwrap();
            assert!(status.success(), "{remedy}");
            done += 1;
        }
        assert!(done > 0, "{doctor:?}");
        let again = examine(&world.net);
        assert_eq!((again.code, again.alarms()), (0, vec![]), "{rules}");
        world.weir.reload("");
        for family in Family::BOTH {
            assert!(world.get(family).intercepted(), "{rules}");
        }
    }
}

#[test]
fn policy_rules_of_others() {
    let net = network(&Layout::default());
    let router = &net.router;
    for (rule, level, words) in [
        (
            "fwmark 0x10000000/0x10000000 lookup 4242 priority 500",
            "error",
            "for mark 0x10000000",
        ),
        (
            "fwmark 0x20000000/0x20000000 lookup 4242 priority 500",
            "error",
            "for mark 0x20000000",
        ),
        (
            "from 198.18.0.0/15 lookup 8780 priority 600",
            "error",
            "leads to weir's table",
        ),
        (
            "iif lan0 lookup 4242 priority 50",
            "error",
            "comes before weir's (87) and catches what it marks on lan0",
        ),
        (
            "from 10.0.0.0/8 lookup 4242 priority 50",
            "warning",
            "comes before weir's (87) and catches some of what it marks on lan0",
        ),
        (
            "ipproto tcp dport 80 lookup 4242 priority 50",
            "error",
            "catches what it marks on lan0",
        ),
        ("iif wan0 lookup 4242 priority 50", "", ""),
        ("ipproto udp lookup 4242 priority 50", "", ""),
        ("fwmark 0x1/0xff lookup 4242 priority 50", "", ""),
        ("from 198.18.0.0/15 lookup 4242 priority 500", "", ""),
    ] {
        let words_of = |verb: &str| {
            let rule = rule.split(' ').map(str::to_owned);
            ["rule".to_owned(), verb.to_owned()]
                .into_iter()
                .chain(rule)
                .collect::<Vec<_>>()
        };
        let run = |verb| {
            let words = words_of(verb);
            router
                .ip(&words.iter().map(String::as_str).collect::<Vec<_>>())
                .unwrap();
        };
        run("add");
        let doctor = examine(&net);
        let lines = doctor.troubles("routing");
        if level.is_empty() {
            assert_eq!(lines, [""; 0], "{rule}");
        } else {
            assert_eq!(lines.len(), 1, "{rule}: {lines:?}");
            let begins = format!("{level} ip rule ");
            assert!(
                lines[0].starts_with(&begins) && lines[0].ends_with(words),
                "{lines:?}"
            );
        }
        run("delete");
    }
}

#[test]
fn kernel_parameters() {
    let net = network(&Layout::default());
    net.router
        .sysctl("net.ipv4.conf.all.rp_filter", "1")
        .unwrap();
    net.router
        .sysctl("net.ipv4.conf.lan0.src_valid_mark", "1")
        .unwrap();
    net.router
        .sysctl("net.ipv6.conf.all.forwarding", "0")
        .unwrap();
    let doctor = examine(&net);
    assert_eq!(doctor.code, 0);
    assert_eq!(
        doctor.troubles("routing"),
        ["warning net.ipv6.conf.all.forwarding: 0"]
    );
    for (key, found) in [
        ("rp_filter", "on for all"),
        ("src_valid_mark", "on for lan0"),
    ] {
        let harmless = doctor.findings(|it| it["object"] == key);
        assert_eq!(harmless.len(), 1, "{doctor:?}");
        assert_eq!(
            (&harmless[0]["level"], &harmless[0]["found"]),
            (&"ok".into(), &found.into())
        );
    }
}

#[test]
fn who_else_is_at_the_interfaces() {
    let net = network(&Layout::default());
    let router = &net.router;
    let _xdp = Neighbour::on_xdp(router, WAN);
    let _before = Neighbour::on_tcx(router, LAN, Hook::Ingress);
    for words in [
        "qdisc add dev wan0 clsact",
        "filter add dev wan0 ingress pref 7 u32 match u32 0 0 classid 1:1",
    ] {
        let words = words.split(' ');
        assert!(router.command("tc").args(words).status().unwrap().success());
    }
    let weir = Weir::start(router, &Options::default());
    let _behind = Neighbour::on_tcx(router, LAN, Hook::Ingress);
    let doctor = Doctor::examine(&["--instance", &weir.instance]);
    assert_eq!((doctor.code, doctor.alarms()), (0, vec![]));
    let lines: Vec<_> = doctor
        .findings(|it| it["check"] == "hook")
        .iter()
        .map(|it| {
            let text = |key: &str| it[key].as_str().unwrap().to_owned();
            let found: String = text("found")
                .chars()
                .filter(|c| !c.is_ascii_digit())
                .collect();
            format!("{} {}: {found}", text("level"), text("object"))
        })
        .filter(|line| !line.contains("packet sockets"))
        .collect();
    assert_eq!(
        lines,
        [
            "note lan0: TCX program  probe before weir's",
            "ok lan0: TCX program  probe behind weir's",
            "note wan0: XDP program  probe (generic)",
            "ok wan0: ingress filter u, preference ",
        ]
    );
}

/// The daemon finds the worst of it by itself.
#[test]
fn a_daemon_names_conflicts() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        net.router
            .nft(
                "table inet t { chain c { type filter hook prerouting priority mangle; \
                 meta mark set ct mark; }; }",
            )
            .unwrap();
    });
    let warnings = || {
        let warnings = world.weir.status()["warnings"].clone();
        let texts = warnings.as_array().unwrap().iter();
        texts
            .map(|it| it.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let found = warnings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("nft chain inet t c, rule handle "),
        "{found:?}"
    );
    world.weir.says("wipes weir's mark 0x10000000");
    // The doctor does not say it twice.
    let doctor = Doctor::examine(&["--instance", &world.weir.instance]);
    assert_eq!(doctor.alarms().len(), 1, "{doctor:?}");

    // It looks again when the network changes, and on a reload.
    world.net.router.nft("delete table inet t").unwrap();
    world.weir.reload("");
    until(SOON, "no warnings", || warnings().is_empty());
    world.weir.says("no longer: nft chain inet t c");
    world
        .net
        .router
        .nft(
            "table ip t { chain c { type nat hook prerouting priority dstnat; \
             tcp dport 80 redirect to :3128; }; }",
        )
        .unwrap();
    world
        .net
        .router
        .ip(&["link", "add", "extra0", "type", "bridge"])
        .unwrap();
    world.weir.says("REDIRECT takes TCP port 80 from lan0");
    until(SOON, "a warning", || warnings().len() == 1);
}

#[test]
fn what_a_start_would_refuse() {
    let net = network(&Layout::default());
    net.router
        .ip(&[
            "rule",
            "add",
            "fwmark",
            "0x10000000/0x10000000",
            "lookup",
            "4242",
        ])
        .unwrap();
    let doctor = examine(&net);
    assert_eq!(doctor.code, 4);
    let Failed { status, .. } = Weir::refused(&net.router, &Options::default());
    assert_eq!(status.code(), Some(4));
    // The way out that it names.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("weir.toml");
    std::fs::write(
        &file,
        "[intercept]\nlan = [\"lan0\"]\nwan = [\"wan0\"]\n[host]\nsteer_mark = 0x40000000\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let doctor = Doctor::examine(&["--config", file, "--netns", net.router.name()]);
    assert_eq!(doctor.code, 0, "{doctor:?}");
}

/// Without privileges it says what it cannot see, and what is missing.
#[test]
fn without_privileges() {
    let (_directory, weir) = weir_tests::everybodys_weir();
    let net = network(&Layout::default());
    let output = net
        .router
        .run(|| {
            Command::new("setpriv")
                .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
                .arg(weir)
                .args(["doctor", "--json", "--lan", LAN, "--wan", WAN])
                .output()
                .unwrap()
        })
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let has = |object: &str, words: &str| {
        findings.iter().any(|it| {
            it["object"] == object && it["found"].as_str().unwrap_or_default().contains(words)
        })
    };
    assert!(
        has("privileges", "CAP_NET_ADMIN and CAP_BPF missing"),
        "{report}"
    );
    assert!(has("nftables", "cannot be read: "), "{report}");
    assert!(has("LAN lan0", "link type ether"), "{report}");
}
