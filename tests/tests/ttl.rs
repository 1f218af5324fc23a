//! Time to live and hop limit: what the origin sees is what it would see behind a router.

use weir_tests::{
    BridgeBox, Family, Layout, Namespace, Network, Options, Origin, SYN, Segment, Weir, Wire,
    World, network,
};

/// Of the client's packets; nobody's default.
const CLIENTS: u8 = 57;

/// Linux's default, which the router and the origin have.
const DEFAULT: u8 = 64;

#[test]
fn the_clients_less_one_is_copied_by_default() {
    at_the_origin(&world("", |_| {}), CLIENTS - 1);
}

#[test]
fn it_is_copied_where_the_kernel_answers_by_cookie() {
    let world = world("", |net| {
        net.router.sysctl("net.ipv4.tcp_syncookies", "2").unwrap();
    });
    at_the_origin(&world, CLIENTS - 1);
    assert!(world.weir.packets("cookie-steered") > 0);
}

#[test]
fn it_is_the_routers_own_if_wanted_also_by_a_reload() {
    at_the_origin(&world("[spoof]\nttl = \"own\"\n", |_| {}), DEFAULT);
    let reloaded = world("", |_| {});
    let said = reloaded.weir.reload("[spoof]\nttl = \"own\"\n");
    assert!(said.contains("configuration reloaded"), "{said}");
    at_the_origin(&reloaded, DEFAULT);
}

#[test]
fn what_goes_direct_has_it_from_the_kernel() {
    let world = world("", |_| {});
    for family in Family::BOTH {
        world.weir.bypass(&["add", &family.origin(0).to_string()]);
        let mut wire = Wire::of(&world.net.origin);
        assert!(world.get(family).direct());
        of_the_client(&mut wire, family, CLIENTS - 1);
    }
}

/// A SYN that would come no further than the next hop leads to one that comes no further either.
#[test]
fn the_least_is_one() {
    for (clients, ours) in [(1, 1), (2, 1), (3, 2)] {
        let world = world("", |net| set(&net.client, clients));
        at_the_origin(&world, ours);
    }
}

/// What a bridge passes on has as many hops left as before; the router behind it takes one off.
#[test]
fn a_bridge_takes_nothing_off() {
    let net = network(&Layout::default());
    let bridge = BridgeBox::between(&net);
    set(&net.client, CLIENTS);
    let origin = Origin::start(&net.origin).unwrap();
    let weir = Weir::start(&bridge.inside, &BridgeBox::options(""));
    at_the_origin(&World { weir, origin, net }, CLIENTS - 1);
    drop(bridge);
}

/// The handshake with the client is over before there is an origin: answers have our own.
#[test]
fn answers_to_the_client_have_the_routers_own() {
    let world = world("", |net| set(&net.origin, 50));
    for family in Family::BOTH {
        let mut wire = Wire::of(&world.net.client);
        assert!(world.get(family).intercepted());
        let answers = wire.so_far();
        let answers = answers.iter().filter(|it| it.from == family.http());
        let ttls: Vec<u8> = answers.map(|it| it.ttl).collect();
        assert!(
            ttls.len() >= 3 && ttls.iter().all(|ttl| *ttl == DEFAULT),
            "{ttls:?}"
        );
    }
}

fn world(config: &str, prepare: impl FnOnce(&Network)) -> World {
    World::with(&Layout::default(), &Options::config(config), |net| {
        set(&net.client, CLIENTS);
        prepare(net);
    })
}

fn set(namespace: &Namespace, ttl: u8) {
    let ttl = ttl.to_string();
    for key in ["net.ipv4.ip_default_ttl", "net.ipv6.conf.eth0.hop_limit"] {
        namespace.sysctl(key, &ttl).unwrap();
    }
}

/// Every segment of an intercepted exchange comes to the origin with it.
#[track_caller]
fn at_the_origin(world: &World, ttl: u8) {
    for family in Family::BOTH {
        let mut wire = Wire::of(&world.net.origin);
        let mut connection = world.connect(family);
        assert!(connection.upload(100_000).unwrap().intercepted());
        of_the_client(&mut wire, family, ttl);
    }
}

#[track_caller]
fn of_the_client(wire: &mut Wire, family: Family, ttl: u8) {
    let segments = wire.so_far();
    let from_client = |it: &&Segment| it.from.ip() == family.client();
    let ttls: Vec<_> = segments.iter().filter(from_client).collect();
    assert!(ttls.len() > 2 && ttls[0].is(SYN), "{ttls:?}");
    for segment in ttls {
        assert_eq!(segment.ttl, ttl, "{segment:?}");
    }
}
