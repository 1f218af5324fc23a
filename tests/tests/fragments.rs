//! Segments that come in fragments: those of a flow that is ours are ours, all of them, and those
//! of others are nobody's business.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use weir_tests::{
    ANSWER, BridgeBox, Cut, Family, Hop, LAN, Layout, Namespace, Network, Options, Order, Origin,
    Side, TunLink, Weir, World, connect, network, until,
};

const MIB: usize = 1 << 20;
const MUCH: usize = 20 * MIB;
const EACH: usize = 4 * MIB;

/// Conntrack, which puts datagrams together before routing.
const CONNTRACK: &str = "table inet t {
    chain c { type filter hook prerouting priority 0; ct state invalid counter; }
}";

fn hop(side: Side) -> Layout {
    let hop = Some(Hop { side, mtu: 1500 });
    Layout {
        hop,
        ..Layout::default()
    }
}

/// A router whose packets from one side are cut, in links without a header or in frames.
fn cut_in(framed: bool, cut: (Cut, Side), prepare: impl FnOnce(&Network)) -> (World, TunLink) {
    configured("", framed, cut, prepare)
}

fn configured(
    config: &str,
    framed: bool,
    (cut, side): (Cut, Side),
    prepare: impl FnOnce(&Network),
) -> (World, TunLink) {
    let layout = if framed { hop(side) } else { Layout::default() };
    let mut link = None;
    let world = World::with(&layout, &Options::config(config), |net| {
        link = Some(if framed {
            cut.within(net, side)
        } else {
            cut.on(net, side)
        });
        prepare(net);
    });
    (world, link.unwrap())
}

/// Large bodies in both directions, through us.
#[track_caller]
fn whole(world: &World, family: Family) {
    let before = world.weir.flows("intercepted");
    let mut connection = world.connect(family);
    assert!(connection.upload(EACH).unwrap().intercepted());
    connection.download(EACH).unwrap();
    assert_eq!(world.weir.flows("intercepted"), before + 1);
}

/// Nothing has been missed; how many fragments were steered.
#[track_caller]
fn steered(world: &World) -> u64 {
    for event in ["fragment-overtaken", "not-first-fragment", "tiny-fragment"] {
        assert_eq!(world.weir.packets(event), 0, "{event}");
    }
    world.weir.packets("fragment-steered")
}

/// What the kernel of a middle hop makes of segments that may be fragmented.
#[test]
fn a_hop_with_a_small_link_cuts_20_mib_each_way() {
    for side in [Side::Client, Side::Origin] {
        let layout = Layout {
            hop: Some(Hop { side, mtu: 600 }),
            ..Layout::default()
        };
        let net = network(&layout);
        for end in [&net.client, &net.origin] {
            end.sysctl("net.ipv4.ip_no_pmtu_disc", "1").unwrap();
        }
        // Behind that: a listener has what was said when it was made.
        let origin = Origin::start(&net.origin).unwrap();
        let weir = Weir::start(&net.router, &Options::default());
        let world = World { weir, origin, net };
        let mut connection = world.connect(Family::V4);
        match side {
            Side::Client => assert!(connection.upload(MUCH).unwrap().intercepted()),
            Side::Origin => drop(connection.download(MUCH).unwrap()),
        }
        let fragments = steered(&world);
        assert!(fragments > 10_000, "{side:?}: {fragments}");
    }
}

#[test]
fn in_order_from_either_side_in_frames_and_without() {
    for framed in [true, false] {
        for side in [Side::Client, Side::Origin] {
            let (world, _link) = cut_in(framed, (Cut::new(Order::Forward), side), |_| {});
            let mut before = 0;
            for family in Family::BOTH {
                whole(&world, family);
                let fragments = steered(&world);
                let of = format!("{family:?} {side:?}, frames: {framed}");
                assert!(fragments > before + 2000, "{of}: {before}, {fragments}");
                before = fragments;
            }
        }
    }
}

#[test]
fn behind_further_extension_headers() {
    let cut = Cut {
        extended: true,
        ..Cut::new(Order::Forward)
    };
    let (world, _link) = cut_in(true, (cut, Side::Client), |_| {});
    whole(&world, Family::V6);
    assert!(steered(&world) > 2000);
}

/// The answers of origins come in for the router, and are translated back behind us.
#[test]
fn answers_to_translated_connections() {
    let (world, _link) = cut_in(false, (Cut::new(Order::Forward), Side::Origin), |net| {
        for family in ["ip", "ip6"] {
            let nat = format!(
                "table {family} nat {{
                     chain c {{
                         type nat hook postrouting priority srcnat;
                         oifname \"wan0\" masquerade
                     }}
                 }}"
            );
            net.router.nft(&nat).unwrap();
        }
    });
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        assert_eq!(
            connection.echo("/").unwrap().peer().ip(),
            family.router_wan()
        );
        connection.download(EACH).unwrap();
    }
    assert!(steered(&world) > 4000);
}

