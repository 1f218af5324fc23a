//! A router that translates source addresses on its WAN: the answers to our connections come in
//! for the router, and are ours all the same.

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
    time::Duration,
};

use weir_tests::{
    ASIDE, Connection, Dial, Echo, Family, Hop, Layout, Load, Network, Options, Plan, Side,
    TunLink, UNTRACKED, World, connect, dial, repeat, until,
};

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

/// Source translation of what leaves by `interface`, with `how` for each family.
fn translate(net: &Network, interface: &str, how: [&str; 2]) {
    for (family, how) in ["ip", "ip6"].into_iter().zip(how) {
        let rules = format!(
            "table {family} nat {{
                 chain postrouting {{
                     type nat hook postrouting priority srcnat;
                     oifname \"{interface}\" {how}
                 }}
             }}"
        );
        net.router.nft(&rules).unwrap();
    }
}

fn masquerade(net: &Network) {
    translate(net, "wan0", ["masquerade"; 2]);
}

fn world(prepare: impl FnOnce(&Network)) -> World {
    World::with(&Layout::default(), &Options::default(), prepare)
}

/// Requests and large bodies of both families go through us, and the origin sees `whom`.
#[track_caller]
fn works(world: &World, whom: fn(Family) -> IpAddr) {
    for family in Family::BOTH {
        let before = world.weir.flows("intercepted");
        let mut connection = world.connect(family);
        assert_eq!(connection.echo("/").unwrap().peer().ip(), whom(family));
        connection.download(MIB).unwrap();
        connection.upload(MIB).unwrap();
        assert_eq!(world.weir.flows("intercepted"), before + 1, "{family:?}");
    }
    assert_eq!(world.weir.flows("no-return-path"), 0);
}

/// Each of many new connections of both families, from these ports, works.
#[track_caller]
fn all_work(world: &World, ports: Range<u16>) {
    let plans = Family::BOTH.map(|family| Plan::new(family, ports.clone()));
    for attempt in repeat(&world.net.client, &plans) {
        assert!(attempt.outcome.is_ok(), "{attempt:?}");
    }
}

#[test]
fn masquerading() {
    let world = world(masquerade);
    works(&world, Family::router_wan);
    // Many connections of two clients to one origin, so that ports clash.
    let plan = |family| [46000..46150, 46150..46300].map(|ports| Plan::new(family, ports));
    for attempt in repeat(&world.net.client, &Family::BOTH.map(plan).concat()) {
        assert!(attempt.outcome.is_ok(), "{attempt:?}");
    }
    assert_eq!(world.weir.packets("translation-lost"), 0);
    until(SOON, "the end of what is known of them", || {
        world.weir.status()["translations"] == 0
    });
}

#[test]
fn another_address_and_ports_from_a_small_range() {
    let world = world(|net| {
        for (address, prefix) in [("203.0.113.99", "24"), ("fd77:2::99", "64")] {
            let address = format!("{address}/{prefix}");
            net.router
                .ip(&["address", "add", &address, "dev", "wan0", "nodad"])
                .or_else(|_| net.router.ip(&["address", "add", &address, "dev", "wan0"]))
                .unwrap();
        }
        let how = [
            "tcp dport 80 snat to 203.0.113.99:20000-20020 random",
            "tcp dport 80 snat to [fd77:2::99]:20000-20020 random",
        ];
        translate(net, "wan0", how);
    });
    works(&world, |family| match family {
        Family::V4 => "203.0.113.99".parse().unwrap(),
        Family::V6 => "fd77:2::99".parse().unwrap(),
    });
    for family in Family::BOTH {
        let port = world.get(family).peer().port();
        assert!((20000..=20020).contains(&port), "{port}");
    }
}

/// Stateful in every chain, and only what is known goes back in.
#[test]
fn a_firewall_that_drops_what_it_does_not_know() {
    let world = world(|net| {
        masquerade(net);
        let rules = r#"
            table inet router {
                chain prerouting {
                    type filter hook prerouting priority filter;
                    ct state invalid drop
                }
                chain input {
                    type filter hook input priority filter; policy drop;
                    ct state invalid drop
                    ct state established,related accept
                    meta l4proto ipv6-icmp accept
                    iifname "lan0" tcp dport 80 accept
                }
                chain forward {
                    type filter hook forward priority filter; policy drop;
                    ct state invalid drop
                    ct state established,related accept
                    iifname "lan0" accept
                }
                chain output {
                    type filter hook output priority filter;
                    ct state invalid drop
                }
            }
        "#;
        net.router.nft(rules).unwrap();
    });
    works(&world, Family::router_wan);
    all_work(&world, 46000..46200);
}

