//! Answers of origins that come to the client by a way that does not pass Weir: found out by what
//! the client makes of them, ended at once, learned, or told of.
//!
//! ```text
//! cli eth0 ── lan0 rtr wan0 ── eth0 org
//! cli back0 ────────────────── back0 org     the origin's way back to the client
//! ```

use std::{io::ErrorKind, net::IpAddr, net::SocketAddr, time::Duration};

use weir_tests::{
    Dial, Doctor, Family, Layout, Namespace, Network, ORIGINS, Options, RST, SYN, Segment, Wire,
    World, dial, inject, until,
};

const SOON: Duration = Duration::from_secs(20);

/// Longer than any test takes: no connect times out, what ends one is something else.
const PATIENT: &str = "[limits]\nconnect_timeout = \"5m\"\n";

#[test]
fn a_destination_that_answers_around_is_learned() {
    let world = world("[bypass.learn]\nenabled = true\n", |_| {});
    for (family, lessons) in Family::BOTH.into_iter().zip(1..) {
        for _ in 0..3 {
            reset(&world, family, family.client(), 0);
        }
        let key = format!("{} src {} port 80", family.origin(0), family.client());
        learned(&world, lessons, &key);
        assert!(world.get(family).direct());
        // The answers of that one do come here.
        let second = SocketAddr::new(family.second_client(), 0);
        assert!(world.get_from(second, family.http()).intercepted());
    }
    assert_eq!(world.weir.outcomes("asymmetric-return"), 6);
    let doctor = Doctor::examine(&["--instance", &world.weir.instance]);
    let line = doctor.only("asymmetric-return");
    assert!(
        line.contains(" connections in the last minute were answered by a way"),
        "{line}"
    );
    assert!(world.weir.packets("asymmetric-return") >= 6);
    assert_eq!(world.weir.flows("no-return-path"), 0);
    assert_eq!(warnings(&world), "[]");
}

#[test]
fn a_client_to_which_everything_answers_around_is_learned_as_a_whole() {
    // One origin after another is silent, as the valve sees it.
    let config = "[bypass.learn]\nenabled = true\n[valve]\nenabled = false\n";
    let world = world(config, |_| {});
    for (family, lessons) in Family::BOTH.into_iter().zip(1..) {
        for number in 0..3 {
            reset(&world, family, family.client(), number);
        }
        learned(&world, lessons, &format!("any src {}", family.client()));
        for number in 0..ORIGINS {
            let to = SocketAddr::new(family.origin(number), 80);
            let from = |ip| SocketAddr::new(ip, 0);
            assert!(world.get_from(from(family.client()), to).direct());
            assert!(
                world
                    .get_from(from(family.second_client()), to)
                    .intercepted()
            );
        }
    }
}

#[test]
fn without_learning_it_is_told_of() {
    let world = world(PATIENT, |_| {});
    for family in Family::BOTH {
        let named = format!(
            "asymmetric return: what {} answers comes to {} by a way",
            family.http(),
            family.client()
        );
        for _ in 0..3 {
            assert!(!warnings(&world).contains(&named));
            reset(&world, family, family.client(), 0);
        }
        world.weir.says(&named);
        until(SOON, &named, || warnings(&world).contains(&named));
        // It is as the warning says.
        let src = family.client().to_string();
        let to = family.origin(0).to_string();
        world.weir.bypass(&["add", &to, "--src", &src]);
        assert!(world.get(family).direct());
    }
}

#[test]
fn a_dead_origin_is_none_of_this() {
    let config = "[limits]\nconnect_timeout = \"500ms\"\n[bypass.learn]\nenabled = true\n\
                  [valve]\nenabled = false\n";
    let world = world(config, |net| net.origin.nft(SILENT).unwrap());
    for family in Family::BOTH {
        for from in [family.client(), family.second_client()] {
            for number in 0..ORIGINS {
                let mut connection = connect(&world, from, family.origin(number));
                let answer = connection.get("/").unwrap();
                assert_eq!(answer.status, 504);
            }
        }
    }
    assert_eq!(world.weir.packets("asymmetric-return"), 0);
    assert_eq!(world.weir.outcomes("asymmetric-return"), 0);
    assert_eq!(world.weir.outcomes("origin-timeout"), 16);
}

