//! Interfaces that are ports of a bridge: what is ours goes up, everything else stays bridged, and
//! neither side sees that there is anything but a cable.

use std::time::Duration;

use weir_tests::{
    BridgeBox, Family, Layout, Network, Origin, Plan, Weir, connect, get, network, ping, repeat,
    until,
};

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

/// Dropped in the order of its fields.
struct World {
    weir: Weir,
    _origin: Origin,
    bridge: BridgeBox,
    net: Network,
}

fn world(config: &str, prepare: impl FnOnce(&BridgeBox, &Network)) -> World {
    on(BridgeBox::between, config, prepare)
}

fn on(
    cable: fn(&Network) -> BridgeBox,
    config: &str,
    prepare: impl FnOnce(&BridgeBox, &Network),
) -> World {
    let net = network(&Layout::default());
    let origin = Origin::start(&net.origin).unwrap();
    let bridge = cable(&net);
    prepare(&bridge, &net);
    let weir = Weir::start(&bridge.inside, &BridgeBox::options(config));
    World {
        weir,
        _origin: origin,
        bridge,
        net,
    }
}

/// Everything that should work does, in both families.
#[track_caller]
fn works(world: &World) {
    for family in Family::BOTH {
        let mut connection = connect(&world.net.client, (family.client(), 0), family.http());
        assert!(connection.echo("/").unwrap().intercepted(), "{family:?}");
        connection.download(4 * MIB).unwrap();
        assert!(connection.upload(4 * MIB).unwrap().intercepted());
    }
}

#[test]
fn a_bridge_without_any_address() {
    let world = world("", |_, _| {});
    works(&world);
    for family in Family::BOTH {
        let other = (family.origin(0), 8080);
        let echo = get(&world.net.client, (family.client(), 0), other);
        assert!(echo.direct());
        ping(&world.net.client, family.client(), family.origin(0)).unwrap();
    }
    assert_eq!(world.weir.packets("no-path"), 0);
}

#[test]
fn many_connections() {
    let world = world("", |_, _| {});
    let plan = |family| Plan::new(family, 46000..46300);
    for attempt in repeat(&world.net.client, &Family::BOTH.map(plan)) {
        let echo = attempt.outcome.as_ref();
        assert!(echo.is_ok_and(|echo| echo.intercepted()), "{attempt:?}");
    }
}

#[test]
fn a_daemon_that_dies_leaves_a_bridge() {
    let mut world = world("", |_, _| {});
    works(&world);
    world.weir.kill9();
    let plan = |family| Plan::new(family, 46000..46300);
    for attempt in repeat(&world.net.client, &Family::BOTH.map(plan)) {
        let echo = attempt.outcome.as_ref();
        assert!(echo.is_ok_and(|echo| echo.direct()), "{attempt:?}");
    }
    world.weir.start_again();
    until(SOON, "interception again", || {
        let http = Family::V4.http();
        get(&world.net.client, (Family::V4.client(), 0), http).intercepted()
    });
    works(&world);
    drop(world.bridge);
}
