//! Whoever finds the listener's own port is not intercepted, and is shown the door.

use std::{net::SocketAddr, time::Duration};

use weir_tests::{Connection, Family, World, connect, until};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_connection_to_the_listener_itself_is_closed_without_data() {
    let world = World::new();
    let listeners = listeners(&world);
    for family in Family::BOTH {
        let of_family = listeners
            .iter()
            .filter(|l| l.is_ipv4() == (family == Family::V4));
        assert!(of_family.count() > 0, "{family:?}: {listeners:?}");
    }
    for (count, listener) in (1..).zip(&listeners) {
        let mut connection = to_listener(&world, *listener);
        assert_eq!(connection.to_end().unwrap(), b"", "{listener}");
        until(SOON, "own-listener counted", || {
            world.weir.outcomes("own-listener") == count
        });
    }
    let status = world.weir.status();
    assert_eq!(status["connections"]["active"], 0);
    assert_eq!(status["requests"], 0);
    assert_eq!(world.weir.flows("intercepted"), 0);
    assert_eq!(world.origin.connections(), 0);
}

#[test]
fn a_request_to_the_listener_itself_is_not_answered() {
    let world = World::new();
    for listener in listeners(&world) {
        let mut connection = to_listener(&world, listener);
        // The listener's side may have closed already; it makes no difference.
        let _ = connection.send("GET / HTTP/1.1\r\nHost: 203.0.113.2\r\n\r\n");
        let answer = connection.to_end().unwrap_or_default();
        assert_eq!(answer, b"", "{listener}");
    }
    assert_eq!(world.origin.connections(), 0);
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
}

#[test]
fn the_listeners_are_out_of_clients_reach() {
    let world = World::new();
    for listener in listeners(&world) {
        let family = if listener.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        for address in [family.router_lan(), family.router_wan()] {
            let to = SocketAddr::new(address, listener.port());
            let way = weir_tests::Dial::new((family.client(), 0), to);
            let dialled = world.net.client.run(|| weir_tests::dial(&way)).unwrap();
            let error = dialled.map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{to}");
        }
    }
    assert_eq!(world.weir.outcomes("own-listener"), 0);
}

/// Weir's: nothing else listens on the router.
fn listeners(world: &World) -> Vec<SocketAddr> {
    let output = world
        .net
        .router
        .command("ss")
        .arg("-tlnH")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let listeners: Vec<SocketAddr> = text
        .lines()
        .map(|line| line.split_whitespace().nth(3).unwrap().parse().unwrap())
        .collect();
    assert!(
        listeners.iter().all(|listener| listener.ip().is_loopback()),
        "{text}"
    );
    listeners
}

/// From the router itself.
fn to_listener(world: &World, listener: SocketAddr) -> Connection {
    connect(&world.net.router, (listener.ip(), 0), listener)
}
