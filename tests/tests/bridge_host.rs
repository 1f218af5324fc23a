//! What the box's own settings, firewall and links make of a bridge.

use std::time::Duration;

use weir_tests::{
    At, BridgeBox, BridgeWorld, Dial, Family, Hop, LAN, Layout, Load, Options, Plan, Side, connect,
    dial, network, ping, until,
};

const SOON: Duration = Duration::from_secs(30);

fn plans() -> [Plan; 2] {
    Family::BOTH.map(|family| Plan::new(family, 46000..46200))
}

/// A connection that was tried for two seconds, and is direct.
fn goes_direct(world: &BridgeWorld, family: Family) -> bool {
    let way = Dial {
        deadline: Duration::from_secs(2),
        ..Dial::new((family.client(), 0), family.http())
    };
    let echo = || dial(&way).and_then(|mut connection| connection.echo("/"));
    let echo = world.net.client.run(echo).unwrap();
    echo.is_ok_and(|echo| echo.direct())
}

/// Bridged frames pass iptables and nftables as well, by `br_netfilter`.
#[test]
fn a_firewall_that_sees_bridged_frames() {
    let world = BridgeWorld::new(|bridge, _| {
        for family in ["ip", "ip6"] {
            let key = format!("net.bridge.bridge-nf-call-{family}tables");
            bridge.inside.sysctl(&key, "1").unwrap();
        }
        bridge
            .inside
            .nft(
                r#"
                    table inet box {
                        chain prerouting {
                            type filter hook prerouting priority filter;
                            ct state invalid drop
                        }
                        chain input {
                            type filter hook input priority filter; policy drop;
                            ct state established,related accept
                            meta l4proto ipv6-icmp accept
                            tcp dport 80 accept
                        }
                        chain forward {
                            type filter hook forward priority filter; policy drop;
                            ct state established,related accept
                            ct state invalid drop
                            ct state new accept
                        }
                        chain output {
                            type filter hook output priority filter;
                            ct state invalid drop
                        }
                    }
                "#,
            )
            .unwrap();
    });
    world.weir.says("net.bridge.bridge-nf-call-iptables");
    world.weir.says("net.bridge.bridge-nf-call-ip6tables");
    world.works();
    world.all(false);
    for family in Family::BOTH {
        let other = (family.origin(0), 8080);
        let mut connection = connect(&world.net.client, (family.client(), 0), other);
        assert!(connection.echo("/").unwrap().direct());
        ping(&world.net.client, family.client(), family.origin(0)).unwrap();
    }
}

#[test]
fn an_input_chain_that_drops_opens_the_valve() {
    let world = BridgeWorld::new(|bridge, _| {
        bridge
            .inside
            .nft("table inet box { chain i { type filter hook input priority filter; tcp dport 80 drop; }; }")
            .unwrap();
    });
    let load = Load::start(&world.net.client, &plans());
    for family in Family::BOTH {
        until(SOON, "direct connections", || goes_direct(&world, family));
    }
    for attempt in load.stop() {
        // The first SYNs as well: they are sent again, and then the valve is open.
        assert!(
            attempt.outcome.as_ref().is_ok_and(|echo| echo.direct()),
            "{attempt:?}"
        );
    }
    world.weir.says("not-delivered");
    world.bridge.inside.nft("delete table inet box").unwrap();
    let load = Load::start(&world.net.client, &plans());
    for family in Family::BOTH {
        until(SOON, "interception again", || world.intercepts(family));
    }
    for attempt in load.stop() {
        assert!(attempt.outcome.is_ok(), "{attempt:?}");
    }
}

/// With IPv6 switched off, the bridge has no IPv6 address, and takes nothing in. Without it there is
/// nothing to intercept with, but nobody waits for that either.
#[test]
fn a_bridge_with_ipv6_switched_off() {
    let key = "net.ipv6.conf.br0.disable_ipv6";
    let world = BridgeWorld::new(|bridge, _| bridge.inside.sysctl(key, "1").unwrap());
    world.weir.says("IPv6 is switched off on bridge br0");
    world.carries(Family::V4);
    assert!(!world.intercepts(Family::V6));
    assert_eq!(world.weir.flows("family-off"), 1);
    world.bridge.inside.sysctl(key, "0").unwrap();
    until(SOON, "interception", || world.intercepts(Family::V6));
    world.works();
    world.bridge.inside.sysctl(key, "1").unwrap();
    until(SOON, "going direct", || goes_direct(&world, Family::V6));
    world.carries(Family::V4);
}

