//! Links of a small MTU that only ICMP tells of, on either side of the router.

use weir_tests::{Connection, Family, Hop, Layout, Options, Side, World};

const MIB: usize = 1 << 20;

/// Each direction in a network of its own: an end that has learned of the small link says so in
/// its next SYN, and then there is nothing left to discover.
fn through(side: Side, mtu: u32, families: &[Family]) {
    let layout = Layout {
        hop: Some(Hop { side, mtu }),
        ..Layout::default()
    };
    let down: fn(&mut Connection) = |connection| drop(connection.download(MIB).unwrap());
    let up: fn(&mut Connection) = |connection| drop(connection.upload(MIB).unwrap());
    for transfer in [down, up] {
        let world = World::with(&layout, &Options::default(), |_| {});
        for &family in families {
            let mut connection = world.connect(family);
            transfer(&mut connection);
            assert!(connection.echo("/").unwrap().intercepted());
        }
    }
}

#[test]
fn a_600_octet_link_on_the_clients_side() {
    through(Side::Client, 600, &[Family::V4]);
}

#[test]
fn a_600_octet_link_on_the_origins_side() {
    through(Side::Origin, 600, &[Family::V4]);
}

#[test]
fn a_1280_octet_link_on_the_clients_side() {
    through(Side::Client, 1280, &Family::BOTH);
}

#[test]
fn a_1280_octet_link_on_the_origins_side() {
    through(Side::Origin, 1280, &Family::BOTH);
}
