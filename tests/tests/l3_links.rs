//! Links without a link-layer header, on either side of the router and on both.

use std::time::Duration;

use weir_tests::{
    At, Failed, Family, Hop, HostState, LAN, Layout, Network, Options, Origin, Plan, Side, TunLink,
    WAN, Weir, World, all_direct, connect, get, network, repeat, run_weir, until, use_it,
};

const MIB: usize = 1 << 20;
const SOON: Duration = Duration::from_secs(20);

/// `ARPHRD_*` of links without a header: ppp, cellular modems, ipip, ip6tnl, sit, gre, ip6gre.
const BARE: [(u16, &str); 7] = [
    (512, "ppp"),
    (519, "rawip"),
    (768, "tunnel"),
    (769, "tunnel6"),
    (776, "sit"),
    (778, "ipgre"),
    (823, "ip6gre"),
];

/// Which sides have tun devices instead of veth pairs.
#[derive(Clone, Copy, Debug)]
struct Tuns {
    lan: bool,
    wan: bool,
}

const COMBINATIONS: [Tuns; 3] = [
    Tuns {
        lan: true,
        wan: true,
    },
    Tuns {
        lan: true,
        wan: false,
    },
    Tuns {
        lan: false,
        wan: true,
    },
];

impl Tuns {
    fn put(self, net: &Network) -> Vec<TunLink> {
        let mut links = Vec::new();
        links.extend(self.lan.then(|| TunLink::lan(net)));
        links.extend(self.wan.then(|| TunLink::wan(net)));
        links
    }
}

fn world(tuns: Tuns) -> (World, Vec<TunLink>) {
    world_with(tuns, |_| {})
}

fn world_with(tuns: Tuns, prepare: impl FnOnce(&Network)) -> (World, Vec<TunLink>) {
    let mut links = Vec::new();
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        links = tuns.put(net);
        prepare(net);
    });
    (world, links)
}

#[test]
fn bodies_of_intercepted_flows_are_whole() {
    for tuns in COMBINATIONS {
        let (world, _links) = world(tuns);
        for family in Family::BOTH {
            for client in [family.client(), family.second_client()] {
                let echo = world.get_from((client, 0).into(), family.http());
                assert!(echo.intercepted(), "{tuns:?}: {echo:?}");
            }
            let mut connection = world.connect(family);
            connection.download(MIB).unwrap();
            assert!(connection.upload(MIB).unwrap().intercepted(), "{tuns:?}");
        }
        assert_eq!(world.weir.flows("intercepted"), 6, "{tuns:?}");
        assert_eq!(world.weir.packets("malformed"), 0, "{tuns:?}");
    }
}

#[test]
fn the_kind_is_shown() {
    for tuns in COMBINATIONS {
        let (world, _links) = world(tuns);
        let status = world.weir.status();
        for (place, is_tun) in [tuns.lan, tuns.wan].into_iter().enumerate() {
            let interface = &status["interfaces"][place];
            let (kind, framing) = if is_tun {
                ("none", "none")
            } else {
                ("ether", "ethernet")
            };
            assert_eq!(interface["kind"], kind, "{tuns:?}: {interface}");
            assert_eq!(interface["framing"], framing, "{tuns:?}: {interface}");
        }
        let screen = world.weir.ask(&["status"]);
        assert!(screen.contains("none (no link-layer header)"), "{screen}");
    }
}

