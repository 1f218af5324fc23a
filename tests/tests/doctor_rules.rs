//! Firewall rules of every kind: `weir doctor` names those that interception does not go with, and
//! no others.

use weir_tests::{Doctor, LAN, Layout, Namespace, Network, WAN, network};

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
            "NAT meta nfproto ipv6 meta l4proto tcp th dport 80 dnat ip6 to [fd00::1]:80",
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
