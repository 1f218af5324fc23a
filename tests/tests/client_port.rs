//! Clients that keep their port (`spoof.source = "client-port"`), and conntrack beside them.

use std::time::Duration;

use weir_tests::{
    End, Family, GET, Layout, Network, OK, Options, Plan, STATEFUL, Stage, World, connect, repeat,
    until, until_over,
};

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

fn world(rules: &str, prepare: impl FnOnce(&Network)) -> World {
    let config = format!("[spoof]\nsource = \"client-port\"\n{rules}");
    World::with(&Layout::default(), &Options::config(&config), prepare)
}

/// The side of clients is not tracked, and that of origins is translated.
const ONE_SIDE: &str = r#"
    table inet sides {
        chain prerouting {
            type filter hook prerouting priority raw;
            iifname "lan0" meta mark & 0x10000000 != 0 notrack
        }
        chain output {
            type filter hook output priority raw;
            oifname "lan0" meta mark & 0x20000000 != 0 notrack
        }
        chain postrouting {
            type nat hook postrouting priority srcnat;
            oifname "wan0" masquerade
        }
    }
"#;

fn not_kept(world: &World) -> u64 {
    world.weir.status()["asymmetries"]["port-not-kept"]
        .as_u64()
        .unwrap()
}

fn warnings(world: &World) -> String {
    world.weir.status()["warnings"].to_string()
}

#[test]
fn thousands_of_connections() {
    let world = world("", |_| {});
    let plan =
        |family| [46000..46500, 46500..47000, 47000..47500].map(|ports| Plan::new(family, ports));
    for _ in 0..2 {
        for attempt in repeat(&world.net.client, &Family::BOTH.map(plan).concat()) {
            assert!(
                attempt.outcome.as_ref().is_ok_and(|echo| echo.direct()),
                "{attempt:?}"
            );
        }
    }
    assert_eq!(world.weir.flows("intercepted"), 6000);
    assert_eq!(not_kept(&world), 0);
    assert_eq!(warnings(&world), "[]");
}

/// The client resets, and comes again from the same port.
#[test]
fn a_port_that_comes_again_after_a_reset() {
    let world = world("", |_| {});
    for family in Family::BOTH {
        for _ in 0..10 {
            let mut connection =
                connect(&world.net.client, (family.client(), 40000), family.http());
            assert!(connection.echo("/").unwrap().direct(), "{family:?}");
            connection.reset();
            until_over(&world.net, 40000);
        }
    }
    assert_eq!(world.weir.flows("intercepted"), 20);
}

/// One connection of the client's, two to the origin: while the first is not over, only that can
/// have the port.
#[test]
fn a_second_connection_to_the_origin_has_another_port() {
    let rules = "[[rule]]\npath = \"/other\"\nmark = 0x100\n";
    let stage = Stage::with(&format!("[spoof]\nsource = \"client-port\"\n{rules}"));
    for family in Family::BOTH {
        let mut client = stage.client(family);
        client.send(GET).unwrap();
        let mut first = stage.origin(family).accept();
        assert_eq!(first.peer(), client.local);
        first.through(b"\r\n\r\n").unwrap();
        first.send(OK).unwrap();
        client.response().unwrap();

        client
            .send("GET /other HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
        let mut second = stage.origin(family).accept();
        assert_eq!(second.peer().ip(), client.local.ip());
        assert_ne!(second.peer(), client.local);
        second.through(b"\r\n\r\n").unwrap();
        second.send(OK).unwrap();
        client.response().unwrap();
        assert_eq!(first.rest().unwrap(), (Vec::new(), End::Fin));
    }
    let status = stage.weir.status();
    assert_eq!(status["asymmetries"]["port-not-kept"], 2);
}

#[test]
fn only_the_side_of_clients_is_exempted() {
    let world = world("", |net| net.router.nft(ONE_SIDE).unwrap());
    for family in Family::BOTH {
        // The second time conntrack has an entry still, of our own connection before.
        for _ in 0..2 {
            let from = (family.client(), 40000);
            let mut connection = connect(&world.net.client, from, family.http());
            let peer = connection.echo("/").unwrap().peer();
            assert_eq!(peer, (family.router_wan(), 40000).into(), "{family:?}");
            connection.upload(MIB).unwrap();
            connection.download(MIB).unwrap();
            connection
                .send("GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
                .unwrap();
            connection.response().unwrap();
            connection.to_end().unwrap();
            drop(connection);
            until_over(&world.net, 40000);
        }
    }
    assert_eq!(not_kept(&world), 0);
    // A SYN may have come too soon for what is left of the connection before, and again.
    assert!(world.weir.flows("intercepted") >= 4);
    world.weir.says("conntrack is in use");
    assert!(!warnings(&world).contains("conntrack tracks clients"));
}

#[test]
fn what_conntrack_does_is_said() {
    let world = world("", |net| net.router.nft(STATEFUL).unwrap());
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        assert!(connection.echo("/").unwrap().intercepted());
        connection.upload(MIB).unwrap();
    }
    assert_eq!(not_kept(&world), 2);
    world.weir.says("conntrack tracks clients' connections");
    until(SOON, "a warning", || warnings(&world).contains("notrack"));
    // Somebody else's business with any other source.
    world.weir.reload("");
    until(SOON, "no warning", || warnings(&world) == "[]");
}

/// What began without conntrack, with one five-tuple on both sides, cannot go on with it.
#[test]
fn conntrack_that_comes_while_connections_are_under_way() {
    let world = world("", |_| {});
    let mut connections = Family::BOTH.map(|family| world.connect(family));
    for connection in &mut connections {
        assert!(connection.echo("/").unwrap().direct());
    }
    world.net.router.nft(STATEFUL).unwrap();
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
    for mut connection in connections {
        connection
            .send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
        assert_eq!(connection.rest().unwrap().1, End::Reset);
    }
    until(SOON, "their end", || {
        world.weir.outcomes("tracked-now") == 2
    });
    world.weir.says("conntrack has begun to track");
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        assert!(connection.echo("/").unwrap().intercepted());
        connection.upload(MIB).unwrap();
    }
}
