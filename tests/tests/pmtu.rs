//! Links of a small MTU that only ICMP tells of, on either side of the router.

use weir_tests::{Family, Hop, Layout, Options, Side, World};

const MIB: usize = 1 << 20;

fn through(side: Side, mtu: u32, families: &[Family]) {
    let layout = Layout {
        hop: Some(Hop { side, mtu }),
        ..Layout::default()
    };
    let world = World::with(&layout, &Options::default(), |_| {});
    for &family in families {
        // Each direction on a connection of its own, so that neither profits from the other's
        // discovery before the sender's route has it.
        let mut down = world.connect(family);
        down.download(MIB).unwrap();
        assert!(down.echo("/").unwrap().intercepted());
        let mut up = world.connect(family);
        assert!(up.upload(MIB).unwrap().intercepted());
        up.download(MIB).unwrap();
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
