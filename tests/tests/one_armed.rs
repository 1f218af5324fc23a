//! A router with one interface, which is both LAN and WAN, on the link of its clients and of its
//! own gateway.

use std::{net::IpAddr, net::SocketAddr, time::Duration};

use weir_tests::{
    ASIDE, Dial, Echo, Family, LAN, Layout, Namespace, Network, Options, Origin, Recipe, WAN, Weir,
    dial, get, network, until,
};

const SOON: Duration = Duration::from_secs(30);

/// The one-armed router's only interface.
const ETH0: &str = "eth0";
/// The gateway's interface: a bridge, with a port towards each of the others.
const LINK: &str = "link0";

/// Clients beyond another router of the link: what goes to them comes back through us.
#[test]
fn clients_in_other_subnets_are_intercepted() {
    let (net, _origin) = one_link();
    for family in Family::BOTH {
        let behind = behind(family);
        let prefix = format!("{behind}/{}", family.host_length());
        net.client
            .ip(&["address", "add", &prefix, "dev", "lo"])
            .unwrap();
        // The gateway's way to them is the one-armed router, and that one's is the client.
        let (router, client) = (arm(family).to_string(), family.client().to_string());
        net.router
            .ip(&["route", "add", &prefix, "via", &router])
            .unwrap();
        one_arm(&net)
            .ip(&["route", "add", &prefix, "via", &client])
            .unwrap();
        by_one_arm(&net, family);
    }
    let mut weir = start(&net);
    for family in Family::BOTH {
        let from = SocketAddr::new(behind(family), 0);
        let echo = get(&net.client, from, family.http());
        assert!(echo.intercepted(), "{echo:?}");
        let mut connection = weir_tests::connect(&net.client, from, family.http());
        connection.upload(1 << 20).unwrap();
        connection.download(1 << 20).unwrap();
    }
    assert_eq!(weir.flows("intercepted"), 4);
    assert_eq!(weir.flows("self-loop") + weir.packets("loop-broken"), 0);
    assert_eq!(weir.status()["valves"], serde_json::json!([]));
    weir.kill9();
    for family in Family::BOTH {
        let from = SocketAddr::new(behind(family), 0);
        assert!(get(&net.client, from, family.http()).direct());
    }
}

/// The gateway answers them directly, and their kernel resets what it has not asked for.
#[test]
fn clients_in_the_gateways_subnet_do_not_hang_for_good() {
    let (net, _origin) = one_link();
    for family in Family::BOTH {
        by_one_arm(&net, family);
    }
    let weir = start(&net);
    for family in Family::BOTH {
        for number in 0..3 {
            let _ = attempt(&net, family, number);
        }
        for number in 0..3 {
            until(SOON, "a direct connection", || {
                attempt(&net, family, number).is_some_and(|echo| echo.direct())
            });
        }
    }
    weir.says("does the gateway send them to clients in its own subnet directly?");
    assert_eq!(weir.status()["valve"], "no-return-path");
}

/// The gateway sends port 80 of both directions to the box, and knows the box by its MAC address.
#[test]
fn the_recipe_by_mac_address_works_as_written() {
    let (net, _origin) = one_link();
    let mac = mac(one_arm(&net));
    let [box4, box6] = Family::BOTH.map(|family| arm(family).to_string());
    let names = [
        ("LAN", LINK),
        ("WAN", WAN),
        ("MAC", &mac),
        ("BOX4", &box4),
        ("BOX6", &box6),
    ];
    Recipe::below("On such a router:", &names).run(&net.router);
    Recipe::below("On the box:", &[]).run(one_arm(&net));
    let mut weir = start(&net);
    for family in Family::BOTH {
        for _ in 0..3 {
            assert!(of_client(&net, family).intercepted());
        }
        weir.bypass(&["add", &family.origin(1).to_string()]);
        let other = SocketAddr::new(family.origin(1), 80);
        assert!(get(&net.client, (family.client(), 0), other).direct());
    }
    assert_eq!(weir.flows("intercepted"), 6);
    assert_eq!(weir.flows("self-loop"), 0);
    weir.kill9();
    for family in Family::BOTH {
        assert!(of_client(&net, family).direct(), "the box forwards");
    }
}

