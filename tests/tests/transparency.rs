//! What an intercepting router must not change: one test for each such thing.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use weir_tests::{
    ASIDE, Dial, Family, Layout, Options, Origin, Weir, World, connect, dial, get, network, ping,
    udp, until,
};

const MIB: usize = 1 << 20;

#[test]
fn the_origin_sees_the_clients_address_and_another_port() {
    let world = World::new();
    for family in Family::BOTH {
        for client in [family.client(), family.second_client()] {
            for number in 0..2 {
                let to = SocketAddr::new(family.origin(number), 80);
                let echo = world.get_from((client, 0).into(), to);
                assert!(echo.intercepted(), "{echo:?}");
                assert_eq!(
                    echo.0["local"],
                    to.ip().to_string(),
                    "the origin that was dialled"
                );
            }
        }
    }
    assert_eq!(world.weir.flows("intercepted"), 8);
}

#[test]
fn clients_with_the_same_port_are_told_apart() {
    let world = World::new();
    for family in Family::BOTH {
        let [mut first, mut second] = [family.client(), family.second_client()]
            .map(|client| connect(&world.net.client, (client, 45678), family.http()));
        for _ in 0..10 {
            let (one, other) = (first.echo("/1").unwrap(), second.echo("/2").unwrap());
            assert_eq!(one.peer().ip(), family.client());
            assert_eq!(other.peer().ip(), family.second_client());
            assert_eq!(
                (&one.0["target"], &other.0["target"]),
                (&"/1".into(), &"/2".into())
            );
        }
    }
}

#[test]
fn bodies_are_the_same_on_both_sides() {
    let world = World::new();
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        for length in [1, 64 << 10, 100 * MIB] {
            connection.download(length).unwrap();
            assert!(connection.upload(length).unwrap().intercepted());
        }
    }
}

#[test]
fn one_origin_connection_at_a_time_stays_with_its_client_connection() {
    let world = World::new();
    let mut connections: Vec<_> = (0..20)
        .map(|index| world.connect(Family::BOTH[index % 2]))
        .collect();
    let ports: Vec<_> = connections
        .iter_mut()
        .map(|c| c.echo("/").unwrap().peer())
        .collect();
    let again: Vec<_> = connections
        .iter_mut()
        .map(|c| c.echo("/").unwrap().peer())
        .collect();
    assert_eq!(ports, again);
    assert_eq!(world.origin.connections(), 20);
}

#[test]
fn other_ports_are_the_clients_own() {
    let world = World::new();
    for family in Family::BOTH {
        let to = SocketAddr::new(family.origin(0), 8080);
        let echo = world.get_from((family.client(), 0).into(), to);
        assert!(echo.direct(), "{echo:?}");
    }
    assert_eq!(world.weir.flows("intercepted"), 0);
}

#[test]
fn other_watched_ports_are_intercepted() {
    let options = Options::config("[intercept]\nports = [8080]\n");
    let world = World::with(&Layout::default(), &options, |_| {});
    for family in Family::BOTH {
        let from = SocketAddr::new(family.client(), 0);
        assert!(
            world
                .get_from(from, (family.origin(0), 8080).into())
                .intercepted()
        );
        assert!(world.get_from(from, family.http()).direct());
    }
}

#[test]
fn only_the_families_asked_for_are_intercepted() {
    let options = Options::config("[intercept]\nfamilies = [\"ipv6\"]\n");
    let world = World::with(&Layout::default(), &options, |_| {});
    assert!(world.get(Family::V4).direct());
    assert!(world.get(Family::V6).intercepted());
}

#[test]
fn datagrams_and_pings_pass() {
    let world = World::new();
    let net = &world.net;
    for family in Family::BOTH {
        let (from, to) = (SocketAddr::new(family.client(), 5353), family.http());
        assert_eq!(udp(&net.client, from, &net.origin, to).unwrap(), from);
        ping(&net.client, family.client(), family.origin(0)).unwrap();
        ping(&net.client, family.client(), family.router_lan()).unwrap();
        ping(&net.origin, family.origin(0), family.client()).unwrap();
    }
}

