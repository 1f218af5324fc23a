//! Others on the same router: their rules still see every packet, and ours stand where they
//! should.

use std::net::SocketAddr;

use weir_tests::{Family, Layout, Network, Options, World};

/// Counts every packet of a connection's from the client, and every packet to it.
const COUNTERS: &str = r#"
table inet others {
    counter from_client_4 {}
    counter from_client_6 {}
    counter to_client_4 {}
    counter to_client_6 {}
    counter dropped {}
    chain prerouting {
        type filter hook prerouting priority raw;
        iifname "lan0" ip daddr 203.0.113.0/24 tcp dport 80 counter name from_client_4
        iifname "lan0" ip6 daddr fd77:2::/64 tcp dport 80 counter name from_client_6
        iifname "lan0" tcp dport 8888 counter name dropped drop
    }
    chain postrouting {
        type filter hook postrouting priority filter;
        oifname "lan0" ip saddr 203.0.113.0/24 tcp sport 80 counter name to_client_4
        oifname "lan0" ip6 saddr fd77:2::/64 tcp sport 80 counter name to_client_6
    }
}
"#;

#[test]
fn netfilter_sees_intercepted_and_direct_packets() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        net.router.nft(COUNTERS).unwrap();
    });
    for (family, digit) in [(Family::V4, '4'), (Family::V6, '6')] {
        let counters =
            || ["from", "to"].map(|way| counter(&world.net, &format!("{way}_client_{digit}")));
        for direct in [false, true] {
            if direct {
                let prefix = format!("{}/{}", family.origin(0), family.host_length());
                world.weir.bypass(&["add", &prefix]);
            }
            let before = counters();
            let mut connection = world.connect(family);
            let echo = connection.upload(1 << 20).unwrap();
            assert_eq!((echo.direct(), echo.intercepted()), (direct, !direct));
            connection.download(1 << 20).unwrap();
            let after = counters();
            // A megabyte is hundreds of packets, however large segmentation offload makes them.
            for (before, after) in before.iter().zip(after) {
                assert!(
                    after >= before + 16,
                    "{family:?} direct {direct}: {before} {after}"
                );
            }
        }
    }
}

#[test]
fn netfilter_still_drops_what_it_would() {
    let config = Options::config("[intercept]\nports = [80, 8888]\n\n[valve]\nenabled = false\n");
    let world = World::with(&Layout::default(), &config, |net| {
        net.router.nft(COUNTERS).unwrap();
    });
    for family in Family::BOTH {
        let way = weir_tests::Dial {
            deadline: std::time::Duration::from_secs(2),
            ..weir_tests::Dial::new(
                (family.client(), 0),
                SocketAddr::new(family.origin(0), 8888),
            )
        };
        let dialled = world.net.client.run(|| weir_tests::dial(&way)).unwrap();
        assert_eq!(
            dialled.map(|_| ()).unwrap_err().kind(),
            std::io::ErrorKind::TimedOut
        );
        assert!(world.get(family).intercepted());
    }
    assert!(counter(&world.net, "dropped") >= 2);
}

#[test]
fn connection_tracking_sees_both_legs() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        // Whatever uses `ct` switches tracking on.
        net.router
            .nft(
                r#"
                    table inet tracked {
                        counter established {}
                        counter invalid {}
                        chain prerouting {
                            type filter hook prerouting priority filter;
                            tcp dport 80 ct state established counter name established
                            tcp sport 80 ct state established counter name established
                            ct state invalid counter name invalid drop
                        }
                    }
                "#,
            )
            .unwrap();
    });
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        assert!(connection.upload(1 << 20).unwrap().intercepted());
        connection.download(1 << 20).unwrap();
    }
    assert!(count_in(&world.net, "inet", "tracked", "established") > 0);
    assert_eq!(count_in(&world.net, "inet", "tracked", "invalid"), 0);
}

#[test]
fn our_rules_come_before_the_main_tables() {
    let world = World::new();
    for family in ["-4", "-6"] {
        let rules = world.net.router.ip(&[family, "rule"]).unwrap();
        let priority = |part: &str| -> u32 {
            let line = rules.lines().find(|line| line.contains(part));
            let line = line.unwrap_or_else(|| panic!("{part}: {rules}"));
            line.split(':').next().unwrap().parse().unwrap()
        };
        let ours = priority("lookup 8780");
        assert_eq!(ours, 87);
        assert!(
            priority("lookup local") < ours && ours < priority("lookup main"),
            "{rules}"
        );
        let line = rules
            .lines()
            .find(|line| line.contains("lookup 8780"))
            .unwrap();
        assert!(
            line.contains("fwmark 0x10000000/0x10000000 iif lan0 "),
            "{line}"
        );
    }
}

#[test]
fn what_others_have_on_the_interfaces_stays_and_sees_every_packet() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        for interface in ["lan0", "wan0"] {
            tc(net, &["qdisc", "add", "dev", interface, "clsact"]);
        }
        // The next in line for a packet that came in, behind TCX.
        net.router
            .nft(
                r#"
                    table netdev others {
                        counter lan {}
                        counter wan {}
                        chain lan {
                            type filter hook ingress device "lan0" priority 0;
                            tcp dport 80 counter name lan
                        }
                        chain wan {
                            type filter hook ingress device "wan0" priority 0;
                            tcp sport 80 counter name wan
                        }
                    }
                "#,
            )
            .unwrap();
    });
    let counters =
        |net: &Network| ["lan", "wan"].map(|name| count_in(net, "netdev", "others", name));
    for family in Family::BOTH {
        let before = counters(&world.net);
        let mut connection = world.connect(family);
        assert!(connection.upload(1 << 20).unwrap().intercepted());
        connection.download(1 << 20).unwrap();
        for (before, after) in before.iter().zip(counters(&world.net)) {
            assert!(after >= before + 16, "{family:?}: {before} {after}");
        }
    }
    let World {
        mut weir,
        origin: _origin,
        net,
    } = world;
    weir.stop();
    for interface in ["lan0", "wan0"] {
        let qdiscs = tc(&net, &["qdisc", "show", "dev", interface]);
        assert!(qdiscs.contains("clsact"), "{qdiscs}");
    }
    let before = counters(&net);
    weir_tests::all_direct(&net);
    let after = counters(&net);
    assert!(before[0] < after[0] && before[1] < after[1]);
}

#[test]
fn the_routers_own_sockets_are_its_own() {
    let world = World::new();
    // The router's own requests leave by the WAN, where nothing is intercepted.
    for family in Family::BOTH {
        let echo = weir_tests::get(&world.net.router, (family.router_wan(), 0), family.http());
        assert!(echo.direct());
    }
    assert_eq!(world.weir.flows("intercepted"), 0);
    assert_eq!(world.weir.status()["connections"]["total"], 0);
}

fn counter(net: &Network, name: &str) -> u64 {
    count_in(net, "inet", "others", name)
}

/// Packets that a named counter has seen.
fn count_in(net: &Network, family: &str, table: &str, name: &str) -> u64 {
    let mut command = net.router.command("nft");
    let output = command
        .args(["list", "counter", family, table, name])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let packets = text.split("packets ").nth(1);
    let packets = packets.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    packets.unwrap_or_else(|| panic!("no counter {name}: {text}"))
}

#[track_caller]
fn tc(net: &Network, arguments: &[&str]) -> String {
    let output = net.router.command("tc").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "tc {arguments:?} (package iproute2): {errors}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
