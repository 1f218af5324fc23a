//! Whoever else looks at packets on the router sees what is theirs, with intercepted, bypassed and
//! other flows, and other flows are to them as they were without us.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use proxy_userspace::sys::bpf::Hook;
use weir_tests::{
    Capture, Doctor, Family, LAN, Layout, Neighbour, Network, Options, Origin, WAN, Weir, World,
    connect, network,
};

/// Rules of nftables that count TCP of a connection at each hook.
const COUNTERS: &str = r#"
table inet others {
    counter nft-prerouting {}
    counter nft-input {}
    counter nft-forward {}
    counter nft-output {}
    counter nft-postrouting {}
    chain prerouting { type filter hook prerouting priority raw; meta l4proto tcp counter name nft-prerouting; }
    chain input { type filter hook input priority filter; meta l4proto tcp counter name nft-input; }
    chain forward { type filter hook forward priority filter; meta l4proto tcp counter name nft-forward; }
    chain output { type filter hook output priority filter; meta l4proto tcp counter name nft-output; }
    chain postrouting { type filter hook postrouting priority filter; meta l4proto tcp counter name nft-postrouting; }
}
"#;

/// iptables before nftables, with a rule that counts in each of these chains.
const CHAINS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// What a connection must be seen by at least as often: a megabyte each way is dozens of packets,
/// however large segmentation offload makes them.
const MANY: u64 = 16;

/// All who look, on both interfaces.
struct Others {
    programs: Vec<(String, Neighbour)>,
    taps: Vec<(String, Capture)>,
}

impl Others {
    /// Those that are there before us.
    fn before(net: &Network) -> Self {
        let router = &net.router;
        router.nft(COUNTERS).unwrap();
        for chain in CHAINS {
            for tool in ["iptables-legacy", "ip6tables-legacy"] {
                run(net, tool, &format!("-t mangle -A {chain} -p tcp"));
            }
        }
        let mut others = Self {
            programs: Vec::new(),
            taps: Vec::new(),
        };
        // Where filters send a copy of everything.
        run(net, "ip", "link add copies0 type veth peer name copies1");
        for end in ["copies0", "copies1"] {
            run(net, "ip", &format!("link set {end} up"));
        }
        for interface in [LAN, WAN] {
            run(net, "tc", &format!("qdisc add dev {interface} clsact"));
            for hook in ["ingress", "egress"] {
                run(
                    net,
                    "tc",
                    &format!(
                        "filter add dev {interface} {hook} u32 match u32 0 0 \
                         action mirred egress mirror dev copies0"
                    ),
                );
            }
            others.add_programs(net, interface, "before");
            let tap = Capture::on(router, interface);
            others.taps.push((format!("tap {interface}"), tap));
        }
        others
    }

    fn add_programs(&mut self, net: &Network, interface: &str, when: &str) {
        for hook in Hook::BOTH {
            let name = format!("tcx {interface} {hook:?} {when}");
            let program = Neighbour::on_tcx(&net.router, interface, hook);
            self.programs.push((name, program));
        }
    }

    /// How many packets each has seen.
    fn counts(&self, net: &Network) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (name, program) in &self.programs {
            counts.insert(name.clone(), program.packets());
        }
        for (name, tap) in &self.taps {
            counts.insert(name.clone(), tap.so_far().len() as u64);
        }
        let listed = run(net, "nft", "list counters table inet others");
        let mut words = listed.split_whitespace();
        let mut name = "";
        while let Some(word) = words.next() {
            match word {
                "counter" => name = words.next().unwrap(),
                "packets" => {
                    let packets = words.next().unwrap().parse().unwrap();
                    counts.insert(name.to_owned(), packets);
                }
                _ => {}
            }
        }
        for tool in ["iptables-legacy", "ip6tables-legacy"] {
            for chain in CHAINS {
                let listed = run(net, tool, &format!("-t mangle -nvxL {chain}"));
                let rule = listed.lines().nth(2).unwrap();
                let packets: u64 = rule.split_whitespace().next().unwrap().parse().unwrap();
                // One of each family.
                *counts.entry(format!("iptables {chain}")).or_default() += packets;
            }
        }
        for interface in [LAN, WAN] {
            for hook in ["ingress", "egress"] {
                let listed = run(net, "tc", &format!("-s filter show dev {interface} {hook}"));
                let sent = listed.split(" bytes ").nth(1).expect("statistics");
                let packets = sent.split_whitespace().next().unwrap().parse().unwrap();
                counts.insert(format!("clsact {interface} {hook}"), packets);
            }
        }
        counts
    }

    /// Who has seen a connection that does this.
    fn seeing(&self, net: &Network, connection: impl FnOnce()) -> BTreeSet<String> {
        let before = self.counts(net);
        connection();
        let after = self.counts(net).into_iter();
        let many = after.filter(|(name, count)| *count >= before[name] + MANY);
        many.map(|(name, _)| name).collect()
    }
}

