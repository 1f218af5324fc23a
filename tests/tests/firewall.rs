//! Routers whose settings or firewall stand in the way: what works all the same, and the valve
//! where nothing can.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use weir_tests::{Dial, Doctor, Family, Layout, Load, Network, Options, Plan, World, dial, until};

/// The valve opens within 3 seconds; the rest is for a machine that is busy.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn strict_reverse_path_filters_everywhere_and_src_valid_mark() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        for interface in ["all", "default", "lo", "lan0", "wan0"] {
            for key in ["rp_filter", "src_valid_mark"] {
                net.router
                    .sysctl(&format!("net.ipv4.conf.{interface}.{key}"), "1")
                    .unwrap();
            }
        }
    });
    works(&world);
}

#[test]
fn a_router_that_does_not_forward() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        net.router.sysctl("net.ipv4.ip_forward", "0").unwrap();
        net.router
            .sysctl("net.ipv6.conf.all.forwarding", "0")
            .unwrap();
    });
    works(&world);
    world.weir.says("forward");
}

#[test]
fn a_firewall_that_lets_lan_in() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        net.router
            .nft(
                r#"
                    table inet router {
                        chain input {
                            type filter hook input priority filter; policy drop;
                            ct state established,related accept
                            meta l4proto ipv6-icmp accept
                            iifname "lan0" tcp dport 80 accept
                        }
                    }
                "#,
            )
            .unwrap();
    });
    works(&world);
}

#[test]
fn an_input_chain_that_drops_opens_the_valve_until_it_is_gone() {
    let world = World::with(&Layout::default(), &Options::default(), drop_input);
    let load = Load::start(&world.net.client, &plans());
    until(SOON, "the valve's opening", || {
        world.weir.flows("not-delivered") > 0
    });
    let seen = world.origin.connections();
    until(SOON, "load past the valve", || {
        world.origin.connections() > seen + 200
    });
    for attempt in load.stop() {
        // The first SYNs as well: they are sent again, and then the valve is open.
        assert!(
            attempt.outcome.as_ref().is_ok_and(|echo| echo.direct()),
            "{attempt:?}"
        );
    }
    world.weir.says("not-delivered");

    world.net.router.nft("delete table inet router").unwrap();
    let load = Load::start(&world.net.client, &plans());
    for family in Family::BOTH {
        until(SOON, "interception again", || {
            world.get(family).intercepted()
        });
    }
    for attempt in load.stop() {
        assert!(attempt.outcome.is_ok(), "{attempt:?}");
    }
}

#[test]
fn an_input_chain_that_comes_later_opens_the_valve() {
    let world = World::new();
    works(&world);
    drop_input(&world.net);
    let load = Load::start(&world.net.client, &plans());
    until(SOON, "the valve's opening", || {
        world.weir.flows("not-delivered") > 0
    });
    for family in Family::BOTH {
        until(SOON, "direct connections", || world.get(family).direct());
    }
    for attempt in load.stop() {
        assert!(attempt.outcome.is_ok(), "{attempt:?}");
    }
}

/// A firewall that knows the clients' connections, and not ours.
#[test]
fn answers_that_are_dropped_open_the_valve() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        drop_answers(net, "meta nfproto ipv4");
    });
    until(SOON, "the valve's opening", || {
        for number in 0..weir_tests::ORIGINS {
            let _ = answers(&world, number);
        }
        world.weir.flows("no-return-path") > 0
    });
    world.weir.says("no-return-path");
    let doctor = Doctor::examine(&["--instance", &world.weir.instance]);
    let line = doctor.only("return-path");
    assert!(line.ends_with("open valve: no-return-path ipv4"), "{line}");
    let working = (0..60).filter(|index| answers(&world, index % 4)).count();
    // One in a hundred, at random, is the probe for recovery, and that one is lost here.
    assert!(working > 50, "only {working} of 60 connections worked");
}

