//! Multipath TCP and TCP Fast Open: clients that speak them get their answers as others do, and
//! what they speak with an origin directly is not broken.

use std::net::{IpAddr, SocketAddr, TcpListener};

use nix::sys::socket::{setsockopt, sockopt::TcpFastOpenConnect};
use socket2::{Domain, Protocol, Socket, Type};
use weir_tests::{
    ACK, ANSWER, Connection, Family, GET, Layout, Namespace, Network, OK, Options, RST, SYN,
    Segment, Weir, Wire, World, network,
};

/// Client enabled, server enabled, for all listeners (`Documentation/networking/ip-sysctl.rst`).
const FAST_OPEN: &str = "1027";

#[test]
fn a_multipath_client_falls_back_to_tcp() {
    let world = World::new();
    for family in Family::BOTH {
        let mut wires = [&world.net.client, &world.net.origin].map(Wire::of);
        let mut connection = multipath(&world.net.client, family.client(), family.http());
        assert!(connection.upload(1 << 20).unwrap().intercepted());
        connection.download(1 << 20).unwrap();
        let to = family.http();
        let [client, origin] = &mut wires;
        let syn = client.next("the client's SYN", |it| it.is(SYN) && it.to == to);
        assert!(syn.option(Segment::MPTCP).is_some(), "{syn:?}");
        let answer = client.next("its answer", |it| it.is(SYN | ACK) && it.from == to);
        assert_eq!(answer.option(Segment::MPTCP), None);
        let syn = origin.next("our SYN", |it| it.is(SYN) && it.to == to);
        assert_eq!(syn.option(Segment::MPTCP), None);
    }
}

/// The first path goes direct, the second is intercepted: no answer to its join, which is nobody's
/// but the origin's to give. The client drops it, and the connection goes on.
#[test]
fn a_path_that_joins_a_direct_connection_does_not_break_it() {
    let net = network(&Layout::default());
    let origins = Family::BOTH.map(|family| multipath_origin(&net.origin, family.http()));
    let weir = Weir::start(&net.router, &Options::default());
    two_paths(&net);
    for (family, origin) in Family::BOTH.into_iter().zip(&origins) {
        let client = family.client().to_string();
        weir.bypass(&["add", &family.origin(0).to_string(), "--src", &client]);
        let mut wire = Wire::of(&net.client);
        let mut client = multipath(&net.client, family.client(), family.http());
        let mut server = accept(origin);
        assert_eq!(server.peer(), client.local, "direct");
        exchange(&mut client, &mut server);
        let second = family.second_client();
        let join = wire.next("the second path's SYN", |it| {
            it.is(SYN) && it.from.ip() == second
        });
        // MP_JOIN is subtype 1.
        assert_eq!(join.option(Segment::MPTCP).unwrap()[0] >> 4, 1, "{join:?}");
        let answer = wire.next("its answer", |it| it.is(SYN | ACK) && it.to == join.from);
        assert_eq!(answer.option(Segment::MPTCP), None);
        wire.next("its end", |it| it.flags & RST != 0 && it.from == join.from);
        for _ in 0..16 {
            exchange(&mut client, &mut server);
        }

        // All of a destination that is bypassed has all its paths.
        weir.bypass(&["add", &family.origin(0).to_string()]);
        let mut client = multipath(&net.client, family.client(), family.http());
        let mut server = accept(origin);
        exchange(&mut client, &mut server);
        let answer = wire.next("the origin's answer to the join", |it| {
            it.is(SYN | ACK) && it.to.ip() == second
        });
        assert!(answer.option(Segment::MPTCP).is_some(), "{answer:?}");
        exchange(&mut client, &mut server);
    }
}

#[test]
fn a_request_for_a_fast_open_cookie_is_not_answered() {
    let world = World::new();
    for family in Family::BOTH {
        let mut wire = Wire::of(&world.net.client);
        let [syn, answer] = fast_open(&world, family, &mut wire, true);
        assert_eq!(syn.option(Segment::FAST_OPEN), Some(&[][..]), "{syn:?}");
        assert_eq!(answer.option(Segment::FAST_OPEN), None);
    }
}

