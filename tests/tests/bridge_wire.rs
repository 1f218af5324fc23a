//! What is on the wire to both sides of a bridge, and VLANs.

use std::{io::Write as _, time::Duration};

use proxy_userspace::sys::tun;
use weir_tests::{
    BridgeBox, Capture, Family, LAN, Layout, Network, Origin, Weir, connect, get, mac, network,
    ping, until,
};

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

fn daemon(net: &Network, bridge: &BridgeBox) -> (Origin, Weir) {
    let origin = Origin::start(&net.origin).unwrap();
    let weir = Weir::start(&bridge.inside, &BridgeBox::options(""));
    (origin, weir)
}

#[test]
fn neither_side_sees_an_address_of_ours() {
    let net = network(&Layout::default());
    let bridge = BridgeBox::between(&net);
    let captures = [
        Capture::on(&net.client, "eth0"),
        Capture::on(&net.router, LAN),
    ];
    let ends = [mac(&net.client, "eth0"), mac(&net.router, LAN)];
    let (_origin, weir) = daemon(&net, &bridge);
    for family in Family::BOTH {
        let mut connection = connect(&net.client, (family.client(), 0), family.http());
        assert!(connection.echo("/").unwrap().intercepted());
        connection.download(MIB).unwrap();
        connection.upload(MIB).unwrap();
    }
    drop(weir);
    for capture in captures {
        let frames = capture.end();
        assert!(frames.len() > 50, "{}", frames.len());
        for frame in frames {
            let (to, from) = (&frame[..6], &frame[6..12]);
            // Groups are IPv6's neighbour discovery, and the bridge's own reports to them.
            if to[0] & 1 == 0 {
                assert!(ends.iter().any(|end| end == to), "to {to:02x?}");
                assert!(ends.iter().any(|end| end == from), "from {from:02x?}");
            }
        }
    }
}

#[test]
fn tagged_frames_keep_their_tag() {
    let net = network(&Layout::default());
    let bridge = BridgeBox::tagged(&net, 7);
    let captures = ["p1", "p2"].map(|port| Capture::on(&bridge.inside, port));
    let (_origin, weir) = daemon(&net, &bridge);
    for family in Family::BOTH {
        let mut connection = connect(&net.client, (family.client(), 0), family.http());
        assert!(connection.echo("/").unwrap().intercepted(), "{family:?}");
        connection.download(4 * MIB).unwrap();
        assert!(connection.upload(4 * MIB).unwrap().intercepted());
        let other = (family.origin(0), 8080);
        assert!(get(&net.client, (family.client(), 0), other).direct());
        ping(&net.client, family.client(), family.origin(0)).unwrap();
    }
    assert_eq!(weir.packets("no-path"), 0);
    // And without a daemon.
    drop(weir);
    for family in Family::BOTH {
        assert!(get(&net.client, (family.client(), 0), family.http()).direct());
    }
    drop(captures);
}

/// A host of another VLAN behind the LAN port, played frame by frame, with the address of a client
/// that is being intercepted, and the origin that it talks to.
#[test]
fn the_same_addresses_in_another_vlan_are_left_alone() {
    let net = network(&Layout::default());
    let bridge = BridgeBox::tagged(&net, 7);
    let options = weir_tests::Options {
        lan: vec!["p1".to_owned(), "other".to_owned()],
        ..BridgeBox::options("")
    };
    let other = bridge
        .inside
        .run(|| tun::open_tap("other"))
        .unwrap()
        .unwrap();
    for command in ["link set other master br0", "link set other up"] {
        bridge
            .inside
            .ip(&command.split(' ').collect::<Vec<_>>())
            .unwrap();
    }
    let _origin = Origin::start(&net.origin).unwrap();
    let weir = Weir::start(&bridge.inside, &options);
    let mut connection = connect(&net.client, (Family::V4.client(), 40000), Family::V4.http());
    assert!(connection.echo("/").unwrap().intercepted());

    let wire = Capture::on(&bridge.inside, "p2");
    let router = mac(&net.router, LAN);
    let send = |vlans: &[u16], flags: u8, port: u16| {
        (&other)
            .write_all(&frame(router, vlans, flags, port))
            .unwrap();
    };
    // A SYN, a segment with the four-tuple of the connection, and one with two tags.
    send(&[8], 0x02, 40001);
    send(&[8], 0x10, 40000);
    send(&[8, 9], 0x02, 40002);
    until(SOON, "the verdict on them", || {
        weir.flows("vlan-conflict") == 1 && weir.packets("double-tagged") == 1
    });
    // None of them went up: all are on the wire behind the bridge, as they were.
    let ours = |frame: &Vec<u8>| frame[6..12] == OTHER;
    until(SOON, "the frames behind the bridge", || {
        wire.so_far().iter().filter(|frame| ours(frame)).count() == 3
    });
    // The connection is as it was.
    assert!(connection.echo("/").unwrap().intercepted());
    assert_eq!(weir.flows("intercepted"), 1);
}

/// The MAC address of the host that the test plays.
const OTHER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x77];

/// A TCP segment from the client's address to the origin's port 80.
fn frame(to: [u8; 6], vlans: &[u16], flags: u8, port: u16) -> Vec<u8> {
    let mut frame = [&to[..], &OTHER[..]].concat();
    for vlan in vlans {
        frame.extend_from_slice(&[0x81, 0]);
        frame.extend_from_slice(&vlan.to_be_bytes());
    }
    frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    let (std::net::IpAddr::V4(client), std::net::IpAddr::V4(origin)) =
        (Family::V4.client(), Family::V4.origin(0))
    else {
        unreachable!("IPv4");
    };
    frame.extend_from_slice(&client.octets());
    frame.extend_from_slice(&origin.octets());
    frame.extend_from_slice(&port.to_be_bytes());
    frame.extend_from_slice(&80u16.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    frame
}
