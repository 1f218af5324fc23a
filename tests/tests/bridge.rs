//! Interfaces that are ports of a bridge: what is ours goes up, everything else stays bridged.

use std::{net::SocketAddr, time::Duration};

use weir_tests::{
    At, BridgeBox, BridgeWorld, Dial, Family, HostState, LAN, Layout, Options, Origin, Weir,
    connect, dial, get, network, ping, run_weir, until,
};

const SOON: Duration = Duration::from_secs(20);
#[test]
fn a_bridge_without_any_address() {
    let world = BridgeWorld::new(|_, _| {});
    world.works();
    world.all(false);
    for family in Family::BOTH {
        let other = (family.origin(0), 8080);
        let echo = get(&world.net.client, (family.client(), 0), other);
        assert!(echo.direct());
        ping(&world.net.client, family.client(), family.origin(0)).unwrap();
    }
    assert_eq!(world.weir.packets("no-path"), 0);
    assert!(
        world.weir.output().contains("from p1 to p2"),
        "{}",
        world.weir.output()
    );
}

/// The host's own way to everywhere leads elsewhere, and it is strict about where packets come from.
#[test]
fn a_bridge_with_an_address_beside_a_management_interface() {
    let world = BridgeWorld::new(|bridge, _| {
        for command in [
            "address add 10.77.1.200/24 dev br0",
            "address add fd77:1::200/64 dev br0 nodad",
            "link add mgmt0 type veth peer name mgmt1",
            "link set mgmt0 up",
            "link set mgmt1 up",
            "address add 198.18.0.2/24 dev mgmt0",
            "address add fd77:99::2/64 dev mgmt0 nodad",
            "route add default via 198.18.0.1 dev mgmt0",
            "route add default via fd77:99::1 dev mgmt0",
        ] {
            bridge.ip(command);
        }
        for interface in ["all", "br0", "mgmt0"] {
            let key = format!("net.ipv4.conf.{interface}.rp_filter");
            bridge.inside.sysctl(&key, "1").unwrap();
        }
    });
    world.works();
    world.all(false);
    // The box itself is still reached by its address, and not intercepted.
    let own: SocketAddr = "10.77.1.200:80".parse().unwrap();
    let _server = Origin::start_on(&world.bridge.inside, &[own]).unwrap();
    let before = world.weir.flows("intercepted");
    assert!(get(&world.net.client, (Family::V4.client(), 0), own).direct());
    assert_eq!(world.weir.flows("intercepted"), before);
}

#[test]
fn no_address_and_strict_reverse_path_filtering() {
    let world = BridgeWorld::new(|bridge, _| {
        for interface in ["all", "br0"] {
            let key = format!("net.ipv4.conf.{interface}.rp_filter");
            bridge.inside.sysctl(&key, "1").unwrap();
        }
    });
    world.works();
}

#[test]
fn an_origin_in_the_clients_subnet_and_two_clients_behind_one_address() {
    let world = BridgeWorld::new(|_, _| {});
    let addresses = Family::BOTH.map(|family| SocketAddr::new(family.router_lan(), 80));
    let _server = Origin::start_on(&world.net.router, &addresses).unwrap();
    for (family, to) in Family::BOTH.into_iter().zip(addresses) {
        for client in [family.client(), family.second_client()] {
            until(SOON, "interception", || {
                get(&world.net.client, (client, 0), to).intercepted()
            });
            assert!(get(&world.net.client, (client, 0), family.http()).intercepted());
        }
    }
}

#[test]
fn bypass_lists() {
    let world = BridgeWorld::new(|_, _| {});
    for family in Family::BOTH {
        let origin = family.origin(0).to_string();
        for entry in [&["add", &origin][..], &["add", &origin, "--in", "p1"]] {
            world.weir.bypass(entry);
            assert!(!world.intercepts(family));
            world.weir.bypass(&[&["del"], &entry[1..]].concat());
            assert!(world.intercepts(family));
        }
    }
    assert!(world.weir.flows("bypass-destination") > 0);
}

#[test]
fn a_daemon_that_hangs_or_dies_leaves_a_bridge() {
    let mut world = BridgeWorld::new(|_, _| {});
    world.all(false);
    world.weir.sigstop();
    for family in Family::BOTH {
        // Those that came before the heartbeat was stale wait.
        let way = Dial {
            deadline: Duration::from_secs(2),
            ..Dial::new((family.client(), 0), family.http())
        };
        until(SOON, "a direct connection", || {
            let echo = || dial(&way).and_then(|mut connection| connection.echo("/"));
            let echo = world.net.client.run(echo).unwrap();
            echo.is_ok_and(|echo| echo.direct())
        });
    }
    world.all(true);
    world.weir.signal(nix::sys::signal::Signal::SIGCONT);
    until(SOON, "interception again", || world.intercepts(Family::V4));
    world.weir.kill9();
    world.all(true);
    world.weir.start_again();
    world.all(false);
}