#[test]
fn what_is_not_ours_passes() {
    for tuns in COMBINATIONS {
        let (world, _links) = world(tuns);
        let inside = Origin::start(&world.net.client).unwrap();
        let router = Origin::start(&world.net.router).unwrap();
        for family in Family::BOTH {
            let from = (family.client(), 0).into();
            let prefix = format!("{}/{}", family.origin(1), family.host_length());
            world.weir.bypass(&["add", &prefix]);
            for to in [
                (family.origin(1), 80),
                (family.origin(0), 8080),
                (family.router_lan(), 80),
                (family.router_wan(), 80),
            ] {
                let echo = world.get_from(from, to.into());
                assert!(echo.direct(), "{tuns:?}: {echo:?}");
            }
            let inwards = (family.client(), 80);
            let echo = get(&world.net.origin, (family.origin(0), 0), inwards);
            assert!(echo.direct(), "{tuns:?}: {echo:?}");
            assert!(world.get(family).intercepted(), "{tuns:?}");
        }
        assert_eq!(inside.connections(), 2);
        assert_eq!(router.connections(), 4);
        assert_eq!(world.weir.flows("bypass-destination"), 2);
        assert_eq!(world.weir.flows("own-address"), 4);
        assert_eq!(world.weir.flows("not-from-lan"), 2);
    }
}

#[test]
fn handshakes_by_cookie() {
    for tuns in COMBINATIONS {
        let (world, _links) = world_with(tuns, |net| {
            net.router.sysctl("net.ipv4.tcp_syncookies", "2").unwrap();
        });
        for family in Family::BOTH {
            let cookies = world.weir.packets("cookie-steered");
            let mut connection = world.connect(family);
            connection.upload(100_000).unwrap();
            assert!(world.weir.packets("cookie-steered") > cookies, "{tuns:?}");
        }
    }
}

/// The ICMP errors of a small link behind it come in on the link.
#[test]
fn path_mtu_discovery() {
    for side in [Side::Client, Side::Origin] {
        for upwards in [false, true] {
            let layout = Layout {
                hop: Some(Hop { side, mtu: 1280 }),
                ..Layout::default()
            };
            let mut link = None;
            let world = World::with(&layout, &Options::default(), |net| {
                let [near, far] = net.hop.as_ref().unwrap();
                let pair = match side {
                    Side::Client => [At(far, "far"), At(&net.router, LAN)],
                    Side::Origin => [At(near, "near"), At(&net.router, WAN)],
                };
                link = Some(TunLink::instead(pair, None));
            });
            for family in Family::BOTH {
                let mut connection = world.connect(family);
                if upwards {
                    connection.upload(MIB).unwrap();
                } else {
                    connection.download(MIB).unwrap();
                }
                assert!(connection.echo("/").unwrap().intercepted());
            }
        }
    }
}

#[test]
fn every_link_type_without_a_header() {
    for (link_type, kind) in BARE {
        let mut links = Vec::new();
        let world = World::with(&Layout::default(), &Options::default(), |net| {
            for (host, end) in [(&net.client, LAN), (&net.origin, WAN)] {
                let pair = [At(host, "eth0"), At(&net.router, end)];
                links.push(TunLink::instead(pair, Some(link_type)));
            }
        });
        assert_eq!(world.weir.status()["interfaces"][0]["kind"], kind);
        for family in Family::BOTH {
            assert!(world.get(family).intercepted(), "{kind} {family:?}");
        }
    }
}

/// After SIGKILL, few ports, which nobody draws by chance, each used again at once: every one of
/// them meets what the daemon's
/// sockets have left on its tuple.
#[test]
fn a_dead_daemon_is_passed_by_and_adopted() {
    for tuns in COMBINATIONS {
        let net = network(&Layout::default());
        let _origin = Origin::start(&net.origin).unwrap();
        let _links = tuns.put(&net);
        let instance = format!(
            "l3-{}-{}{}",
            std::process::id(),
            u8::from(tuns.lan),
            u8::from(tuns.wan)
        );
        let before = HostState::of(&net.router, &instance);
        let options = Options {
            instance: Some(instance.clone()),
            ..Options::default()
        };
        let plans = Family::BOTH.map(|family| Plan::new(family, 61000..61100));
        let mut weir = Weir::start(&net.router, &options);
        for _ in 0..2 {
            use_it(&net);
            for attempt in repeat(&net.client, &plans) {
                assert!(
                    attempt
                        .outcome
                        .as_ref()
                        .is_ok_and(|echo| echo.intercepted())
                );
            }
            weir.kill9();
            for attempt in repeat(&net.client, &plans) {
                let direct = attempt.outcome.as_ref().is_ok_and(|echo| echo.direct());
                assert!(direct, "{tuns:?}: {attempt:?}");
            }
            let mut running = Family::BOTH
                .map(|family| connect(&net.client, (family.client(), 0), family.http()));
            weir.start_again();
            for connection in &mut running {
                assert!(connection.echo("/").unwrap().direct(), "{tuns:?}");
            }
            let state = HostState::of(&net.router, &instance);
            for (end, is_tun) in [(LAN, tuns.lan), (WAN, tuns.wan)] {
                assert_eq!(programs(&state, end), [program(is_tun)], "{tuns:?} {end}");
            }
        }
        weir.kill9();
        let down = run_weir(&["down", "--instance", &instance]);
        assert!(down.status.success(), "{down:?}");
        before.assert_same(&HostState::of(&net.router, &instance), "after weir down");
        all_direct(&net);
    }
}