#[test]
fn data_in_a_syn_with_an_origins_cookie_is_not_lost() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        net.origin
            .sysctl("net.ipv4.tcp_fastopen", FAST_OPEN)
            .unwrap();
    });
    // The origin began to listen before: it listens once more.
    let world = listening_again(world);
    for family in Family::BOTH {
        let key = family.origin(0).to_string();
        world.weir.bypass(&["add", &key]);
        let mut wire = Wire::of(&world.net.client);
        let [_, answer] = fast_open(&world, family, &mut wire, false);
        assert!(answer.option(Segment::FAST_OPEN).is_some(), "{answer:?}");
        let [syn, answer] = fast_open(&world, family, &mut wire, false);
        let length = u32::try_from(syn.data.len()).unwrap();
        assert!(length > 0 && answer.acknowledgment == syn.sequence + 1 + length);

        // The same cookie to us: the data comes once more behind the handshake.
        world.weir.bypass(&["del", &key]);
        let [syn, answer] = fast_open(&world, family, &mut wire, true);
        assert!(!syn.data.is_empty() && syn.option(Segment::FAST_OPEN).is_some());
        assert_eq!(answer.acknowledgment, syn.sequence.wrapping_add(1));
    }
    assert_eq!(world.origin.requests(), 6);
}

#[test]
fn where_the_router_itself_speaks_fast_open_so_do_clients_with_it() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        net.router
            .sysctl("net.ipv4.tcp_fastopen", FAST_OPEN)
            .unwrap();
    });
    for family in Family::BOTH {
        let mut wire = Wire::of(&world.net.client);
        let [_, answer] = fast_open(&world, family, &mut wire, true);
        assert!(answer.option(Segment::FAST_OPEN).is_some(), "{answer:?}");
        let [syn, answer] = fast_open(&world, family, &mut wire, true);
        let length = u32::try_from(syn.data.len()).unwrap();
        assert!(length > 0, "{syn:?}");
        assert_eq!(answer.acknowledgment, syn.sequence.wrapping_add(1 + length));
    }
    assert_eq!(world.origin.requests(), 4);
}

/// One request by a client that sends as much as it may with its SYN; that, and the answer to it.
#[track_caller]
fn fast_open(world: &World, family: Family, wire: &mut Wire, intercepted: bool) -> [Segment; 2] {
    let (from, to) = (SocketAddr::new(family.client(), 0), family.http());
    let dialled = world.net.client.run(|| {
        let socket = socket(from, Protocol::TCP);
        setsockopt(&socket, TcpFastOpenConnect, &true).unwrap();
        socket.connect(&to.into()).unwrap();
        Connection::new(socket.into(), ANSWER).unwrap()
    });
    let mut connection = dialled.unwrap();
    let echo = connection.echo("/").unwrap();
    assert_eq!(echo.intercepted(), intercepted);
    let from = connection.local;
    let syn = wire.next("the SYN", |it| it.is(SYN) && it.from == from);
    let answer = wire.next("its answer", |it| it.is(SYN | ACK) && it.to == from);
    [syn, answer]
}

/// The same world with an origin whose listeners came after the system's settings.
fn listening_again(world: World) -> World {
    let World { weir, origin, net } = world;
    drop(origin);
    let origin = weir_tests::Origin::start(&net.origin).unwrap();
    World { weir, origin, net }
}

fn multipath(namespace: &Namespace, from: IpAddr, to: SocketAddr) -> Connection {
    let dialled = namespace.run(|| {
        let socket = socket((from, 0).into(), Protocol::MPTCP);
        socket.connect(&to.into()).unwrap();
        Connection::new(socket.into(), ANSWER).unwrap()
    });
    dialled.unwrap()
}

fn socket(from: SocketAddr, protocol: Protocol) -> Socket {
    let socket = Socket::new(Domain::for_address(from), Type::STREAM, Some(protocol)).unwrap();
    socket.bind(&from.into()).unwrap();
    socket
}

fn multipath_origin(namespace: &Namespace, address: SocketAddr) -> TcpListener {
    let listening = namespace.run(|| {
        let socket = socket(address, Protocol::MPTCP);
        socket.listen(16).unwrap();
        socket
    });
    listening.unwrap().into()
}

fn accept(origin: &TcpListener) -> Connection {
    let (stream, _) = origin.accept().unwrap();
    Connection::new(stream, ANSWER).unwrap()
}

/// Client and origin allow a second path, and the client has an address for it.
fn two_paths(net: &Network) {
    for namespace in [&net.client, &net.origin] {
        let limits = [
            "mptcp",
            "limits",
            "set",
            "subflow",
            "2",
            "add_addr_accepted",
            "2",
        ];
        namespace.ip(&limits).unwrap();
    }
    for family in Family::BOTH {
        let second = family.second_client().to_string();
        let endpoint = [
            "mptcp", "endpoint", "add", &second, "dev", "eth0", "subflow",
        ];
        net.client.ip(&endpoint).unwrap();
    }
}

/// A request and its response.
fn exchange(client: &mut Connection, server: &mut Connection) {
    client.send(GET).unwrap();
    assert_eq!(server.exactly(GET.len()).unwrap(), GET.as_bytes());
    server.send(OK).unwrap();
    assert_eq!(client.exactly(OK.len()).unwrap(), OK.as_bytes());
}
