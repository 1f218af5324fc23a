//! What TCP connections negotiate is negotiated for each leg: whatever one side cannot do, the
//! other need not go without.

use weir_tests::{
    ACK, CWR, ECE, Family, Layout, Namespace, Network, Options, SYN, Segment, Wire, World, inject,
};

/// SACK, timestamps, window scaling.
const NEGOTIATED: [u8; 3] = [
    Segment::SACK_PERMITTED,
    Segment::TIMESTAMPS,
    Segment::WINDOW_SCALE,
];

#[test]
fn a_client_without_options_does_not_keep_the_origin_from_them() {
    let world = world(|net| plain(&net.client));
    for family in Family::BOTH {
        let [client, origin] = handshakes(&world, family);
        assert_eq!(client.map(negotiated), [[false; 3]; 2]);
        assert_eq!(origin.map(negotiated), [[true; 3]; 2]);
    }
}

#[test]
fn an_origin_without_options_does_not_keep_the_client_from_them() {
    let world = world(|net| plain(&net.origin));
    for family in Family::BOTH {
        let [client, [syn, answer]] = handshakes(&world, family);
        assert_eq!(client.map(negotiated), [[true; 3]; 2]);
        assert_eq!([syn, answer].map(negotiated), [[true; 3], [false; 3]]);
    }
}

#[test]
fn each_leg_has_the_segment_size_of_its_links() {
    let world = world(|net| {
        net.client
            .ip(&["link", "set", "eth0", "mtu", "1300"])
            .unwrap();
        for (namespace, name) in [(&net.router, "wan0"), (&net.origin, "eth0")] {
            namespace.ip(&["link", "set", name, "mtu", "1400"]).unwrap();
        }
    });
    for (family, headers) in [(Family::V4, 40), (Family::V6, 60)] {
        let [client, origin] = handshakes(&world, family);
        let sizes = client.map(|segment| segment.mss().unwrap() + headers);
        assert_eq!(sizes, [1300, 1500]);
        let sizes = origin.map(|segment| segment.mss().unwrap() + headers);
        assert_eq!(sizes, [1400, 1400]);
    }
}

#[test]
fn ecn_is_each_legs_own() {
    // Who asks for it: client, router; whether the origin agrees. Then: whether both agreed, on
    // either leg.
    for ([client, router, origin], agreed) in [
        (["1", "2", "2"], [true, false]),
        (["0", "1", "2"], [false, true]),
        (["1", "1", "0"], [true, false]),
        (["1", "1", "2"], [true, true]),
    ] {
        let world = world(|net| {
            for (namespace, value) in [
                (&net.client, client),
                (&net.router, router),
                (&net.origin, origin),
            ] {
                namespace.sysctl("net.ipv4.tcp_ecn", value).unwrap();
            }
        });
        for family in Family::BOTH {
            let legs = handshakes(&world, family);
            let asks = |syn: &Segment| syn.flags & (ECE | CWR) == ECE | CWR;
            let agrees = |answer: &Segment| answer.flags & (ECE | CWR) == ECE;
            let found = legs
                .each_ref()
                .map(|[syn, answer]| asks(syn) && agrees(answer));
            assert_eq!(found, agreed, "{client} {router} {origin} {family:?}");
            let asked = legs.each_ref().map(|[syn, _]| asks(syn));
            assert_eq!(asked, [client == "1", router == "1"], "{family:?}");
        }
    }
}

#[test]
fn a_header_full_of_unknown_options_is_answered() {
    let world = world(|_| {});
    for family in Family::BOTH {
        let mut wire = Wire::of(&world.net.client);
        let mut syn = Segment {
            sequence: 0x7fff_fff0,
            options: vec![(Segment::EXPERIMENT, vec![0xa5; 38])],
            // Which counts, if at all, as the beginning of the stream.
            data: b"GET".to_vec(),
            ..Segment::new((family.client(), 40_000).into(), family.http(), SYN)
        };
        inject(&world.net.client, &syn);
        let answer = wire.next("an answer", |it| it.from == syn.to && it.to == syn.from);
        assert!(answer.is(SYN | ACK), "{answer:?}");
        assert_eq!(answer.acknowledgment, syn.sequence + 1);
        // And as many as there are, of kinds that exist.
        syn.from.set_port(40_001);
        syn.data.clear();
        syn.options = vec![
            (Segment::MSS, 1000u16.to_be_bytes().to_vec()),
            (Segment::SACK_PERMITTED, vec![]),
            (Segment::TIMESTAMPS, vec![0, 0, 0, 9, 0, 0, 0, 0]),
            (Segment::WINDOW_SCALE, vec![7]),
            (Segment::MPTCP, vec![0x01, 0x81, 1, 2, 3, 4, 5, 6, 7, 8]),
            (Segment::EXPERIMENT, vec![1, 2, 3, 4, 5]),
        ];
        inject(&world.net.client, &syn);
        let answer = wire.next("an answer", |it| it.from == syn.to && it.to == syn.from);
        assert!(answer.is(SYN | ACK), "{answer:?}");
        assert_eq!(negotiated(answer.clone()), [true; 3]);
        assert_eq!(
            answer.option(Segment::TIMESTAMPS).unwrap()[4..],
            [0, 0, 0, 9]
        );
        assert_eq!(answer.option(Segment::MPTCP), None);
    }
    assert_eq!(world.weir.flows("intercepted"), 4);
}

fn world(prepare: impl FnOnce(&Network)) -> World {
    World::with(&Layout::default(), &Options::default(), prepare)
}

/// Speaks no TCP option but the segment size.
fn plain(namespace: &Namespace) {
    for option in ["sack", "timestamps", "window_scaling"] {
        let key = format!("net.ipv4.tcp_{option}");
        namespace.sysctl(&key, "0").unwrap();
    }
}

/// SYN and answer on the client's leg and on the origin's, of a connection on which a mebibyte goes
/// each way.
#[track_caller]
fn handshakes(world: &World, family: Family) -> [[Segment; 2]; 2] {
    let wires = [&world.net.client, &world.net.origin].map(Wire::of);
    let mut connection = world.connect(family);
    assert!(connection.upload(1 << 20).unwrap().intercepted());
    connection.download(1 << 20).unwrap();
    wires.map(|mut wire| {
        let to = family.http();
        let syn = wire.next("a SYN", |it| it.is(SYN) && it.to == to);
        let answer = wire.next("its answer", |it| it.is(SYN | ACK) && it.from == to);
        [syn, answer]
    })
}

fn negotiated(segment: Segment) -> [bool; 3] {
    NEGOTIATED.map(|kind| segment.option(kind).is_some())
}