/// Nothing is translated that conntrack does not track.
#[test]
fn connections_that_are_not_tracked() {
    let world = world(|net| {
        masquerade(net);
        net.router.nft(UNTRACKED).unwrap();
    });
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
    assert_eq!(world.weir.status()["translations"], 0);
}

#[test]
fn redirections_beside_us() {
    let world = world(|net| {
        masquerade(net);
        let rules = r#"
            table inet redirects {
                chain prerouting {
                    type nat hook prerouting priority dstnat;
                    iifname "lan0" ip daddr 203.0.113.3 tcp dport 8081 dnat ip to 203.0.113.2:8080
                    iifname "lan0" ip6 daddr fd77:2::3 tcp dport 8081 dnat ip6 to [fd77:2::2]:8080
                }
            }
        "#;
        net.router.nft(rules).unwrap();
    });
    works(&world, Family::router_wan);
    for family in Family::BOTH {
        let before = world.weir.flows("intercepted");
        let from = SocketAddr::new(family.client(), 0);
        let echo = world.get_from(from, SocketAddr::new(family.origin(1), 8081));
        assert_eq!(echo.peer().ip(), family.router_wan());
        assert_eq!(world.weir.flows("intercepted"), before);
    }
}

/// From outside to a server behind the router, which speaks from port 80 as origins do.
#[test]
fn port_forwarding_to_a_server_behind_us() {
    let world = world(|net| {
        masquerade(net);
        let rules = r#"
            table inet redirects {
                chain prerouting {
                    type nat hook prerouting priority dstnat;
                    iifname "wan0" tcp dport { 80, 8081 } dnat ip to 10.77.1.2:80
                    iifname "wan0" tcp dport { 80, 8081 } dnat ip6 to [fd77:1::2]:80
                }
            }
        "#;
        net.router.nft(rules).unwrap();
    });
    let addresses = Family::BOTH.map(|family| SocketAddr::new(family.client(), 80));
    let _inside = weir_tests::Origin::start_on(&world.net.client, &addresses).unwrap();
    works(&world, Family::router_wan);
    let load = Load::start(
        &world.net.client,
        &Family::BOTH.map(|family| Plan::new(family, 46000..46200)),
    );
    for family in Family::BOTH {
        for port in [80, 8081] {
            let from = (family.origin(0), 0);
            let to = (family.router_wan(), port);
            let mut connection = connect(&world.net.origin, from, to);
            let echo = connection.echo("/").unwrap();
            assert!(echo.direct(), "{echo:?}");
            connection.upload(MIB).unwrap();
            connection.download(MIB).unwrap();
        }
    }
    for attempt in load.stop() {
        assert!(attempt.outcome.is_ok(), "{attempt:?}");
    }
    assert_eq!(world.weir.flows("no-return-path"), 0);
}

#[test]
fn over_a_link_without_a_header() {
    let mut link = None;
    let world = world(|net| {
        link = Some(TunLink::wan(net));
        masquerade(net);
    });
    works(&world, Family::router_wan);
    all_work(&world, 46000..46100);
}

/// Each WAN translates to its own address, and one of them is chosen by the destination.
#[test]
fn several_wans() {
    let layout = Layout {
        aside: true,
        ..Layout::default()
    };
    let options = Options {
        wan: vec!["wan0".to_owned(), ASIDE.to_owned()],
        ..Options::default()
    };
    let world = World::with(&layout, &options, |net| {
        for (family, name) in [
            ("ip", "wan0"),
            ("ip6", "wan0"),
            ("ip", ASIDE),
            ("ip6", ASIDE),
        ] {
            let rules = format!(
                "table {family} nat_{name} {{
                     chain postrouting {{
                         type nat hook postrouting priority srcnat;
                         oifname \"{name}\" masquerade
                     }}
                 }}"
            );
            net.router.nft(&rules).unwrap();
        }
    });
    let aside = world.net.aside.as_ref().unwrap();
    let addresses = Family::BOTH.map(|family| SocketAddr::new(family.aside(), 80));
    let _second = weir_tests::Origin::start_on(aside, &addresses).unwrap();
    works(&world, Family::router_wan);
    for (family, to) in Family::BOTH.into_iter().zip(addresses) {
        let before = world.weir.flows("intercepted");
        let echo = world.get_from(SocketAddr::new(family.client(), 0), to);
        let whom = echo.peer().ip();
        assert!(
            whom != family.client() && whom != family.router_wan(),
            "{whom}"
        );
        assert_eq!(world.weir.flows("intercepted"), before + 1);
    }
}