#[test]
fn with_conntrack_in_any_order() {
    for order in [Order::Forward, Order::Backward] {
        let (world, _link) = cut_in(true, (Cut::new(order), Side::Client), |net| {
            net.router.nft(CONNTRACK).unwrap();
        });
        for family in Family::BOTH {
            whole(&world, family);
        }
        assert_eq!(
            world.weir.packets("fragment-overtaken") > 0,
            order == Order::Backward
        );
    }
}

/// The first fragment last, and nobody who puts them together before they are routed: what came
/// before has gone on to the origin. It is counted, and all that comes whole still works.
#[test]
fn out_of_order_without_anybody_who_defragments() {
    let (world, _link) = cut_in(true, (Cut::new(Order::Backward), Side::Client), |_| {});
    for family in Family::BOTH {
        let before = world.weir.packets("fragment-overtaken");
        let mut torn = world.connect(family);
        torn.send("POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 4000\r\n\r\n")
            .unwrap();
        torn.send([0x55; 4000]).unwrap();
        until(ANSWER, "a datagram that is overtaken", || {
            world.weir.packets("fragment-overtaken") > before
        });
        assert!(world.get(family).intercepted());
        torn.reset();
    }
    assert!(world.weir.packets("not-first-fragment") >= 2);
    assert_eq!(world.weir.packets("fragment-steered"), 0);
}

const DEFRAGMENT: &str = "[intercept]\ndefragment = true\n";

#[test]
fn out_of_order_where_they_are_put_together() {
    for framed in [true, false] {
        for side in [Side::Client, Side::Origin] {
            let cut = (Cut::new(Order::Backward), side);
            let (mut world, _link) = configured(DEFRAGMENT, framed, cut, |_| {});
            for family in Family::BOTH {
                whole(&world, family);
                if side == Side::Client {
                    direct(&world, family);
                }
            }
            assert!(world.weir.packets("fragment-overtaken") > 2000);
            assert!(are_put_together(&world));
            world.weir.stop();
            gone(&world);
        }
    }
}

#[test]
fn putting_together_begins_and_ends_with_a_reload() {
    let (mut world, _link) = cut_in(true, (Cut::new(Order::Backward), Side::Client), |_| {});
    assert!(!are_put_together(&world));
    for _ in 0..2 {
        world.weir.reload(DEFRAGMENT);
        assert!(are_put_together(&world));
        for family in Family::BOTH {
            whole(&world, family);
        }
        world.weir.reload("");
        assert!(!are_put_together(&world));
    }
    world.weir.reload(DEFRAGMENT);
    world.weir.kill9();
    gone(&world);
}

/// It ends with the process, and there is nothing to undo.
#[track_caller]
fn gone(world: &World) {
    until(ANSWER, "an end of putting together", || {
        !are_put_together(world)
    });
}

/// Whether the router puts somebody's datagrams together, which it only forwards.
fn are_put_together(world: &World) -> bool {
    let before = taken_for_a_whole(&world.net.router);
    udp(world, Family::V4.client(), Family::V4.origin(0));
    taken_for_a_whole(&world.net.router) > before
}

/// How many fragments of IPv4 a namespace has tried to put together (`ReasmReqds`).
fn taken_for_a_whole(namespace: &Namespace) -> u64 {
    let read = || std::fs::read_to_string("/proc/thread-self/net/snmp");
    let counters = namespace.run(read).unwrap().unwrap();
    let mut lines = counters.lines().filter(|line| line.starts_with("Ip:"));
    let [names, counts] = [lines.next().unwrap(), lines.next().unwrap()];
    let mut both = names.split(' ').zip(counts.split(' '));
    let found = both.find(|(name, _)| *name == "ReasmReqds");
    found.unwrap().1.parse().unwrap()
}

/// Where the router is a bridge, and the cable beyond it has a small MTU: what the origin sends
/// comes in fragments.
#[test]
fn across_a_bridge() {
    for tagged in [false, true] {
        let net = network(&Layout::default());
        net.origin.sysctl("net.ipv4.ip_no_pmtu_disc", "1").unwrap();
        let _origin = Origin::start(&net.origin).unwrap();
        let bridge = if tagged {
            BridgeBox::tagged(&net, 7)
        } else {
            BridgeBox::between(&net)
        };
        net.router.ip(&["link", "set", LAN, "mtu", "600"]).unwrap();
        let weir = Weir::start(&bridge.inside, &BridgeBox::options(""));
        let to = Family::V4.http();
        let mut connection = connect(&net.client, (Family::V4.client(), 0), to);
        assert!(connection.echo("/").unwrap().intercepted());
        connection.download(EACH).unwrap();
        assert!(weir.packets("fragment-steered") > 2000, "tagged: {tagged}");
        assert_eq!(weir.packets("fragment-overtaken"), 0);
        // A direct one's.
        let to = SocketAddr::new(Family::V4.origin(0), 8080);
        let before = weir.packets("fragment-steered");
        let mut connection = connect(&net.client, (Family::V4.client(), 0), to);
        connection.download(EACH).unwrap();
        assert_eq!(weir.packets("fragment-steered"), before);
    }
}

