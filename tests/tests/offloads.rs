//! Packets of up to 64 KiB, put together by segmentation and receive offload: they cross the hooks
//! whole, both ways, and the bodies arrive as they were sent.

use proxy_userspace::sys::{bpf::Hook, ethtool};
use weir_tests::{
    At, Family, LAN, Layout, Namespace, Neighbour, Network, Options, TunLink, WAN, World,
};

const BODY: usize = 100 << 20;

/// Who counts large packets on both hooks.
struct Counters {
    lan: Neighbour,
    wan: Neighbour,
}

impl Counters {
    fn on(net: &Network) -> Self {
        let on = |interface| Neighbour::on_tcx(&net.router, interface, Hook::Ingress);
        Self {
            lan: on(LAN),
            wan: on(WAN),
        }
    }

    fn large(&self) -> [u64; 2] {
        [self.lan.large(), self.wan.large()]
    }
}

/// Bodies both ways, intercepted and then direct, which the two ends compare octet by octet.
#[track_caller]
fn whole(world: &World, counters: &Counters) {
    for family in Family::BOTH {
        for direct in [false, true] {
            if direct {
                let prefix = format!("{}/{}", family.origin(0), family.host_length());
                world.weir.bypass(&["add", &prefix]);
            }
            let before = counters.large();
            let mut connection = world.connect(family);
            let echo = connection.upload(BODY).unwrap();
            assert_eq!((echo.direct(), echo.intercepted()), (direct, !direct));
            let between = counters.large();
            connection.download(BODY).unwrap();
            let after = counters.large();
            let case = format!("{family:?} direct {direct}: {before:?} {between:?} {after:?}");
            // Were they all as large as they can be, there would be 1600.
            assert!(between[0] >= before[0] + 100, "up: {case}");
            assert!(after[1] >= between[1] + 100, "down: {case}");
        }
    }
    assert_eq!(world.weir.packets("malformed"), 0);
}

#[track_caller]
fn set(namespace: &Namespace, interface: &str, feature: &str, on: bool) {
    let done = namespace.run(|| {
        ethtool::set_feature(interface, feature, on)?;
        ethtool::feature(interface, feature)
    });
    let now = done
        .unwrap()
        .unwrap_or_else(|error| panic!("{interface} {feature}: {error}"));
    assert_eq!(now, Some(on), "{interface} {feature}");
}

#[test]
fn segmentation_offload_on_ethernet() {
    let mut counters = None;
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        counters = Some(Counters::on(net));
    });
    whole(&world, &counters.unwrap());
}

#[test]
fn receive_offload_on_ethernet() {
    let mut counters = None;
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        // Neither end sends large packets: what is large was put together on arrival.
        for namespace in [&net.client, &net.origin] {
            for feature in ["tx-tcp-segmentation", "tx-tcp6-segmentation"] {
                set(namespace, "eth0", feature, false);
            }
        }
        for interface in [LAN, WAN] {
            set(&net.router, interface, "rx-gro", true);
        }
        counters = Some(Counters::on(net));
    });
    let counters = counters.unwrap();
    for family in Family::BOTH {
        let before = counters.large();
        let mut connection = world.connect(family);
        assert!(connection.upload(BODY).unwrap().intercepted());
        connection.download(BODY).unwrap();
        let after = counters.large();
        // How much comes in at once depends on how busy the machine is.
        let case = format!("{family:?}: {before:?} {after:?}");
        assert!(after[0] > before[0] && after[1] > before[1], "{case}");
    }
}

#[test]
fn segmentation_offload_without_a_link_layer_header() {
    let (mut counters, mut links) = (None, Vec::new());
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        for (other, interface) in [(&net.client, LAN), (&net.origin, WAN)] {
            let pair = [At(other, "eth0"), At(&net.router, interface)];
            links.push(TunLink::offloading(pair));
        }
        counters = Some(Counters::on(net));
    });
    whole(&world, &counters.unwrap());
}