#[track_caller]
fn run(net: &Network, program: &str, arguments: &str) -> String {
    let mut command = net.router.command(program);
    let output = command.args(arguments.split(' ')).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A megabyte each way to a port of the origin.
fn megabytes(net: &Network, family: Family, port: u16, intercepted: bool) {
    let to = SocketAddr::new(family.origin(0), port);
    let mut connection = connect(&net.client, (family.client(), 0), to);
    let echo = connection.upload(1 << 20).unwrap();
    assert_eq!(
        (echo.intercepted(), echo.direct()),
        (intercepted, !intercepted)
    );
    connection.download(1 << 20).unwrap();
}

/// Everybody at the interfaces, and those at these hooks.
fn expected(whens: &[&str], hooks: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for interface in [LAN, WAN] {
        names.insert(format!("tap {interface}"));
        for hook in Hook::BOTH {
            let lower = format!("{hook:?}").to_lowercase();
            names.insert(format!("clsact {interface} {lower}"));
            names.extend(
                whens
                    .iter()
                    .map(|when| format!("tcx {interface} {hook:?} {when}")),
            );
        }
    }
    for hook in hooks {
        names.insert(format!("nft-{hook}"));
        names.insert(format!("iptables {}", hook.to_uppercase()));
    }
    names
}

const FORWARDED: [&str; 3] = ["prerouting", "forward", "postrouting"];
const DELIVERED: [&str; 4] = ["prerouting", "input", "output", "postrouting"];

#[test]
fn everybody_sees_what_is_theirs() {
    let net = network(&Layout::default());
    let _origin = Origin::start(&net.origin).unwrap();
    let mut others = Others::before(&net);
    // Without us.
    for family in Family::BOTH {
        for port in [80, 8080] {
            let seen = others.seeing(&net, || megabytes(&net, family, port, false));
            assert_eq!(seen, expected(&["before"], &FORWARDED), "{family:?} {port}");
        }
    }
    let weir = Weir::start(&net.router, &Options::default());
    for interface in [LAN, WAN] {
        others.add_programs(&net, interface, "behind");
    }
    let both = ["before", "behind"];
    for family in Family::BOTH {
        let seen = others.seeing(&net, || megabytes(&net, family, 80, true));
        assert_eq!(seen, expected(&both, &DELIVERED), "{family:?}, intercepted");
        let seen = others.seeing(&net, || megabytes(&net, family, 8080, false));
        assert_eq!(seen, expected(&both, &FORWARDED), "{family:?}, others");
        let prefix = format!("{}/{}", family.origin(0), family.host_length());
        weir.bypass(&["add", &prefix]);
        let seen = others.seeing(&net, || megabytes(&net, family, 80, false));
        assert_eq!(seen, expected(&both, &FORWARDED), "{family:?}, bypassed");
    }
    // None of them is in the way.
    let doctor = Doctor::examine(&["--instance", &weir.instance]);
    assert_eq!((doctor.code, doctor.alarms()), (0, vec![]));
}

/// A program before ours may keep packets from us: then they go as without us, and the doctor tells.
#[test]
fn who_ends_the_chain_before_us_has_flows_go_direct() {
    const TCX_PASS: i32 = 0;
    let mut before = None;
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        before = Some(Neighbour::ending(&net.router, LAN, Hook::Ingress, TCX_PASS));
    });
    for family in Family::BOTH {
        assert!(world.get(family).direct());
    }
    assert!(before.is_some_and(|program| program.packets() > 0));
    let doctor = Doctor::examine(&["--instance", &world.weir.instance]);
    let lines = doctor.troubles("hook");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("note lan0: TCX program ") && lines[0].ends_with(" before weir's"),
        "{lines:?}"
    );
}
