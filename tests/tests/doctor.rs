//! `weir doctor` names what interception does not go with, and changes nothing.

use std::{process::Command, time::Duration};

use proxy_userspace::sys::bpf::Hook;
use weir_tests::{
    Doctor, Failed, Family, HostState, LAN, Layout, Namespace, Neighbour, Network, Options, WAN,
    Weir, World, network, run_weir, until,
};

const SOON: Duration = Duration::from_secs(20);

#[track_caller]
fn examine(net: &Network) -> Doctor {
    let netns = net.router.name();
    Doctor::examine(&["--lan", LAN, "--wan", WAN, "--netns", netns])
}

#[track_caller]
fn iptables(namespace: &Namespace, command: &str) {
    let mut words = command.split_whitespace();
    let mut iptables = namespace.command(words.next().unwrap());
    let output = iptables.args(words).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
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

/// A chain in a table `inet t`, and what a check says of it: level, and the end of the line.
struct Case {
    chain: &'static str,
    check: &'static str,
    level: &'static str,
    found: &'static str,
}

const fn case(
    chain: &'static str,
    check: &'static str,
    level: &'static str,
    found: &'static str,
) -> Case {
    Case {
        chain,
        check,
        level,
        found,
    }
}

const PREROUTING: &str = "type filter hook prerouting priority mangle;";
const NAT: &str = "type nat hook prerouting priority dstnat;";
const INPUT: &str = "type filter hook input priority filter;";
const OUTPUT: &str = "type filter hook output priority filter;";
const FORWARD: &str = "type filter hook forward priority filter;";

fn expanded(chain: &str) -> String {
    let names = [
        ("PREROUTING", PREROUTING),
        ("NAT", NAT),
        ("INPUT", INPUT),
        ("OUTPUT", OUTPUT),
        ("FORWARD", FORWARD),
    ];
    names.iter().fold(chain.to_owned(), |chain, (name, text)| {
        chain.replace(name, text)
    })
}

#[track_caller]
fn named(cases: &[Case]) {
    let net = network(&Layout::default());
    for case in cases {
        let chain = expanded(case.chain);
        net.router
            .nft(&format!("table inet t {{ chain c {{ {chain}; }}; }}"))
            .unwrap();
        let doctor = examine(&net);
        let lines = doctor.troubles(case.check);
        assert_eq!(lines.len(), 1, "{chain}: {lines:?}");
        let (begins, ends) = (format!("{} nft chain inet t c, ", case.level), case.found);
        assert!(
            lines[0].starts_with(&begins) && lines[0].ends_with(ends),
            "{chain}: {lines:?}"
        );
        assert_eq!(
            doctor.code,
            if case.level == "error" { 4 } else { 0 },
            "{chain}"
        );
        let others = doctor.alarms();
        assert!(
            others.iter().all(|it| it["check"] == case.check),
            "{chain}: {others:?}"
        );
        net.router.nft("delete table inet t").unwrap();
    }
}

#[test]
fn rules_that_take_connections() {
    named(&[
        case(
            "PREROUTING meta l4proto tcp tproxy ip to 127.0.0.1:3129",
            "taken",
            "error",
            "TPROXY takes TCP port 80 from lan0",
        ),
        case(
            "PREROUTING iifname \"lan*\" tcp dport { 80, 443 } tproxy to :3129 meta mark set 1 accept",
            "taken",
            "error",
            "TPROXY takes TCP port 80 from lan0",
        ),
        case(
            "NAT iif lan0 tcp dport 1-1024 redirect to :3128",
            "taken",
            "error",
            "REDIRECT takes TCP port 80 from lan0",
        ),
        case(
            "NAT tcp dport { 22, 79-81, 8000-8080 } redirect to :3128",
            "taken",
            "error",
            "REDIRECT takes TCP port 80 from lan0",
        ),
        case(
            "NAT ip saddr 10.0.0.0/8 tcp dport 80 redirect to :3128",
            "taken",
            "warning",
            "REDIRECT takes some of TCP port 80 from lan0",
        ),
        case(
            "NAT ip daddr 198.51.100.1 tcp dport 80 dnat ip to 10.0.0.9:8080",
            "taken",
            "note",
            "DNAT takes some of TCP port 80 from lan0",
        ),
        case(
            "NAT meta nfproto ipv6 th dport 80 dnat ip6 to [fd00::1]:80",
            "taken",
            "error",
            "DNAT takes TCP port 80 from lan0",
        ),
    ]);
}

#[test]
fn rules_that_wipe_marks() {
    named(&[
        case(
            "PREROUTING meta mark set ct mark",
            "marks",
            "error",
            "wipes weir's mark 0x10000000 off TCP port 80 from lan0, TCP source port 80 from wan0",
        ),
        case(
            "PREROUTING ct mark != 0 meta mark set ct mark",
            "marks",
            "warning",
            "off some of TCP port 80 from lan0, TCP source port 80 from wan0",
        ),
        case(
            "PREROUTING iifname lan0 meta mark set 0x17",
            "marks",
            "error",
            "off TCP port 80 from lan0",
        ),
        case(
            "PREROUTING iifname wan0 ct state established meta mark set meta mark and 0xffff",
            "marks",
            "error",
            "off TCP source port 80 from wan0",
        ),
    ]);
}

#[test]
fn chains_that_drop() {
    named(&[
        case(
            "INPUT policy drop; ct state established,related accept; iif lo accept; tcp dport 22 accept",
            "delivered",
            "error",
            "policy: drops TCP port 80 from lan0",
        ),
        case(
            "INPUT policy drop; ct state vmap { established : accept, related : accept, invalid : drop }",
            "delivered",
            "error",
            "policy: drops TCP port 80 from lan0",
        ),
        case(
            "INPUT policy drop; ip saddr 10.0.0.0/8 accept; ct state established accept; \
             meta nfproto ipv6 accept",
            "delivered",
            "warning",
            "policy: drops some of TCP port 80 from lan0",
        ),
        case(
            "INPUT iifname { \"lan0\", \"lan1\" } ct state new reject with icmpx port-unreachable",
            "delivered",
            "error",
            "rejects TCP port 80 from lan0",
        ),
        case(
            "INPUT ip saddr 192.0.2.0/24 drop",
            "delivered",
            "note",
            "drops some of TCP port 80 from lan0, TCP source port 80 from wan0",
        ),
        case(
            "OUTPUT policy drop; oifname != wan0 accept; ct state established accept",
            "delivered",
            "error",
            "policy: drops TCP port 80 to wan0",
        ),
        case(
            "FORWARD policy drop; ct state established,related accept; tcp dport 443 accept",
            "forward",
            "warning",
            "policy: refuses TCP port 80 from lan0 to wan0",
        ),
        case(
            "FORWARD oifname wan0 ip daddr 192.0.2.0/24 reject",
            "forward",
            "note",
            "refuses some of TCP port 80 from lan0 to wan0",
        ),
    ]);
}

#[test]
fn rules_that_are_harmless() {
    let net = network(&Layout::default());
    let chains = [
        "PREROUTING tcp dport 443 tproxy ip to 127.0.0.1:3129",
        "PREROUTING iifname wan0 tcp dport 80 tproxy ip to 127.0.0.1:3129",
        "PREROUTING meta mark and 0x10000000 == 0 tcp dport 80 tproxy ip to 127.0.0.1:3129",
        "PREROUTING meta mark and 0x10000000 == 0 meta mark set ct mark",
        "PREROUTING meta mark set meta mark or 0x1",
        "PREROUTING iifname aside0 meta mark set 0x17",
        "PREROUTING ct state invalid drop",
        "NAT udp dport 80 redirect to :3128",
        "NAT iifname wan0 tcp dport { 80, 443 } dnat ip to 10.0.0.9",
        "type nat hook postrouting priority srcnat; oifname wan0 masquerade",
        "INPUT policy drop; ct state vmap { established : accept, new : accept }",
        "INPUT policy drop; tcp dport 1-1024 accept; ct state established accept",
        "INPUT policy drop; meta mark and 0x10000000 == 0x10000000 accept",
        "INPUT policy drop; iifname vmap { \"lan0\" : accept, \"wan0\" : accept }",
        "INPUT ct state invalid drop; log prefix \"in \" counter; limit rate 5/second log",
        "FORWARD policy drop; ct state established accept; iifname lan0 oifname wan0 accept",
        "OUTPUT policy drop; meta mark and 0x20000000 != 0 accept",
    ];
    for chain in chains {
        let chain = expanded(chain);
        net.router
            .nft(&format!("table inet t {{ chain c {{ {chain}; }}; }}"))
            .unwrap();
        let doctor = examine(&net);
        assert_eq!((doctor.code, doctor.alarms()), (0, vec![]), "{chain}");
        net.router.nft("delete table inet t").unwrap();
    }
    // As a firewall of a distribution has it: named sets, chains that jump, a dormant table.
    net.router
        .nft(
            r#"
                table inet fw {
                    set web { type inet_service; flags interval; elements = { 80-88, 443 } }
                    chain input {
                        type filter hook input priority filter; policy drop;
                        ct state { established, related } accept
                        iifname vmap { "lan0" : jump from_lan, "wan0" : jump from_wan }
                    }
                    chain from_lan { tcp dport @web accept; }
                    chain from_wan { ct state new drop; }
                }
                table inet asleep {
                    flags dormant
                    chain input { type filter hook input priority 0; policy drop; }
                }
            "#,
        )
        .unwrap();
    let doctor = examine(&net);
    assert_eq!((doctor.code, doctor.alarms()), (0, vec![]), "{doctor:?}");
}

#[test]
fn rules_of_iptables() {
    let net = network(&Layout::default());
    let router = &net.router;
    // The same in both of its ways, the one of nftables and the one before.
    for (tool, command) in [
        ("iptables", "iptables-nft"),
        ("iptables-legacy", "iptables-legacy"),
    ] {
        for (rule, undo, check, line) in [
            (
                "-t mangle -A PREROUTING -i lan0 -p tcp -m tcp --dport 80 -j TPROXY --on-port 3129 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1",
                "-t mangle -F",
                "taken",
                "TPROXY takes TCP port 80 from lan0",
            ),
            (
                "-t nat -A PREROUTING -p tcp -m multiport --dports 80,8080 -j REDIRECT --to-ports 3128",
                "-t nat -F",
                "taken",
                "REDIRECT takes TCP port 80 from lan0",
            ),
            (
                "-t mangle -A PREROUTING -j CONNMARK --restore-mark",
                "-t mangle -F",
                "marks",
                "wipes weir's mark 0x10000000 off TCP port 80 from lan0, TCP source port 80 from wan0",
            ),
            (
                "-A INPUT -m conntrack --ctstate NEW -i lan+ -p tcp -j REJECT",
                "-F",
                "delivered",
                "rejects TCP port 80 from lan0",
            ),
        ] {
            iptables(router, &format!("{command} {rule}"));
            let doctor = examine(&net);
            let lines = doctor.troubles(check);
            assert_eq!(lines.len(), 1, "{command} {rule}: {lines:?}");
            let begins = format!("error {tool} -t ");
            assert!(
                lines[0].starts_with(&begins) && lines[0].ends_with(line),
                "{lines:?}"
            );
            assert_eq!(doctor.alarms().len(), 1, "{doctor:?}");
            iptables(router, &format!("{command} {undo}"));
        }
        for harmless in [
            "-t mangle -A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
            "-t mangle -A PREROUTING -m comment --comment x -p tcp --dport 443 -j MARK --set-mark 1",
            "-A INPUT -m conntrack --ctstate INVALID -j DROP",
            "-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT",
            "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT",
            "-P INPUT DROP",
        ] {
            iptables(router, &format!("{command} {harmless}"));
        }
        let doctor = examine(&net);
        assert_eq!(doctor.alarms(), [] as [serde_json::Value; 0], "{command}");
        iptables(router, &format!("{command} -F"));
        let doctor = examine(&net);
        let line =
            format!("error {tool} -t filter, chain INPUT, policy: drops TCP port 80 from lan0");
        let lines = doctor.troubles("delivered");
        assert!(lines.iter().any(|it| it.starts_with(&line)), "{lines:?}");
        iptables(router, &format!("{command} -P INPUT ACCEPT"));
    }
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
            .nft(&format!(
                "table inet t {{ chain c {{ {PREROUTING} meta mark set ct mark; }}; }}"
            ))
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
        .nft(&format!(
            "table ip t {{ chain c {{ {NAT} tcp dport 80 redirect to :3128; }}; }}"
        ))
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
