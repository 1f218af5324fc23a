//! Trying it out: counting what would be intercepted, and intercepting some clients only.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use proxy_ebpf::key;
use weir_tests::{
    BridgeBox, BridgeWorld, Connection, Family, Layout, Options, World, network, until,
};

const SOON: Duration = Duration::from_secs(20);
const SHADOW: &str = "[intercept]\nmode = \"shadow\"\n";

#[test]
fn shadow_touches_nothing_and_tells_what_would_be() {
    let world = World::with(&Layout::default(), &Options::config(SHADOW), |_| {});
    for family in Family::BOTH {
        world.weir.bypass(&["add", &family.origin(1).to_string()]);
        let from = SocketAddr::new(family.client(), 0);
        for _ in 0..5 {
            assert!(world.get_from(from, family.http()).direct());
        }
        let other = SocketAddr::new(family.origin(2), 80);
        assert!(world.get_from(from, other).direct());
        let bypassed = SocketAddr::new(family.origin(1), 80);
        assert!(world.get_from(from, bypassed).direct());
    }
    assert_eq!(world.weir.flows("shadow"), 12);
    assert_eq!(world.weir.flows("bypass-destination"), 2);
    assert_eq!(world.weir.flows("intercepted"), 0);
    let status = world.weir.status();
    assert_eq!(status["mode"], "shadow");
    assert_eq!(status["packets"]["packet-steered"], 0);
    let shadow = &status["shadow"];
    for family in Family::BOTH {
        let count = |list: &str, address: IpAddr| {
            let all = shadow[list].as_array().unwrap();
            let one = all.iter().find(|it| it["address"] == address.to_string());
            one.map(|it| it["flows"].as_u64().unwrap())
        };
        assert_eq!(count("clients", family.client()), Some(6), "{shadow}");
        assert_eq!(count("destinations", family.origin(0)), Some(5), "{shadow}");
        assert_eq!(count("destinations", family.origin(2)), Some(1), "{shadow}");
        assert_eq!(count("destinations", family.origin(1)), None, "{shadow}");
    }
    let shown = world.weir.ask(&["status"]);
    for word in ["shadow", &Family::V4.client().to_string()] {
        assert!(shown.contains(word), "{shown}");
    }
}

#[test]
fn switched_live_and_what_is_under_way_stays() {
    let world = World::new();
    let mut running: Vec<(Connection, bool)> = Vec::new();
    let holds = |running: &mut Vec<(Connection, bool)>, intercepted: bool| {
        for family in Family::BOTH {
            assert_eq!(world.get(family).intercepted(), intercepted);
            running.push((world.connect(family), intercepted));
        }
        for (connection, intercepted) in running {
            assert_eq!(connection.echo("/").unwrap().intercepted(), *intercepted);
        }
    };
    holds(&mut running, true);
    for _ in 0..2 {
        world.weir.reload(SHADOW);
        holds(&mut running, false);
        world.weir.reload("");
        holds(&mut running, true);
    }
    assert_eq!(world.weir.status()["shadow"], serde_json::Value::Null);
    // Each time, it begins to count anew.
    world.weir.reload(SHADOW);
    assert_eq!(
        world.weir.status()["shadow"]["clients"],
        serde_json::json!([])
    );
}

#[test]
fn a_share_of_the_clients_and_always_the_same() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        for address in clients() {
            let bits = if address.is_ipv4() { 24 } else { 64 };
            let with = format!("{address}/{bits}");
            let mut words = vec!["address", "add", &with, "dev", "eth0"];
            words.extend(address.is_ipv6().then_some("nodad"));
            net.client.ip(&words).unwrap();
        }
    });
    let origin = |client: IpAddr| match client {
        IpAddr::V4(_) => Family::V4.http(),
        IpAddr::V6(_) => Family::V6.http(),
    };
    let mut canary = 0;
    for share in [0, 30, 60, 100] {
        world
            .weir
            .reload(&format!("[intercept]\nshare = {share}\n"));
        let mut taken = 0;
        for client in clients() {
            let within = key::bucket(&key::address(client).1) < share;
            for _ in 0..2 {
                let echo = world.get_from(SocketAddr::new(client, 0), origin(client));
                assert_eq!(echo.intercepted(), within, "{client} {share}");
                canary += u64::from(!within);
            }
            taken += usize::from(within);
        }
        match share {
            0 => assert_eq!(taken, 0),
            100 => assert_eq!(taken, clients().count()),
            _ => assert!(
                (1..clients().count()).contains(&taken),
                "{taken} of {share}"
            ),
        }
    }
    assert_eq!(world.weir.flows("canary"), canary);
    assert_eq!(world.weir.status()["share"], 100);
}

/// Some of each family, in the client's networks.
fn clients() -> impl Iterator<Item = IpAddr> {
    let v4 = (100..120).map(|host| IpAddr::V4(Ipv4Addr::new(10, 77, 1, host)));
    let IpAddr::V6(network) = Family::V6.client() else {
        panic!("IPv6");
    };
    let v6 = (0x100..0x114u16).map(move |host| {
        let mut words = network.segments();
        words[7] = host;
        IpAddr::V6(Ipv6Addr::from(words))
    });
    v4.chain(v6)
}

#[test]
fn across_a_bridge() {
    let world = bridge_world(SHADOW);
    world.all(true);
    assert!(world.weir.flows("shadow") > 0);
    world.weir.reload("");
    until(SOON, "interception", || {
        Family::BOTH.iter().all(|it| world.intercepts(*it))
    });
}

fn bridge_world(config: &str) -> BridgeWorld {
    let net = network(&Layout::default());
    let bridge = BridgeBox::between(&net);
    BridgeWorld::with(net, bridge, &BridgeBox::options(config), |_, _| {})
}
