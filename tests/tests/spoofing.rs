//! Our source ports towards origins: few, taken, and never the client's own.

use std::{net::SocketAddr, time::Duration};

use weir_tests::{Family, Layout, Options, World, connect, until};

const SOON: Duration = Duration::from_secs(20);

/// A world whose daemon has only these ports.
fn with_ports(range: &str) -> World {
    let config = format!("[spoof]\nports = \"{range}\"\n");
    World::with(&Layout::default(), &Options::config(&config), |_| {})
}

#[test]
fn every_port_of_the_range_is_used_and_no_other() {
    let world = with_ports("20000-20003");
    for family in Family::BOTH {
        let mut connections = Vec::new();
        let mut ports = Vec::new();
        for _ in 0..4 {
            let mut connection = world.connect(family);
            ports.push(connection.echo("/").unwrap().peer().port());
            connections.push(connection);
        }
        ports.sort_unstable();
        assert_eq!(ports, [20000, 20001, 20002, 20003]);

        // None is left towards this origin, and the client is told.
        let mut fifth = world.connect(family);
        assert_eq!(fifth.get("/").unwrap().status, 503);
        // Another origin and another client have all four of their own.
        let elsewhere = SocketAddr::new(family.origin(1), 80);
        assert!(
            world
                .get_from((family.client(), 0).into(), elsewhere)
                .intercepted()
        );
        let other = SocketAddr::new(family.second_client(), 0);
        assert!(world.get_from(other, family.http()).intercepted());
        // The four are as they were.
        for connection in &mut connections {
            assert!(connection.echo("/").unwrap().intercepted());
        }
    }
    assert_eq!(world.weir.status()["outcomes"]["no-source-port"], 2);
}

#[test]
fn a_port_that_the_client_is_using_itself_is_passed_over() {
    let world = with_ports("20000-20001");
    for family in Family::BOTH {
        // The client's own port is one of ours: only the other one may be used.
        for own in [20000, 20001] {
            let from = SocketAddr::new(family.client(), own);
            let mut connection = connect(&world.net.client, from, family.http());
            let seen = connection.echo("/").unwrap().peer().port();
            assert_eq!(seen, 20000 + 20001 - own);
            // Neither may another connection of that client take it meanwhile.
            let mut second = world.connect(family);
            assert_eq!(second.get("/").unwrap().status, 503, "both are in use");
            drop((connection, second));
            until(SOON, "the end of both connections", || {
                world.weir.status()["connections"]["active"] == 0
            });
        }
    }
}