#[test]
fn a_link_that_comes_back_as_another_is_attached_again() {
    for (end, place) in [(LAN, 0), (WAN, 1)] {
        let world = World::new();
        let host = if end == LAN {
            &world.net.client
        } else {
            &world.net.origin
        };
        let pair = [At(host, "eth0"), At(&world.net.router, end)];
        let attached = |framing| {
            until(SOON, "it being attached again", || {
                let interface = &world.weir.status()["interfaces"][place];
                interface["attached"] == true && interface["framing"] == framing
            });
            let state = HostState::of(&world.net.router, &world.weir.instance);
            assert_eq!(programs(&state, end), [program(framing == "none")]);
            for family in Family::BOTH {
                assert!(world.get(family).intercepted(), "{end} {framing}");
            }
        };
        attached("ethernet");
        let link = TunLink::instead(pair, None);
        attached("none");
        link.back_to_ethernet(pair);
        attached("ethernet");
    }
}

#[test]
fn a_link_that_changes_its_type_is_attached_again() {
    let (world, links) = world(Tuns {
        lan: true,
        wan: false,
    });
    let lan = At(&world.net.router, LAN);
    let becomes = |kind: &str, attached: bool| {
        until(SOON, "its new type being noticed", || {
            let interface = &world.weir.status()["interfaces"][0];
            interface["attached"] == attached && interface["kind"] == kind
        });
        HostState::of(&world.net.router, &world.weir.instance)
    };
    // HDLC is none of ours; the program goes.
    links[0].set_link_type(lan, 513);
    let state = becomes("hdlc", false);
    assert!(programs(&state, LAN).is_empty());
    all_direct(&world.net);
    world.weir.says("of link type hdlc");
    // It says that it is Ethernet, and has the program for that.
    links[0].set_link_type(lan, 1);
    let state = becomes("ether", true);
    assert_eq!(programs(&state, LAN), [program(false)]);
    links[0].set_link_type(lan, 512);
    let state = becomes("ppp", true);
    assert_eq!(programs(&state, LAN), [program(true)]);
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
}

#[test]
fn an_unknown_link_type_is_refused_by_name() {
    let net = network(&Layout::default());
    let pair = [At(&net.client, "eth0"), At(&net.router, LAN)];
    let _link = TunLink::instead(pair, Some(513));
    let Failed { status, output, .. } = Weir::refused(&net.router, &Options::default());
    assert_eq!(status.code(), Some(4), "{output}");
    assert!(
        output.contains("lan0") && output.contains("hdlc"),
        "{output}"
    );
}

/// The programs of ours on the ingress of a router's interface.
fn programs(state: &HostState, interface: &str) -> Vec<String> {
    let lines = state.lines(&format!("programs {interface}"));
    let ingress = lines.iter().filter(|line| line.contains("Ingress"));
    let name = |line: &&str| line.rsplit(' ').next().map(str::to_owned);
    ingress.filter_map(name).collect()
}

fn program(is_tun: bool) -> &'static str {
    if is_tun {
        "weir_steer_l3"
    } else {
        "weir_steer"
    }
}
