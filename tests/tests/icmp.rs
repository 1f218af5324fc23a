//! ICMP errors: those about a segment of ours are for the socket that sent it, all others for
//! whom they are addressed to.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use weir_tests::{
    ANSWER, Connection, Family, Hop, Layout, Options, Segments, Side, World, connect, icmp_error,
    until,
};

const MIB: usize = 1 << 20;

/// Far beyond what the tests wait: what ends before has been ended by an error.
const PATIENT: &str = "[limits]\nconnect_timeout = \"1h\"\n";

/// A router whose origin answers no SYN to its second address, not even with a reset.
fn silent() -> World {
    World::with(&Layout::default(), &Options::config(PATIENT), |net| {
        let rules = format!(
            "table inet t {{
                 chain c {{
                     type filter hook output priority 0
                     ip saddr {} tcp sport 80 drop
                     ip6 saddr {} tcp sport 80 drop
                 }}
             }}",
            Family::V4.origin(1),
            Family::V6.origin(1)
        );
        net.origin.nft(&rules).unwrap();
    })
}

/// A client with a request, whose origin is being connected.
fn asking(world: &World, family: Family) -> Connection {
    let to = SocketAddr::new(family.origin(1), 80);
    let mut client = connect(&world.net.client, (family.client(), 0), to);
    client.send(weir_tests::GET).unwrap();
    client
}

/// What is refused is a reset, anything else a 502.
#[track_caller]
fn ended(mut client: Connection, kind: [u8; 2], refused: bool) {
    let what = client.response().map(|response| response.status);
    match what {
        Ok(status) => assert!(!refused && status == 502, "{kind:?}: {status}"),
        Err(error) => assert!(
            refused && error.kind() == io::ErrorKind::ConnectionReset,
            "{kind:?}: {error}"
        ),
    }
}

/// Type, code, and whether it says that the port refuses.
fn fatal(family: Family) -> Vec<([u8; 2], bool)> {
    match family {
        // Unreachable: network, host, protocol, port, source route, unknown, isolated,
        // prohibited, type of service, filtered, precedence. Then: time exceeded, parameter.
        Family::V4 => {
            let mut all: Vec<_> = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
                .map(|code| ([3, code], code == 3))
                .into();
            all.extend([([11, 0], false), ([12, 0], false)]);
            all
        }
        // Unreachable: no route, prohibited, beyond scope, address, port, policy, reject. Then:
        // time exceeded, parameter problem.
        Family::V6 => {
            let mut all: Vec<_> = [0, 1, 2, 3, 4, 5, 6]
                .map(|code| ([1, code], code == 4))
                .into();
            all.extend([([3, 0], false), ([4, 0], false), ([4, 1], false)]);
            all
        }
    }
}

#[test]
fn errors_about_our_syn_end_the_connect() {
    let world = silent();
    for family in Family::BOTH {
        let [client, origin] = [family.client(), family.origin(1)];
        let mut segments = Segments::to(&world.net.origin, origin);
        for (kind, refused) in fatal(family) {
            let before = world.weir.packets("icmp-steered");
            let asking = asking(&world, family);
            let syn = segments.next(client, 80).packet();
            icmp_error(&world.net.origin, [origin, client], kind, 0, &syn);
            ended(asking, kind, refused);
            assert_eq!(world.weir.packets("icmp-steered"), before + 1, "{kind:?}");
        }
    }
    assert_eq!(world.weir.outcomes("origin-timeout"), 0);
    assert_eq!(world.weir.flows("no-return-path"), 0);
}

