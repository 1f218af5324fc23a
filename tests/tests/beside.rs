//! Weir on a box beside the router, which sends it port 80 both ways; and routers that do so
//! wrongly.

use std::{net::SocketAddr, time::Duration};

use weir_tests::{
    ASIDE, Dial, Doctor, Echo, Family, LAN, Layout, Namespace, Network, Options, Origin, Recipe,
    WAN, Weir, dial, get, network, until,
};

const SOON: Duration = Duration::from_secs(20);

/// The box's only interface.
const ETH0: &str = "eth0";

#[test]
fn the_recipe_works_as_written() {
    let (net, origin) = beside();
    let [box4, box6] = Family::BOTH.map(|family| family.aside().to_string());
    let names = [
        ("LAN", LAN),
        ("WAN", WAN),
        ("BOX", ASIDE),
        ("BOX4", &box4),
        ("BOX6", &box6),
    ];
    Recipe::below("On the router:", &names).run(&net.router);
    Recipe::below("On the box:", &[]).run(proxy(&net));
    let mut weir = start(&net, "");
    for (count, family) in (1..).zip(Family::BOTH) {
        assert!(of_client(&net, family).intercepted());
        let mut connection = weir_tests::connect(&net.client, from(family), family.http());
        assert_eq!(connection.upload(4 << 20).unwrap().body_length(), 4 << 20);
        connection.download(4 << 20).unwrap();
        weir.bypass(&["add", &family.origin(1).to_string()]);
        let other = SocketAddr::new(family.origin(1), 80);
        assert!(get(&net.client, from(family), other).direct());
        assert_eq!(weir.flows("intercepted"), 2 * count);
        assert_eq!(weir.flows("bypass-destination"), count);
    }
    assert_eq!(weir.flows("self-loop"), 0);
    assert_eq!(weir.packets("loop-broken"), 0);
    let status = weir.status();
    assert_eq!(status["interfaces"][0]["role"], "lan+wan");
    assert_eq!(status["interfaces"].as_array().unwrap().len(), 1);
    assert_eq!(status["warnings"], serde_json::json!([]));
    for end in [Weir::kill9, Weir::stop] {
        end(&mut weir);
        for family in Family::BOTH {
            assert!(of_client(&net, family).direct(), "the box forwards");
        }
        weir.start_again();
        for family in Family::BOTH {
            assert!(of_client(&net, family).intercepted());
        }
    }
    assert!(origin.connections() > 0);
}

/// Our connections are sent back to us, what goes direct is not: the router tells them apart by
/// port, of all things.
#[test]
fn a_loop_is_broken_and_named_and_the_flow_goes_direct() {
    let (net, _origin) = beside();
    wrong(&net, |router| {
        router.rule(
            "99",
            "ipproto tcp sport 50000-60999 dport 80 iif aside0 lookup main",
        );
    });
    let weir = start(&net, "[valve]\nprobe = 2\n");
    for family in Family::BOTH {
        until_direct(&net, family, 0);
        weir.says("interface eth0: weir's connections to origins come back to it");
        assert!(weir.flows("self-loop") > 0 && weir.packets("loop-broken") > 0);
        until(SOON, "reset", || weir.outcomes("looping") > 0);
        assert!(
            !valves(&weir).contains(&shown(family)),
            "one origin is none"
        );
        assert!(warnings(&weir).contains("interface eth0: weir's connections"));
        for number in 1..4 {
            until_direct(&net, family, number);
        }
        until(SOON, "the valve", || valves(&weir).contains(&shown(family)));
        let doctor = Doctor::examine(&["--instance", &weir.instance]);
        assert!(!doctor.coded("loop").is_empty(), "{doctor:#?}");
    }
    mend(&net);
    for family in Family::BOTH {
        until(SOON, "the valve closed", || {
            let _ = attempt(&net, family, 0);
            !valves(&weir).contains(&shown(family))
        });
        for number in 0..4 {
            until(SOON, "intercepted again", || {
                attempt(&net, family, number).is_some_and(|echo| echo.intercepted())
            });
        }
    }
    until(SOON, "no warning", || warnings(&weir) == "[]");
}

/// Clients have the clients' addresses, whoever speaks for them: nobody gets through, with or
/// without us, and that is said.
#[test]
fn a_router_that_exempts_an_address_exempts_nothing() {
    let (net, origin) = beside();
    wrong(&net, |router| {
        router.rule("99", "from BOX lookup main");
    });
    let weir = start(&net, "");
    for family in Family::BOTH {
        until(SOON, "both kinds of loops", || {
            assert!(attempt(&net, family, 0).is_none());
            warnings(&weir).contains("interface eth0: connections that weir lets go direct")
        });
    }
    assert!(warnings(&weir).contains("interface eth0: weir's connections to origins come back"));
    assert_eq!(origin.connections(), 0);
    mend(&net);
    let reloaded = weir.reload("");
    assert!(reloaded.contains("configuration reloaded"), "{reloaded}");
    for family in Family::BOTH {
        assert!(of_client(&net, family).intercepted());
    }
    until(SOON, "no warning", || warnings(&weir) == "[]");
}