#[test]
fn connections_from_the_wan_to_servers_inside_pass() {
    let world = World::new();
    let inside = Origin::start(&world.net.client).unwrap();
    for family in Family::BOTH {
        let to = SocketAddr::new(family.client(), 80);
        let echo = get(&world.net.origin, (family.origin(0), 0), to);
        assert!(echo.direct(), "{echo:?}");
    }
    assert_eq!(inside.connections(), 2);
}

#[test]
fn routes_through_other_interfaces_pass() {
    let layout = Layout {
        aside: true,
        ..Layout::default()
    };
    let world = World::with(&layout, &Options::default(), |_| {});
    let aside = world.net.aside.as_ref().unwrap();
    let _beyond = Origin::start(aside).unwrap();
    for family in Family::BOTH {
        let to = SocketAddr::new(family.aside(), 80);
        let echo = world.get_from((family.client(), 0).into(), to);
        assert!(echo.direct(), "{echo:?}");
        assert!(world.get(family).intercepted());
        // Nor does an interface without a role become one of ours: it is no LAN either.
        assert!(get(aside, (family.aside(), 0), family.http()).direct());
    }
    assert_eq!(world.weir.flows("route-not-wan"), 2);
}

#[test]
fn every_interface_named_is_a_lan() {
    let layout = Layout {
        aside: true,
        ..Layout::default()
    };
    let mut options = Options::default();
    options.lan.push(ASIDE.to_owned());
    let world = World::with(&layout, &options, |_| {});
    let aside = world.net.aside.as_ref().unwrap();
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
        assert!(get(aside, (family.aside(), 0), family.http()).intercepted());
    }
}

#[test]
fn the_routers_own_port_80_is_the_routers() {
    let world = World::new();
    let router = Origin::start(&world.net.router).unwrap();
    for family in Family::BOTH {
        for own in [family.router_lan(), family.router_wan()] {
            let echo = world.get_from((family.client(), 0).into(), (own, 80).into());
            assert!(echo.direct(), "{echo:?}");
        }
        let outside = (family.origin(0), 0);
        assert!(get(&world.net.origin, outside, (family.router_wan(), 80)).direct());
        assert!(get(&world.net.router, (family.router_wan(), 0), family.http()).direct());
    }
    assert_eq!(router.connections(), 6);
    assert_eq!(world.weir.flows("own-address"), 4);
}

#[test]
fn addresses_that_the_router_gets_later_are_its_own() {
    let world = World::new();
    let late: IpAddr = "198.51.100.80".parse().unwrap();
    world
        .net
        .router
        .ip(&["address", "add", &format!("{late}/32"), "dev", "lo"])
        .unwrap();
    let _router = Origin::start(&world.net.router).unwrap();
    let way = Dial {
        deadline: Duration::from_secs(1),
        ..Dial::new((Family::V4.client(), 0), (late, 80))
    };
    until(Duration::from_secs(20), "the address's being known", || {
        // Until the news is with the daemon, it may take this for an origin's.
        let _ = world
            .net
            .client
            .run(|| dial(&way).and_then(|mut c| c.echo("/")))
            .unwrap();
        world.weir.flows("own-address") > 0
    });
    assert!(
        world
            .get_from((Family::V4.client(), 0).into(), (late, 80).into())
            .direct()
    );
}

#[test]
fn connections_under_way_before_the_start_go_on() {
    let net = network(&Layout::default());
    let origin = Origin::start(&net.origin).unwrap();
    let mut connections: Vec<_> = (0..20)
        .map(|index| Family::BOTH[index % 2])
        .map(|family| connect(&net.client, (family.client(), 0), family.http()))
        .collect();
    for connection in &mut connections {
        assert!(connection.echo("/").unwrap().direct());
    }
    let weir = Weir::start(&net.router, &Options::default());
    for connection in &mut connections {
        assert!(connection.echo("/").unwrap().direct());
        connection.download(MIB).unwrap();
    }
    assert!(get(&net.client, (Family::V4.client(), 0), Family::V4.http()).intercepted());
    assert_eq!(weir.flows("intercepted"), 1);
    assert_eq!(origin.connections(), 21);
}