#[test]
fn a_bridge_without_even_a_link_local_address() {
    let world = BridgeWorld::new(|bridge, _| {
        bridge
            .inside
            .sysctl("net.ipv6.conf.br0.addr_gen_mode", "1")
            .unwrap();
        bridge.ip("-6 address flush dev br0");
    });
    world.works();
}

#[test]
fn a_bridge_that_goes_down_and_gets_another_address() {
    let world = BridgeWorld::new(|_, _| {});
    world.works();
    world.bridge.ip("link set br0 address 02:00:00:00:00:44");
    world.bridge.ip("link set br0 down");
    world.bridge.ip("link set br0 up");
    for family in Family::BOTH {
        until(SOON, "interception", || {
            ping(&world.net.client, family.client(), family.origin(0)).is_ok()
                && world.intercepts(family)
        });
    }
    world.works();
}

/// Ports that join the bridge while the daemon runs.
#[test]
fn ports_by_pattern() {
    let net = network(&Layout::default());
    let bridge = BridgeBox::between(&net);
    let options = Options {
        lan: vec!["p1*".to_owned()],
        wan: vec!["p2*".to_owned()],
        ..Options::default()
    };
    let world = BridgeWorld::with(net, bridge, &options, |_, _| {});
    world.works();
    for port in ["p1", "p2"] {
        world.bridge.ip(&format!("link set {port} nomaster"));
        world.bridge.ip(&format!("link set {port} down"));
        world.bridge.ip(&format!("link set {port} name {port}b"));
        world.bridge.ip(&format!("link set {port}b up"));
        world.bridge.ip(&format!("link set {port}b master br0"));
        for family in Family::BOTH {
            until(SOON, "interception by the new port", || {
                ping(&world.net.client, family.client(), family.origin(0)).is_ok()
                    && world.intercepts(family)
            });
        }
    }
    world.works();
}

/// Clients and origins on the wrong side of each other.
#[test]
fn flows_that_do_not_cross_from_lan_to_wan() {
    for (lan, wan, reason) in [
        (&["p1", "p2"][..], "q1", "route-not-wan"),
        (&["p2"][..], "p1", "not-from-lan"),
    ] {
        let net = network(&Layout::default());
        let bridge = BridgeBox::between(&net);
        let options = Options {
            lan: lan.iter().map(ToString::to_string).collect(),
            wan: vec![wan.to_owned()],
            ..Options::default()
        };
        let world = BridgeWorld::with(net, bridge, &options, |bridge, _| {
            bridge.ip("link add q1 type veth peer name q2");
            bridge.ip("link set q1 master br0");
        });
        for family in Family::BOTH {
            assert!(!world.intercepts(family));
        }
        assert_eq!(world.weir.flows(reason), 2);
    }
}

/// A link of a small MTU that only ICMP tells of, on either side of the bridge.
#[test]
fn path_mtu_discovery() {
    for (side, mtu) in [(Side::Client, 1280), (Side::Origin, 1280)] {
        for up in [false, true] {
            let layout = Layout {
                hop: Some(Hop { side, mtu }),
                ..Layout::default()
            };
            let net = network(&layout);
            let near = match (&net.hop, side) {
                (Some([_, behind]), Side::Client) => At(behind, "far"),
                _ => At(&net.client, "eth0"),
            };
            let bridge = BridgeBox::cut_into(&net, [near, At(&net.router, LAN)]);
            let world = BridgeWorld::with(net, bridge, &BridgeBox::options(""), |_, _| {});
            for family in Family::BOTH {
                let from = (family.client(), 0);
                let mut connection = connect(&world.net.client, from, family.http());
                if up {
                    connection.upload(1 << 20).unwrap();
                } else {
                    connection.download(1 << 20).unwrap();
                }
                assert!(connection.echo("/").unwrap().intercepted(), "{side:?}");
            }
        }
    }
}

/// Frames of clients with a tag that has a priority and no VLAN, and answers without one.
#[test]
fn priorities_without_a_vlan() {
    let net = network(&Layout::default());
    let bridge = BridgeBox::prioritised(&net);
    let world = BridgeWorld::with(net, bridge, &BridgeBox::options(""), |_, _| {});
    world.works();
    world.all(false);
    assert_eq!(world.weir.flows("vlan-conflict"), 0);
}