#[test]
fn everything_is_undone() {
    let instance = format!("bridge-{}", std::process::id());
    let net = network(&Layout::default());
    let _origin = Origin::start(&net.origin).unwrap();
    let bridge = BridgeBox::between(&net);
    bridge
        .inside
        .sysctl("net.ipv4.conf.br0.rp_filter", "1")
        .unwrap();
    let before = HostState::of(&bridge.inside, &instance);
    let options = Options {
        instance: Some(instance.clone()),
        ..BridgeBox::options("")
    };
    let permanent = || {
        let shown = ["neighbour", "show", "nud", "permanent", "dev", "br0"];
        bridge.inside.ip(&shown).unwrap()
    };
    for killed in [false, true] {
        let mut weir = Weir::start(&bridge.inside, &options);
        for family in Family::BOTH {
            assert!(get(&net.client, (family.client(), 0), family.http()).intercepted());
        }
        assert!(permanent().contains("02:57:45:49:52:00"), "{}", permanent());
        if killed {
            weir.kill9();
            let down = run_weir(&["down", "--instance", &instance]);
            assert!(down.status.success(), "{down:?}");
        } else {
            weir.stop();
        }
        before.assert_same(&HostState::of(&bridge.inside, &instance), "afterwards");
        assert!(
            !permanent().contains("02:57:45:49:52:00"),
            "{}",
            permanent()
        );
    }
    for family in Family::BOTH {
        assert!(get(&net.client, (family.client(), 0), family.http()).direct());
    }
}

#[test]
fn ports_that_leave_and_come_back() {
    let world = BridgeWorld::new(|_, _| {});
    world.works();
    for port in ["p1", "p2"] {
        world.bridge.ip(&format!("link set {port} nomaster"));
        world.weir.says(&format!("interface=\"{port}\""));
        until(SOON, "the port being gone", || !attached(&world, port));
        world.bridge.ip(&format!("link set {port} master br0"));
        until(SOON, "the port being back", || attached(&world, port));
        for family in Family::BOTH {
            until(SOON, "interception again", || {
                ping(&world.net.client, family.client(), family.origin(0)).is_ok()
                    && world.intercepts(family)
            });
        }
    }
    // The bridge is made again, with another index and address.
    world.bridge.ip("link delete br0");
    world
        .bridge
        .ip("link add br0 address 02:00:00:00:00:99 type bridge stp_state 0 forward_delay 0");
    world.bridge.ip("link set br0 up");
    for port in ["p1", "p2"] {
        world.bridge.ip(&format!("link set {port} master br0"));
    }
    for family in Family::BOTH {
        until(SOON, "interception across the new bridge", || {
            ping(&world.net.client, family.client(), family.origin(0)).is_ok()
                && world.intercepts(family)
        });
    }
    world.works();
}

fn attached(world: &BridgeWorld, name: &str) -> bool {
    let status = world.weir.status();
    let interfaces = status["interfaces"].as_array().unwrap();
    let it = interfaces.iter().find(|it| it["name"] == name).unwrap();
    it["attached"] == true
}

/// The router behind the WAN port gets another MAC address, and so does the client.
#[test]
fn addresses_that_move() {
    let world = BridgeWorld::new(|_, _| {});
    world.works();
    for (host, name, mac) in [
        (&world.net.router, LAN, "02:00:00:00:00:11"),
        (&world.net.client, "eth0", "02:00:00:00:00:22"),
    ] {
        let mut running = Family::BOTH
            .map(|family| connect(&world.net.client, (family.client(), 0), family.http()));
        for connection in &mut running {
            assert!(connection.echo("/").unwrap().intercepted());
        }
        host.ip(&["link", "set", name, "address", mac]).unwrap();
        for end in [&world.net.router, &world.net.client] {
            end.ip(&["neighbour", "flush", "all"]).unwrap();
        }
        for connection in &mut running {
            assert!(connection.echo("/").unwrap().intercepted());
        }
        for family in Family::BOTH {
            until(SOON, "interception", || world.intercepts(family));
        }
        let _ = At(host, name);
    }
}

/// The spanning tree protocol takes a port through its states.
#[test]
fn a_topology_change() {
    let world = BridgeWorld::new(|_, _| {});
    world
        .bridge
        .ip("link set br0 type bridge stp_state 1 forward_delay 200");
    for family in Family::BOTH {
        until(SOON, "interception with STP", || {
            ping(&world.net.client, family.client(), family.origin(0)).is_ok()
                && world.intercepts(family)
        });
    }
    world.bridge.ip("link set p2 type bridge_slave cost 99");
    world.bridge.ip("link set br0 type bridge fdb_flush");
    for family in Family::BOTH {
        until(SOON, "interception after a flush", || {
            world.intercepts(family)
        });
    }
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    let net = network(&Layout::default());
    let bridge = BridgeBox::between(&net);
    for command in [
        "link add eth9 type veth peer name eth8",
        "link add br1 type bridge",
        "link add q1 type veth peer name q2",
        "link set q1 master br1",
    ] {
        bridge.ip(command);
    }
    for (lan, wan, words) in [
        ("p1", "eth9", "eth9 is a port of none"),
        ("p1", "q1", "q1 is a port of bridge br1"),
        ("eth9", "p2", "p2 is a port of bridge br0"),
    ] {
        let options = Options {
            lan: vec![lan.to_owned()],
            wan: vec![wan.to_owned()],
            ..Options::default()
        };
        let failed = Weir::refused(&bridge.inside, &options);
        assert_eq!(failed.status.code(), Some(4), "{}", failed.output);
        assert!(failed.output.contains(words), "{}", failed.output);
    }
}