#[test]
fn icmp_about_a_translated_connection() {
    for (mtu, families) in [(600, &[Family::V4][..]), (1280, &Family::BOTH)] {
        let layout = Layout {
            hop: Some(Hop {
                side: Side::Origin,
                mtu,
            }),
            ..Layout::default()
        };
        let up: fn(&mut Connection) = |connection| drop(connection.upload(MIB).unwrap());
        let down: fn(&mut Connection) = |connection| drop(connection.download(MIB).unwrap());
        for transfer in [up, down] {
            let world = World::with(&layout, &Options::default(), masquerade);
            for &family in families {
                let mut connection = world.connect(family);
                transfer(&mut connection);
                let whom = connection.echo("/").unwrap().peer().ip();
                assert_ne!(whom, family.client());
                assert!(world.weir.flows("intercepted") > 0);
            }
        }
    }
}

#[test]
fn an_unreachable_origin_is_known_at_once() {
    let world = world(|net| {
        masquerade(net);
        let rules = r#"
            table inet origin {
                chain input {
                    type filter hook input priority filter;
                    ip daddr 203.0.113.3 reject with icmp host-unreachable
                    ip6 daddr fd77:2::3 reject with icmpv6 addr-unreachable
                }
            }
        "#;
        net.origin.nft(rules).unwrap();
    });
    for family in Family::BOTH {
        let way = Dial {
            deadline: Duration::from_secs(5),
            ..Dial::new((family.client(), 0), (family.origin(1), 80))
        };
        let answer = world.net.client.run(|| dial(&way)?.get("/")).unwrap();
        assert_eq!(answer.unwrap().status, 502, "{family:?}");
    }
}

/// A direct connection whose translated tuple a socket of ours had, and still has in TIME_WAIT.
#[test]
fn what_was_known_of_a_tuple_ends_with_its_next_use() {
    let world = world(|net| {
        let how = [
            "tcp dport 80 masquerade to :20000",
            "tcp dport 80 masquerade to :20000",
        ];
        translate(net, "wan0", how);
        for state in ["time_wait", "close", "fin_wait", "last_ack", "close_wait"] {
            let key = format!("net.netfilter.nf_conntrack_tcp_timeout_{state}");
            net.router.sysctl(&key, "1").unwrap();
        }
    });
    for family in Family::BOTH {
        for _ in 0..2 {
            // The client closes first, and so do we: then we are in TIME_WAIT.
            ask(&world, family, 0);
        }
        let client = family.client().to_string();
        world.weir.bypass(&["add", "--src", &client]);
        let before = world.weir.flows("intercepted");
        ask(&world, family, 0);
        assert_eq!(world.weir.flows("intercepted"), before, "{family:?}");
        world.weir.bypass(&["del", "--src", &client]);
    }
}

/// Asks until there is a port to translate to: conntrack keeps the last one for a second.
#[track_caller]
fn ask(world: &World, family: Family, number: u8) {
    until(SOON, "an answer to a translated connection", || {
        let way = Dial {
            deadline: Duration::from_secs(3),
            ..Dial::new((family.client(), 0), (family.origin(number), 80))
        };
        let echo = || -> std::io::Result<Echo> { dial(&way)?.echo("/") };
        let echo = world.net.client.run(echo).unwrap();
        echo.is_ok_and(|echo| echo.peer() == SocketAddr::new(family.router_wan(), 20000))
    });
}

#[test]
fn without_a_daemon_new_connections_go_direct() {
    let mut world = world(masquerade);
    works(&world, Family::router_wan);
    world.weir.kill9();
    all_work(&world, 46000..46200);
    world.weir.start_again();
    works(&world, Family::router_wan);
}
