//! Packets whose headers are longer than most: IPv4 options and IPv6 extension headers on every
//! packet of the client's.

use std::{io, net::SocketAddr, os::fd::AsRawFd as _, time::Duration};

use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};
use weir_tests::{ANSWER, Connection, Family, World};

const MIB: usize = 1 << 20;

/// Four octets of nothing (RFC 791 §3.1, option 1).
const NOPS: &[u8] = &[1, 1, 1, 1];

/// As many as there may be: the header is 60 octets long.
const MANY_NOPS: &[u8] = &[1; 40];

/// Record route (option 7), with room for nine addresses, then the end of the list (option 0).
const RECORD_ROUTE: &[u8] = &{
    let mut option = [0; 40];
    (option[0], option[1], option[2]) = (7, 39, 4);
    option
};

/// An extension header of 8 octets: the kernel fills in what comes next; six octets of padding
/// (RFC 8200 §4.2, PadN).
const PADDED: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];

/// One of 64 octets, which are one option that nobody knows and that is to be skipped (RFC 8200
/// §4.2: the two highest bits of its type are 0). Linux drops padding as long as that.
const LONG: &[u8] = &{
    let mut header = [0; 64];
    (header[1], header[2], header[3]) = (7, 0x1e, 60);
    header
};

/// A sticky option of a socket's packets: level and name for `setsockopt`, and its octets.
type Sticky = (libc::c_int, libc::c_int, &'static [u8]);

#[test]
fn ipv4_options() {
    let world = World::new();
    for octets in [NOPS, MANY_NOPS, RECORD_ROUTE] {
        exchange(
            &world,
            Family::V4,
            &[(libc::IPPROTO_IP, libc::IP_OPTIONS, octets)],
        );
    }
}

#[test]
fn ipv6_extension_headers() {
    let world = World::new();
    let hop_by_hop = |octets| (libc::IPPROTO_IPV6, libc::IPV6_HOPOPTS, octets);
    let destination = |octets| (libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS, octets);
    exchange(&world, Family::V6, &[hop_by_hop(PADDED)]);
    exchange(&world, Family::V6, &[hop_by_hop(LONG)]);
    exchange(&world, Family::V6, &[destination(PADDED)]);
    exchange(&world, Family::V6, &[destination(LONG)]);
    exchange(&world, Family::V6, &[hop_by_hop(LONG), destination(PADDED)]);
}

#[test]
fn with_cookies_as_well() {
    let world = World::new();
    world
        .net
        .router
        .sysctl("net.ipv4.tcp_syncookies", "2")
        .unwrap();
    let cookies = world.weir.packets("cookie-steered");
    exchange(
        &world,
        Family::V4,
        &[(libc::IPPROTO_IP, libc::IP_OPTIONS, NOPS)],
    );
    exchange(
        &world,
        Family::V6,
        &[(libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS, PADDED)],
    );
    assert!(world.weir.packets("cookie-steered") >= cookies + 2);
}

#[test]
fn bypassed_ones_are_forwarded_as_they_are() {
    let world = World::new();
    for (family, sticky) in [
        (Family::V4, (libc::IPPROTO_IP, libc::IP_OPTIONS, NOPS)),
        (Family::V6, (libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS, PADDED)),
    ] {
        let prefix = format!("{}/{}", family.origin(0), family.host_length());
        world.weir.bypass(&["add", &prefix]);
        let mut connection = connect(&world, family, &[sticky]);
        // Small ones: Linux makes segments with sticky extension headers larger than the path, and
        // a router, with Weir or without, may well drop them.
        assert!(connection.echo("/").unwrap().direct());
        assert!(connection.upload(1000).unwrap().direct());
        connection.download(1000).unwrap();
    }
}

/// Bodies of which every octet is checked, both ways, intercepted.
#[track_caller]
fn exchange(world: &World, family: Family, sticky: &[Sticky]) {
    let before = world.weir.flows("intercepted");
    let mut connection = connect(world, family, sticky);
    assert!(connection.upload(MIB).unwrap().intercepted(), "{sticky:?}");
    connection.download(MIB).unwrap();
    assert_eq!(world.weir.flows("intercepted"), before + 1);
    assert_eq!(world.weir.packets("malformed"), 0);
}

fn connect(world: &World, family: Family, sticky: &[Sticky]) -> Connection {
    let dialled = world.net.client.run(|| dial(family, sticky));
    dialled
        .unwrap()
        .unwrap_or_else(|error| panic!("{sticky:?}: {error}"))
}

fn dial(family: Family, sticky: &[Sticky]) -> io::Result<Connection> {
    let to = family.http();
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(family.client(), 0).into())?;
    for option in sticky {
        set(&socket, *option)?;
    }
    socket.connect_timeout(&to.into(), Duration::from_secs(10))?;
    Connection::new(socket.into(), ANSWER)
}

/// Every packet of the socket's carries it from now on.
fn set(socket: &Socket, (level, name, octets): Sticky) -> io::Result<()> {
    let length = libc::socklen_t::try_from(octets.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is borrowed for the call, and the option's value is `octets`, which
    // live across it, with their length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            octets.as_ptr().cast(),
            length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
