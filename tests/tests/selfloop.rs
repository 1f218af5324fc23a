//! A SYN of Weir's own that comes back on a LAN: it looks like a client's, and must not be taken
//! for one, or Weir would intercept itself.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use weir_tests::{Connection, Family, Layout, Network, Options, World, until, until_some};

const SOON: Duration = Duration::from_secs(20);

/// Origins that drop SYNs are no trouble of the valve's here.
const PATIENT: &str = "[limits]\nconnect_timeout = \"60s\"\n\n[valve]\nenabled = false\n";

#[test]
fn a_syn_that_comes_back_is_passed_and_counted() {
    let world = World::with(&Layout::default(), &Options::config(PATIENT), drop_syns);
    for family in Family::BOTH {
        let before = world.weir.flows("intercepted");
        let (_waiting, spoofed) = connecting(&world, family);
        assert_eq!(world.weir.flows("intercepted"), before + 1);

        let loops = world.weir.flows("self-loop");
        let _returned = begin(&world, spoofed, family.http());
        until(SOON, "the SYN counted as self-loop", || {
            world.weir.flows("self-loop") > loops
        });
        assert_eq!(
            world.weir.flows("intercepted"),
            before + 1,
            "not taken for a client's"
        );
        let towards = |(_, to): &(_, SocketAddr)| *to == family.http();
        let connecting = connecting_sockets(&world).into_iter().filter(towards);
        assert_eq!(connecting.count(), 1, "and nothing was begun");
    }
}

#[test]
fn the_next_port_is_a_clients_all_the_same() {
    let world = World::with(&Layout::default(), &Options::config(PATIENT), drop_syns);
    for family in Family::BOTH {
        let (_waiting, spoofed) = connecting(&world, family);
        let (loops, before) = (
            world.weir.flows("self-loop"),
            world.weir.flows("intercepted"),
        );
        let other = SocketAddr::new(family.origin(1), 80);
        let next = SocketAddr::new(spoofed.ip(), spoofed.port() + 1);
        let _flows =
            [(spoofed, other), (next, family.http())].map(|(from, to)| begin(&world, from, to));
        until(SOON, "both SYNs", || {
            world.weir.flows("intercepted") == before + 2
        });
        assert_eq!(world.weir.flows("self-loop"), loops);
    }
}

#[test]
fn once_it_is_connected_the_origin_is_reached() {
    let world = World::with(&Layout::default(), &Options::config(PATIENT), drop_syns);
    for family in Family::BOTH {
        let (mut waiting, spoofed) = connecting(&world, family);
        let loops = world.weir.flows("self-loop");
        let returned = begin(&world, spoofed, family.http());
        until(SOON, "the SYN counted as self-loop", || {
            world.weir.flows("self-loop") > loops
        });
        drop(returned);
        world.net.origin.nft("flush ruleset").unwrap();
        let echo = waiting.response().unwrap();
        assert_eq!(echo.status, 200, "{}", echo.head);
        drop_syns(&world.net);
    }
}

/// A connection of the client that Weir has answered and whose origin it calls in vain, and the
/// address that it calls from.
fn connecting(world: &World, family: Family) -> (Connection, SocketAddr) {
    let mut waiting = world.connect(family);
    waiting.send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n").unwrap();
    let spoofed = until_some(SOON, "a connecting socket of Weir's", || {
        connecting_sockets(world)
            .into_iter()
            .find(|(_, to)| *to == family.http())
    });
    (waiting, spoofed.0)
}

/// Own and other address of each socket of the router's that waits for a SYN's answer.
fn connecting_sockets(world: &World) -> Vec<(SocketAddr, SocketAddr)> {
    let output = world
        .net
        .router
        .command("ss")
        .args(["-tanH", "state", "syn-sent"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| {
        let mut fields = line.split_whitespace().skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// Sends a SYN from exactly there, and does not wait for an answer.
fn begin(world: &World, from: SocketAddr, to: SocketAddr) -> Socket {
    let begun = world.net.client.run(|| {
        let socket = Socket::new(
            Domain::for_address(from),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.bind(&from.into())?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => Ok(socket),
            Err(error) => Err(error),
            Ok(()) => Err(io::Error::other("connected at once")),
        }
    });
    begun.unwrap().unwrap()
}

fn drop_syns(net: &Network) {
    net.origin
        .nft(
            r#"
                table inet origin {
                    chain input {
                        type filter hook input priority filter;
                        tcp dport 80 tcp flags & (syn | ack) == syn drop
                    }
                }
            "#,
        )
        .unwrap();
}