#[test]
fn only_who_has_seen_the_answer_can_end_a_connect() {
    let world = world(PATIENT, |net| net.origin.nft(SILENT).unwrap());
    for (family, count) in Family::BOTH.into_iter().zip(1..) {
        let mut wire = Wire::of(&world.net.origin);
        let mut connection = connect(&world, family.client(), family.origin(0));
        connection
            .send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
        let syn = wire.next("the SYN to the origin", |segment| {
            segment.is(SYN) && segment.from.ip() == family.client()
        });
        let refusal = |sequence, flags| Segment {
            sequence,
            ..Segment::new(syn.from, syn.to, flags)
        };
        let right = syn.sequence.wrapping_add(1);
        let mut other = refusal(right, RST);
        other.from.set_port(if syn.from.port() == 10_000 {
            10_001
        } else {
            10_000
        });
        for wrong in [
            refusal(syn.sequence, RST),
            refusal(right.wrapping_add(1), RST),
            refusal(0, RST),
            refusal(right, RST | weir_tests::ACK),
            other,
        ] {
            inject(&world.net.client, &wrong);
            let is_wrong = |seen: &Segment| {
                (seen.from, seen.sequence, seen.flags) == (wrong.from, wrong.sequence, wrong.flags)
            };
            wire.next("what a client made up", is_wrong);
        }
        assert_eq!(world.weir.packets("asymmetric-return"), count - 1);
        assert_eq!(world.weir.outcomes("asymmetric-return"), count - 1);
        inject(&world.net.client, &refusal(right, RST));
        let error = connection.exactly(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(world.weir.packets("asymmetric-return"), count);
        until(SOON, "the end of the connection", || {
            world.weir.outcomes("asymmetric-return") == count
        });
    }
}

#[test]
fn a_restart_knows_what_was_learned() {
    let config = "[bypass.learn]\nenabled = true\nevents = 1\n[valve]\nenabled = false\n";
    let mut world = world(config, |_| {});
    for number in 0..3 {
        reset(&world, Family::V4, Family::V4.client(), number);
    }
    let key = format!("any src {}", Family::V4.client());
    learned(&world, 1, &key);
    world.weir.stop();
    world.weir.start_again();
    learned(&world, 1, &key);
    assert!(world.get(Family::V4).direct());
    // What an operator deletes is learned again.
    world.weir.bypass(&[
        "del",
        "--src",
        &Family::V4.client().to_string(),
        "--list",
        "learned",
    ]);
    learned_none(&world);
    reset(&world, Family::V4, Family::V4.client(), 0);
    let narrow = format!(
        "{} src {} port 80",
        Family::V4.origin(0),
        Family::V4.client()
    );
    learned(&world, 1, &narrow);
}

/// The origin takes no packet.
const SILENT: &str = "
table inet silent {
    chain prerouting {
        type filter hook prerouting priority raw;
        tcp dport 80 drop
    }
}
";

/// What the origin sends to the client's first addresses goes by a link of their own.
fn world(config: &str, prepare: impl FnOnce(&Network)) -> World {
    World::with(&Layout::default(), &Options::config(config), |net| {
        way_back(net);
        prepare(net);
    })
}

fn way_back(net: &Network) {
    let (client, origin) = (&net.client, &net.origin);
    let link = [
        "link", "add", "back0", "type", "veth", "peer", "name", "back0", "netns",
    ];
    let mut words = link.to_vec();
    words.push(client.name());
    origin.ip(&words).unwrap();
    for namespace in [client, origin] {
        namespace.ip(&["link", "set", "back0", "up"]).unwrap();
    }
    for name in ["all", "eth0", "back0"] {
        let key = format!("net/ipv4/conf/{name}/rp_filter");
        client.sysctl(&key, "0").unwrap();
    }
    let address = lladdr(client);
    for family in Family::BOTH {
        let prefix = format!("{}/{}", family.client(), family.host_length());
        let route = ["route", "add", &prefix, "dev", "back0"];
        origin.ip(&route).unwrap();
        let to = family.client().to_string();
        let neighbour = [
            "neighbour",
            "replace",
            &to,
            "lladdr",
            &address,
            "dev",
            "back0",
            "nud",
            "permanent",
        ];
        origin.ip(&neighbour).unwrap();
    }
}

/// Of its end of the way back.
fn lladdr(namespace: &Namespace) -> String {
    let link = namespace.ip(&["-o", "link", "show", "back0"]).unwrap();
    let address = link.split("link/ether ").nth(1);
    let address = address.and_then(|rest| rest.split_whitespace().next());
    address.unwrap_or_else(|| panic!("{link}")).to_owned()
}

fn connect(world: &World, from: IpAddr, to: IpAddr) -> weir_tests::Connection {
    weir_tests::connect(&world.net.client, (from, 0), (to, 80))
}

/// A connection whose origin's answer goes around Weir: the client is reset.
#[track_caller]
fn reset(world: &World, family: Family, from: IpAddr, number: u8) {
    let way = Dial::new((from, 0), (family.origin(number), 80));
    let mut connection = world.net.client.run(|| dial(&way)).unwrap().unwrap();
    let error = connection.get("/").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

fn warnings(world: &World) -> String {
    world.weir.status()["warnings"].to_string()
}

/// So many lessons, this one among them.
#[track_caller]
fn learned(world: &World, lessons: u64, key: &str) {
    until(SOON, key, || {
        if world.weir.status()["learn"]["lessons"] != lessons {
            return false;
        }
        let text = world.weir.bypass(&["export", "--list", "learned"]);
        let is_it = |line: &str| {
            line.starts_with(&format!("{key} until ")) && line.contains("# asymmetric-return: ")
        };
        text.lines().any(is_it)
    });
}

fn learned_none(world: &World) {
    assert_eq!(world.weir.status()["learn"]["lessons"], 0);
}