#[test]
fn errors_that_say_nothing_about_it_do_not() {
    let world = silent();
    for family in Family::BOTH {
        let [client, origin] = [family.client(), family.origin(1)];
        let mut segments = Segments::to(&world.net.origin, origin);
        let asking = asking(&world, family);
        let syn = segments.next(client, 80).packet();
        let before = world.weir.packets("icmp-steered");
        let (unreachable, header) = match family {
            Family::V4 => ([3, 1], 20),
            Family::V6 => ([1, 3], 40),
        };
        let send = |kind, quoted: &[u8]| {
            icmp_error(&world.net.origin, [origin, client], kind, 0, quoted);
        };
        // Cut short, within the ports and within the header; nothing at all.
        for length in [0, 1, header - 1, header, header + 3] {
            send(unreachable, &syn[..length]);
        }
        // Another's ports, another protocol, a later fragment.
        let with = |at: usize, octet: u8| {
            let mut other = syn.clone();
            other[at] ^= octet;
            other
        };
        send(unreachable, &with(header, 0x80));
        match family {
            Family::V4 => {
                send(unreachable, &with(9, 6 ^ 17));
                send(unreachable, &with(7, 1));
                // An echo reply, and a redirect that quotes it.
                send([0, 0], &syn);
                send([5, 1], &syn);
            }
            Family::V6 => {
                send(unreachable, &with(6, 6 ^ 17));
                let mut later = with(6, 6 ^ 44);
                later.splice(40..40, [6, 0, 0, 8, 0, 0, 0, 1]);
                send(unreachable, &later);
                send([129, 0], &syn);
            }
        }
        assert_eq!(world.weir.packets("icmp-steered"), before);
        // It is still there, for one that does.
        send(unreachable, &syn);
        ended(asking, unreachable, false);
        assert_eq!(world.weir.packets("icmp-steered"), before + 1);
    }
}

/// An error about what we sent to the client: TCP lives on (RFC 1122 §4.2.3.9).
#[test]
fn errors_about_the_clients_side_do_no_harm() {
    let world = World::new();
    for family in Family::BOTH {
        let [client, origin] = [family.client(), family.origin(0)];
        let mut connection = world.connect(family);
        let port = connection.local.port();
        let mut segments = Segments::to(&world.net.client, client);
        assert!(connection.echo("/").unwrap().intercepted());
        let answer = segments.next(origin, port).packet();
        let before = world.weir.packets("icmp-steered");
        let kinds = fatal(family);
        for (kind, _) in &kinds {
            icmp_error(&world.net.client, [client, origin], *kind, 0, &answer);
        }
        let all = before + kinds.len() as u64;
        until(ANSWER, "all of them", || {
            world.weir.packets("icmp-steered") == all
        });
        assert!(connection.echo("/").unwrap().intercepted());
        assert!(connection.upload(MIB).unwrap().intercepted());
        connection.download(MIB).unwrap();
    }
}

/// Direct connections find their path's MTU by themselves.
#[test]
fn messages_for_others_get_to_them() {
    for side in [Side::Client, Side::Origin] {
        let layout = Layout {
            hop: Some(Hop { side, mtu: 1280 }),
            ..Layout::default()
        };
        let world = World::with(&layout, &Options::default(), |_| {});
        for family in Family::BOTH {
            let [bypassed, other] = [1, 2].map(|number| family.origin(number));
            let prefix = format!("{bypassed}/{}", family.host_length());
            world.weir.bypass(&["add", &prefix]);
            for to in [SocketAddr::new(bypassed, 80), SocketAddr::new(other, 8080)] {
                let mut direct = connect(&world.net.client, (family.client(), 0), to);
                assert!(direct.upload(MIB).unwrap().direct(), "{side:?} {to}");
                direct.download(MIB).unwrap();
            }
            assert_eq!(world.weir.packets("icmp-steered"), 0, "{side:?}");
            // And who sends what is too long has been told so.
            let (from, far) = match side {
                Side::Origin => (&world.net.client, bypassed),
                Side::Client => (&world.net.origin, family.client()),
            };
            let route = from.ip(&["route", "get", &far.to_string()]).unwrap();
            assert!(route.contains("mtu 1280"), "{side:?}: {route}");
        }
    }
}

/// UDP to a watched port.
#[test]
fn a_port_that_is_unreachable_for_udp() {
    let world = World::new();
    for family in Family::BOTH {
        let ends: [IpAddr; 2] = [family.client(), family.origin(0)];
        let asked = world.net.client.run(|| {
            let socket = UdpSocket::bind((ends[0], 0))?;
            socket.connect((ends[1], 80))?;
            socket.set_read_timeout(Some(ANSWER))?;
            socket.send(b"?")?;
            socket.recv(&mut [0; 8])
        });
        let error = asked.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
    }
    assert_eq!(world.weir.packets("icmp-steered"), 0);
}
