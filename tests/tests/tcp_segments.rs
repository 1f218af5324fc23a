//! Segments that belong to one leg alone: urgent data, probes, resets before there is an origin.

use std::{thread, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use weir_tests::{
    ACK, Family, Layout, OK, Options, RST, SYN, Segment, Stage, URG, Wire, World, until,
};

const SOON: Duration = Duration::from_secs(20);

/// An urgent octet is out of band, as at an origin that does not ask for it in line (the default of
/// sockets): the stream that is read is the same with us and without.
#[test]
fn an_urgent_octet_is_not_in_the_stream() {
    const HEAD: &str = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 4\r\n\r\n";
    let stage = Stage::new();
    for family in Family::BOTH {
        for intercepted in [true, false] {
            if !intercepted {
                stage.weir.bypass(&["add", &family.origin(0).to_string()]);
            }
            let mut wire = Wire::of(&stage.net.origin);
            let mut client = stage.client(family);
            client.send(HEAD.to_owned() + "ab").unwrap();
            let sent = SockRef::from(&client.stream).send_out_of_band(b"!");
            assert_eq!(sent.unwrap(), 1);
            client.send("cd").unwrap();
            let mut origin = stage.origin(family).accept();
            assert_eq!(origin.peer() != client.local, intercepted);
            let expected = HEAD.to_owned() + "abcd";
            let received = origin.exactly(expected.len()).unwrap();
            assert_eq!(received, expected.as_bytes());
            origin.send(OK).unwrap();
            assert_eq!(client.exactly(OK.len()).unwrap(), OK.as_bytes());
            let from_client = |it: &&Segment| it.from.ip() == family.client();
            let seen = wire.so_far();
            let urgent = seen
                .iter()
                .filter(from_client)
                .any(|it| it.flags & URG != 0);
            assert_eq!(urgent, !intercepted, "on the origin's leg");
        }
    }
}

/// A client that takes nothing closes its window. What it has not taken waits, and it is asked
/// for room by us; the rest comes when there is some.
#[test]
fn a_closed_window_opens_again() {
    const LENGTH: usize = 4 << 20;
    let stage = Stage::new();
    for family in Family::BOTH {
        let mut wire = Wire::of(&stage.net.client);
        let mut client = stage.client_with_buffer(family, Some(4096));
        client.send(weir_tests::GET).unwrap();
        let mut origin = stage.accept(&client);
        origin.through(b"\r\n\r\n").unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        origin.send(&head).unwrap();
        let sender = thread::spawn(move || origin.send_pattern(LENGTH).unwrap());
        let closed = |it: &Segment| it.from == client.local && it.is(ACK) && it.window == 0;
        wire.next("a closed window", closed);
        // It has said so, and says so again to a probe.
        wire.next("an answer to a probe", closed);
        assert_eq!(client.exactly(head.len()).unwrap(), head.as_bytes());
        let received = client.checksum(LENGTH).unwrap();
        assert_eq!(received, sender.join().unwrap());
    }
}

#[test]
fn keepalive_probes_are_answered_here() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, weir_tests::GET);
        origin.through(b"\r\n\r\n").unwrap();
        origin.send(OK).unwrap();
        client.exactly(OK.len()).unwrap();
        let mut wires = [&stage.net.client, &stage.net.origin].map(Wire::of);
        let second = Duration::from_secs(1);
        let often = TcpKeepalive::new().with_time(second).with_interval(second);
        SockRef::from(&client.stream)
            .set_tcp_keepalive(&often)
            .unwrap();
        let [near, far] = &mut wires;
        for _ in 0..2 {
            let probe = near.next("a probe", |it| it.from == client.local && it.is(ACK));
            let answer = near.next("its answer", |it| it.to == client.local && it.is(ACK));
            assert_eq!(answer.acknowledgment, probe.sequence.wrapping_add(1));
        }
        let passed = far.so_far();
        assert!(
            passed.iter().all(|it| it.from != origin.peer()),
            "{passed:?}"
        );
    }
}

/// The client gives up while its origin is being connected: so do we.
#[test]
fn a_reset_ends_a_connect_that_is_under_way() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        let silent = "table inet silent {
            chain prerouting {
                type filter hook prerouting priority raw;
                tcp dport 80 drop
            }
        }";
        net.origin.nft(silent).unwrap();
    });
    for (family, count) in Family::BOTH.into_iter().zip(1..) {
        let mut wire = Wire::of(&world.net.origin);
        let mut client = world.connect(family);
        client.send(weir_tests::GET).unwrap();
        let syn = wire.next("our SYN", |it| {
            it.is(SYN) && it.from.ip() == family.client()
        });
        client.reset();
        until(SOON, "the end of the connection", || {
            world.weir.outcomes("client-closed") == count
        });
        let mut command = world.net.router.command("ss");
        let to = syn.from.to_string();
        let sockets = command.args(["-Htn", "src", &to]).output().unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&sockets), "", "{syn:?}");
    }
}

/// A reset that no connection has does nothing.
#[test]
fn resets_of_strangers_pass() {
    let world = World::new();
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        assert!(connection.echo("/").unwrap().intercepted());
        let mut wire = Wire::of(&world.net.origin);
        let from = (family.client(), 40_000).into();
        let stranger = Segment::new(from, family.http(), RST);
        weir_tests::inject(&world.net.client, &stranger);
        wire.next("it at the origin", |it| it.from == from && it.is(RST));
        assert!(connection.echo("/").unwrap().intercepted());
    }
    assert_eq!(world.weir.packets("asymmetric-return"), 0);
}