/// Client, gateway and the one-armed router on one link; the origin is behind the gateway.
fn one_link() -> (Network, Origin) {
    let net = network(&Layout {
        aside: true,
        ..Layout::default()
    });
    let origin = Origin::start(&net.origin).unwrap();
    let router = |line: &str| ip(&net.router, line);
    router("link add link0 type bridge");
    for port in [LAN, ASIDE] {
        router(&format!("address flush dev {port} scope global"));
        router(&format!("link set {port} master link0"));
    }
    router("link set link0 up");
    let arm = one_arm(&net);
    // IPv6 finds neighbours by its link-local address, whoever it speaks for.
    ip(arm, "address flush dev eth0 scope global");
    for family in Family::BOTH {
        let gateway = family.router_lan();
        let (length, nodad) = match family {
            Family::V4 => (24, ""),
            Family::V6 => (64, " nodad"),
        };
        router(&format!("address add {gateway}/{length} dev link0{nodad}"));
        ip(
            arm,
            &format!("address add {}/{length} dev eth0{nodad}", self::arm(family)),
        );
        ip(arm, &format!("route replace default via {gateway}"));
    }
    for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
        arm.sysctl(key, "1").unwrap();
    }
    // As in the manual; and IPv6 has no such switch at the sender.
    for (namespace, key) in [
        (arm, "net.ipv4.conf.all.send_redirects"),
        (arm, "net.ipv4.conf.eth0.send_redirects"),
        (&net.client, "net.ipv6.conf.eth0.accept_redirects"),
        (&net.client, "net.ipv4.conf.eth0.accept_redirects"),
    ] {
        namespace.sysctl(key, "0").unwrap();
    }
    until(SOON, "the link", || {
        let ping = |family: Family| {
            let way = Dial::new((self::arm(family), 0), (family.origin(0), 8080));
            arm.run(|| dial(&way)).unwrap().is_ok()
        };
        Family::BOTH.into_iter().all(ping)
    });
    (net, origin)
}

fn one_arm(net: &Network) -> &Namespace {
    net.aside.as_ref().unwrap()
}

/// The one-armed router's address.
fn arm(family: Family) -> IpAddr {
    match family {
        Family::V4 => "10.77.1.9",
        Family::V6 => "fd77:1::9",
    }
    .parse()
    .unwrap()
}

/// An address of the client's host that is on no link.
fn behind(family: Family) -> IpAddr {
    match family {
        Family::V4 => "10.78.0.2",
        Family::V6 => "fd78::2",
    }
    .parse()
    .unwrap()
}

/// The client's way out is the one-armed router.
fn by_one_arm(net: &Network, family: Family) {
    ip(
        &net.client,
        &format!("route replace default via {}", arm(family)),
    );
}

fn start(net: &Network) -> Weir {
    let options = Options {
        lan: vec![ETH0.to_owned()],
        wan: vec![ETH0.to_owned()],
        ..Options::default()
    };
    Weir::start(one_arm(net), &options)
}

#[track_caller]
fn ip(namespace: &Namespace, line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    namespace.ip(&words).unwrap();
}

fn mac(namespace: &Namespace) -> String {
    let link = namespace.ip(&["-o", "link", "show", ETH0]).unwrap();
    let (_, behind) = link.split_once("link/ether ").unwrap();
    behind.split(' ').next().unwrap().to_owned()
}

#[track_caller]
fn of_client(net: &Network, family: Family) -> Echo {
    get(&net.client, (family.client(), 0), family.http())
}

/// A GET that may fail.
fn attempt(net: &Network, family: Family, number: u8) -> Option<Echo> {
    let way = Dial {
        deadline: Duration::from_millis(1500),
        ..Dial::new((family.client(), 0), (family.origin(number), 80))
    };
    let dialled = net.client.run(|| dial(&way)).unwrap();
    dialled.and_then(|mut connection| connection.echo("/")).ok()
}