#[test]
fn those_of_others_go_on_as_they_came() {
    for order in [Order::Forward, Order::Backward] {
        for prepare in [
            |_: &Network| {},
            |net: &Network| {
                net.router.nft(CONNTRACK).unwrap();
            },
        ] {
            let (world, _link) = cut_in(true, (Cut::new(order), Side::Client), prepare);
            for family in Family::BOTH {
                direct(&world, family);
            }
            assert!(world.weir.packets("not-first-fragment") > 2000);
            for event in ["fragment-steered", "fragment-overtaken", "tiny-fragment"] {
                assert_eq!(world.weir.packets(event), 0, "{order:?}: {event}");
            }
        }
    }
}

/// Another port, a bypassed address, and UDP.
fn direct(world: &World, family: Family) {
    let bypassed = SocketAddr::new(family.origin(1), 80);
    let prefix = format!("{}/{}", family.origin(1), family.host_length());
    world.weir.bypass(&["add", &prefix]);
    for to in [SocketAddr::new(family.origin(0), 8080), bypassed] {
        let mut connection = connect(&world.net.client, (family.client(), 0), to);
        assert!(connection.upload(MIB).unwrap().direct(), "{to}");
    }
    udp(world, family.client(), family.origin(0));
}

/// A datagram that its sender cuts.
fn udp(world: &World, from: IpAddr, to: IpAddr) {
    let server = world.net.origin.run(|| UdpSocket::bind((to, 80))).unwrap();
    let server = server.unwrap();
    server.set_read_timeout(Some(ANSWER)).unwrap();
    let sent = [0x42; 4000];
    let client = world.net.client.run(|| UdpSocket::bind((from, 0))).unwrap();
    client.unwrap().send_to(&sent, (to, 80)).unwrap();
    let mut received = [0; 8192];
    assert_eq!(server.recv(&mut received).unwrap(), sent.len());
    assert_eq!(received[..sent.len()], sent);
}

/// Between the same hosts, with identifications that come round: a datagram of ours leaves
/// nothing behind that another flow's could be taken for.
#[test]
fn beside_a_flow_of_ours_between_the_same_hosts() {
    let (world, _link) = cut_in(true, (Cut::new(Order::Forward), Side::Client), |_| {});
    for family in Family::BOTH {
        let mut ours = world.connect(family);
        let to = SocketAddr::new(family.origin(0), 8080);
        let mut direct = connect(&world.net.client, (family.client(), 0), to);
        for _ in 0..8 {
            assert!(ours.upload(MIB).unwrap().intercepted());
            assert!(direct.upload(MIB).unwrap().direct());
        }
    }
    assert_eq!(world.weir.packets("fragment-overtaken"), 0);
}

/// Without the flags in the first fragment nothing is known of it.
#[test]
fn tiny_fragments_are_counted_and_untouched() {
    let cut = Cut {
        first: 8,
        ..Cut::new(Order::Forward)
    };
    let (world, _link) = cut_in(true, (cut, Side::Client), |_| {});
    let direct = |family: Family| {
        let to = SocketAddr::new(family.origin(0), 8080);
        connect(&world.net.client, (family.client(), 0), to)
    };
    assert!(direct(Family::V4).upload(MIB).unwrap().direct());
    assert!(world.weir.packets("tiny-fragment") > 500);
    // Whoever gets those of IPv6 drops them, and says so (RFC 8200 §4.5).
    let before = world.weir.packets("tiny-fragment");
    let mut refused = direct(Family::V6);
    refused.send([0x55; 4000]).unwrap();
    until(ANSWER, "what is left of IPv6 at the origin", || {
        arrived_in_fragments(&world.net.origin) > 0
    });
    assert!(world.weir.packets("tiny-fragment") > before);
    refused.reset();
    assert_eq!(world.weir.packets("fragment-steered"), 0);
}

/// How many fragments of IPv6 a namespace has got.
fn arrived_in_fragments(namespace: &Namespace) -> u64 {
    let read = || std::fs::read_to_string("/proc/thread-self/net/snmp6");
    let counters = namespace.run(read).unwrap().unwrap();
    let count = counters
        .lines()
        .find_map(|line| line.strip_prefix("Ip6ReasmReqds"));
    count.unwrap().trim().parse().unwrap()
}