/// The other direction: what we answer in the origin's name comes back.
#[test]
fn answers_that_come_back_are_named() {
    let (net, _origin) = beside();
    wrong_answers(&net);
    let weir = start(&net, "");
    for family in Family::BOTH {
        assert!(attempt(&net, family, 0).is_none());
        until(SOON, "a warning", || {
            warnings(&weir).contains("interface eth0: weir's answers to clients come back")
        });
        mend(&net);
        until(SOON, "intercepted", || {
            attempt(&net, family, 0).is_some_and(|echo| echo.intercepted())
        });
        wrong_answers(&net);
    }
}

/// Client and origin, the router between them, and on its third leg the box, which forwards.
fn beside() -> (Network, Origin) {
    let net = network(&Layout {
        aside: true,
        ..Layout::default()
    });
    let origin = Origin::start(&net.origin).unwrap();
    for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
        proxy(&net).sysctl(key, "1").unwrap();
    }
    (net, origin)
}

fn proxy(net: &Network) -> &Namespace {
    net.aside.as_ref().unwrap()
}

fn start(net: &Network, config: &str) -> Weir {
    let options = Options {
        lan: vec![ETH0.to_owned()],
        wan: vec![ETH0.to_owned()],
        ..Options::config(config)
    };
    Weir::start(proxy(net), &options)
}

/// Both families' rules of the router.
struct Rules<'a>(&'a Network);

impl Rules<'_> {
    fn rule(&self, priority: &str, rule: &str) {
        for family in Family::BOTH {
            let flag = flag(family);
            let rule = rule.replace("BOX", &family.aside().to_string());
            let mut line = vec![flag, "rule", "add", "priority", priority];
            line.extend(rule.split(' '));
            self.0.router.ip(&line).unwrap();
        }
    }

    fn clear(&self) {
        for flag in ["-4", "-6"] {
            for priority in ["99", "100"] {
                let line = [flag, "rule", "del", "priority", priority];
                while self.0.router.ip(&line).is_ok() {}
            }
        }
    }

    fn to_box(&self) {
        for family in Family::BOTH {
            let gateway = family.aside().to_string();
            let line = [
                flag(family),
                "route",
                "replace",
                "default",
                "via",
                &gateway,
                "dev",
                ASIDE,
                "table",
                "100",
            ];
            self.0.router.ip(&line).unwrap();
        }
        self.0
            .router
            .sysctl("net.ipv4.conf.aside0.rp_filter", "2")
            .unwrap();
    }
}

/// Port 80 goes to the box whoever sends it; `exempt` comes before.
fn wrong(net: &Network, exempt: impl FnOnce(&Rules<'_>)) {
    let rules = Rules(net);
    rules.clear();
    rules.to_box();
    exempt(&rules);
    rules.rule("100", "ipproto tcp dport 80 lookup 100");
    rules.rule("100", "ipproto tcp sport 80 iif wan0 lookup 100");
}

fn wrong_answers(net: &Network) {
    let rules = Rules(net);
    rules.clear();
    rules.to_box();
    rules.rule("100", "ipproto tcp dport 80 iif lan0 lookup 100");
    rules.rule("100", "ipproto tcp sport 80 lookup 100");
}

/// As it should be.
fn mend(net: &Network) {
    let rules = Rules(net);
    rules.clear();
    rules.rule("100", "ipproto tcp dport 80 iif lan0 lookup 100");
    rules.rule("100", "ipproto tcp sport 80 iif wan0 lookup 100");
}

fn flag(family: Family) -> &'static str {
    match family {
        Family::V4 => "-4",
        Family::V6 => "-6",
    }
}

fn from(family: Family) -> SocketAddr {
    SocketAddr::new(family.client(), 0)
}

#[track_caller]
fn of_client(net: &Network, family: Family) -> Echo {
    get(&net.client, from(family), family.http())
}

/// A GET that may fail.
fn attempt(net: &Network, family: Family, number: u8) -> Option<Echo> {
    let way = Dial {
        deadline: Duration::from_millis(1500),
        ..Dial::new(from(family), SocketAddr::new(family.origin(number), 80))
    };
    let dialled = net.client.run(|| dial(&way)).unwrap();
    dialled.and_then(|mut connection| connection.echo("/")).ok()
}

#[track_caller]
fn until_direct(net: &Network, family: Family, number: u8) {
    until(SOON, "a direct connection", || {
        attempt(net, family, number).is_some_and(|echo| echo.direct())
    });
}

fn shown(family: Family) -> String {
    let name = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    format!("looping {name}")
}

/// Reason and family of those that are open.
fn valves(weir: &Weir) -> Vec<String> {
    let status = weir.status();
    let open = status["valves"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    open.map(|valve| text(&valve["reason"]) + " " + &text(&valve["family"]))
        .collect()
}

fn warnings(weir: &Weir) -> String {
    weir.status()["warnings"].to_string()
}