/// A dual-stack router on which one family fails, and clients use both.
#[test]
fn what_works_for_one_family_does_not_keep_the_valve_shut_for_the_other() {
    for rule in [
        "table ip r { chain p { type filter hook prerouting priority raw; tcp sport 80 tcp dport 10000-32767 drop; }; }",
        "table ip r { chain i { type filter hook input priority filter; tcp dport 80 drop; }; }",
    ] {
        let world = World::with(&Layout::default(), &Options::default(), |net| {
            net.router.nft(rule).unwrap();
        });
        let load = Load::start(&world.net.client, &[Plan::new(Family::V6, 46000..46200)]);
        until(SOON, "direct IPv4 connections", || {
            let open = world.weir.status()["valves"].as_array().unwrap().clone();
            for number in 0..weir_tests::ORIGINS {
                let _ = answers(&world, number);
            }
            open.iter().any(|valve| valve["family"] == "ipv4")
        });
        let working = (0..40).filter(|index| answers(&world, index % 4)).count();
        assert!(working > 30, "only {working} of 40 connections worked");
        for attempt in load.stop() {
            assert!(
                attempt.outcome.is_ok_and(|echo| echo.intercepted()),
                "IPv6 is untouched"
            );
        }
    }
}

#[test]
fn a_dead_origin_alone_does_not_open_the_valve() {
    let config = "[limits]\nconnect_timeout = \"1s\"\n";
    let world = World::with(&Layout::default(), &Options::config(config), |net| {
        net.origin
            .nft(
                r#"
                    table inet origin {
                        chain input {
                            type filter hook input priority filter;
                            ip daddr 203.0.113.3 drop
                        }
                    }
                "#,
            )
            .unwrap();
    });
    for _ in 0..6 {
        let dead = SocketAddr::new(Family::V4.origin(1), 80);
        let mut connection = weir_tests::connect(&world.net.client, (Family::V4.client(), 0), dead);
        assert_eq!(connection.get("/").unwrap().status, 504);
        assert!(world.get(Family::V4).intercepted());
    }
    assert_eq!(world.weir.flows("no-return-path"), 0);
}

#[test]
fn a_valve_that_is_switched_off_stays_shut() {
    let options = Options::config("[valve]\nenabled = false\n");
    let world = World::with(&Layout::default(), &options, |_| {});
    works(&world);
    assert_eq!(
        world.weir.flows("not-delivered") + world.weir.flows("no-return-path"),
        0
    );
}

#[track_caller]
fn works(world: &World) {
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        assert!(connection.echo("/").unwrap().intercepted());
        connection.download(1 << 20).unwrap();
        connection.upload(1 << 20).unwrap();
    }
}

/// Answers to ports of ours, which clients do not use, are lost.
fn drop_answers(net: &Network, which: &str) {
    let rules = format!(
        "table inet answers {{
             chain prerouting {{
                 type filter hook prerouting priority raw;
                 {which} tcp sport 80 tcp dport 10000-32767 drop
             }}
         }}"
    );
    net.router.nft(&rules).unwrap();
}

fn drop_input(net: &Network) {
    net.router
        .nft(
            r#"
                    table inet router {
                        chain input {
                            type filter hook input priority filter; policy drop;
                            ct state established,related accept
                            meta l4proto { icmp, ipv6-icmp } accept
                            iifname "lo" accept
                        }
                    }
                "#,
        )
        .unwrap();
}

/// Whether the origin answers.
fn answers(world: &World, number: u8) -> bool {
    ask(world, number).is_some()
}

/// Whom the origin sees, if it answers in time.
fn ask(world: &World, number: u8) -> Option<IpAddr> {
    let to = SocketAddr::new(Family::V4.origin(number), 80);
    let way = Dial {
        deadline: Duration::from_secs(3),
        ..Dial::new((Family::V4.client(), 0), to)
    };
    let echo = world
        .net
        .client
        .run(|| dial(&way).and_then(|mut connection| connection.echo("/")));
    echo.unwrap().ok().map(|echo| echo.peer().ip())
}

fn plans() -> Vec<Plan> {
    let ports = [46000..46100, 46100..46200];
    let plan = |family| ports.clone().map(|ports| Plan::new(family, ports));
    Family::BOTH.map(plan).concat()
}
