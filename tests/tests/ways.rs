//! Two ways to the origin: answers that come by another than the request went, and policy routing
//! that tells our connections from the clients' packets.
//!
//! ```text
//! cli ── lan0 rtr wan0 ──────────────── eth0 org
//!             rtr aside0 ── asd ─────── eth1 org
//! ```

use std::{thread, time::Duration};

use weir_tests::{
    ASIDE, Dial, Family, Layout, Namespace, Network, ORIGINS, Options, World, dial, until,
};

const SOON: Duration = Duration::from_secs(20);

/// What goes by which interface of the router.
const COUNTERS: &str = r#"
table inet ways {
    counter out_wan0 {}
    counter out_aside0 {}
    counter in_wan0 {}
    counter in_aside0 {}
    chain prerouting {
        type filter hook prerouting priority raw;
        iifname "wan0" tcp sport 80 counter name in_wan0
        iifname "aside0" tcp sport 80 counter name in_aside0
    }
    chain postrouting {
        type filter hook postrouting priority filter;
        oifname "wan0" tcp dport 80 counter name out_wan0
        oifname "aside0" tcp dport 80 counter name out_aside0
    }
}
"#;

#[test]
fn answers_may_come_by_another_wan() {
    let world = world("", answer_by_the_second);
    for family in Family::BOTH {
        let before = ways(&world.net);
        let mut connection = world.connect(family);
        assert!(connection.upload(1 << 20).unwrap().intercepted());
        connection.download(1 << 20).unwrap();
        let [out_wan, out_aside, in_wan, in_aside] = since(&world.net, before);
        assert!(out_wan > 16 && in_aside > 16, "{family:?}");
        assert_eq!((out_aside, in_wan), (0, 0), "{family:?}");

        // And without us.
        bypass(&world, "add", family);
        let before = ways(&world.net);
        assert!(world.get(family).direct());
        connection.download(1 << 20).unwrap();
        let [out_wan, out_aside, in_wan, in_aside] = since(&world.net, before);
        assert!(out_wan > 0 && in_aside > 0, "{family:?}");
        assert_eq!((out_aside, in_wan), (0, 0), "{family:?}");
    }
    assert_eq!(world.weir.flows("no-return-path"), 0);
}

/// To an address that the origin reaches by the second way only.
#[test]
fn answers_to_a_translated_address_may_come_by_another_wan() {
    let address = |family| match family {
        Family::V4 => "100.64.0.200",
        Family::V6 => "fd77:8::200",
    };
    let world = world("", |net| {
        for (family, ip) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
            let address = address(family);
            let rules = format!(
                "table {ip} nat {{
                     chain postrouting {{
                         type nat hook postrouting priority srcnat;
                         oifname \"wan0\" snat to {address}
                     }}
                 }}"
            );
            net.router.nft(&rules).unwrap();
            let asd = second_way(family)[0];
            let route = ["route", "add", address, "via", asd, "dev", "eth1"];
            net.origin.ip(&route).unwrap();
        }
    });
    for family in Family::BOTH {
        let before = ways(&world.net);
        let mut connection = world.connect(family);
        let echo = connection.upload(1 << 20).unwrap();
        assert_eq!(echo.peer().ip().to_string(), address(family));
        connection.download(1 << 20).unwrap();
        let [out_wan, out_aside, in_wan, in_aside] = since(&world.net, before);
        assert!(out_wan > 16 && in_aside > 16, "{family:?}");
        assert_eq!((out_aside, in_wan), (0, 0), "{family:?}");
    }
    assert_eq!(world.weir.flows("intercepted"), 2);
    assert_eq!(world.weir.flows("no-return-path"), 0);
}

#[test]
fn answers_by_what_is_no_wan_open_the_valve() {
    let layout = Layout {
        aside: true,
        ..Layout::default()
    };
    let world = World::with(&layout, &Options::default(), |net| {
        second(net);
        net.router.nft(COUNTERS).unwrap();
        answer_by_the_second(net);
    });
    for family in Family::BOTH {
        let works = |number| {
            let way = Dial {
                deadline: Duration::from_secs(3),
                ..Dial::new((family.client(), 0), (family.origin(number), 80))
            };
            let echo = || dial(&way).and_then(|mut connection| connection.echo("/"));
            world.net.client.run(echo).unwrap().ok()
        };
        until(SOON, "the valve's opening", || {
            let works = &works;
            thread::scope(|scope| {
                for number in 0..ORIGINS {
                    scope.spawn(move || works(number));
                }
            });
            world.weir.status()["valves"]
                .to_string()
                .contains(word(family))
        });
        until(SOON, "a direct connection", || {
            works(0).is_some_and(|echo| echo.direct())
        });
    }
    assert!(world.weir.flows("no-return-path") > 0);
}

#[test]
fn a_rule_for_a_lan_is_named() {
    let world = world("", |net| {
        for family in ["-4", "-6"] {
            add_rule(net, family, "100", &["iif", "lan0"]);
        }
    });
    for (family, rule) in [(Family::V4, "ip rule 100"), (Family::V6, "ip -6 rule 100")] {
        let named = format!("{rule}: from all iif lan0 lookup 100 is about packets that come in");
        assert!(warnings(&world).contains(&named), "{}", warnings(&world));
        world.weir.says(&named);
        // And it is as the warning says.
        assert_eq!(way_of(&world, family), "wan0");
        bypass(&world, "add", family);
        assert_eq!(way_of(&world, family), "aside0");
        bypass(&world, "del", family);
    }
}

#[test]
fn a_rule_by_mark_is_named_and_the_mark_of_a_rule_of_ours_follows_it() {
    let world = world("", |net| {
        net.router.nft(MARKED_BY_FIREWALL).unwrap();
        for ip in ["-4", "-6"] {
            add_rule(net, ip, "100", &["fwmark", "0x1/0xff"]);
        }
    });
    for (family, ip) in [(Family::V4, "ip"), (Family::V6, "ip -6")] {
        let named = format!("{ip} rule 100: from all fwmark 0x1/0xff lookup 100 is about marks");
        assert!(warnings(&world).contains(&named), "{}", warnings(&world));
        assert_eq!(way_of(&world, family), "wan0");
        bypass(&world, "add", family);
        assert_eq!(way_of(&world, family), "aside0");
        bypass(&world, "del", family);
    }
    world.weir.reload("[[rule]]\nmark = 0x1\n");
    for family in Family::BOTH {
        assert_eq!(way_of(&world, family), "aside0");
    }
}

#[test]
fn rules_are_named_as_they_come_and_go() {
    let world = world("", |_| {});
    assert_eq!(warnings(&world), "[]");
    for (selector, shown) in [
        (
            &["fwmark", "0x1/0xff"][..],
            "from all fwmark 0x1/0xff lookup",
        ),
        (&["iif", "lo"], "from all iif lo lookup"),
        (&["not", "iif", "lan0"], "not from all iif lan0 lookup"),
        (&["uidrange", "0-9"], "from all uidrange 0-9 lookup"),
        (
            &["sport", "40000-50000"],
            "from all sport 40000-50000 lookup",
        ),
    ] {
        for (family, ip) in [("-4", "ip"), ("-6", "ip -6")] {
            let named = format!("{ip} rule 101: {shown} 101 is about");
            add_rule(&world.net, family, "101", selector);
            world.weir.says(&named);
            until(SOON, &named, || warnings(&world).contains(&named));
            delete_rule(&world.net, family, "101");
            until(SOON, "no warning", || warnings(&world) == "[]");
        }
    }
    world.weir.says("no longer: ip -6 rule 101");
}

#[test]
fn rules_that_treat_both_alike_are_not_named() {
    for selector in [
        &["from", "prefix"][..],
        &["to", "0.0.0.0/0", "ipproto", "tcp", "dport", "80"],
        &["tos", "0x10"],
    ] {
        let world = world("", |net| {
            net.client.nft(MINIMISE_DELAY).unwrap();
            for (family, ip) in [(Family::V4, "-4"), (Family::V6, "-6")] {
                let words = selector.iter().map(|word| match (*word, family) {
                    ("prefix", _) => clients(family),
                    ("0.0.0.0/0", Family::V6) => "::/0",
                    (word, _) => word,
                });
                add_rule(net, ip, "100", &words.collect::<Vec<_>>());
                // Of another interface than a LAN.
                add_rule(net, ip, "102", &["iif", "wan0", "fwmark", "1"]);
            }
        });
        assert_eq!(warnings(&world), "[]", "{selector:?}");
        for family in Family::BOTH {
            assert_eq!(way_of(&world, family), "aside0", "{selector:?} {family:?}");
            bypass(&world, "add", family);
            assert_eq!(way_of(&world, family), "aside0", "{selector:?} {family:?}");
        }
    }
}

#[test]
fn a_rule_by_dscp_is_named_where_the_dscp_is_cleared() {
    let world = world("", |net| {
        net.client.nft(MINIMISE_DELAY).unwrap();
        for ip in ["-4", "-6"] {
            add_rule(net, ip, "100", &["tos", "0x10"]);
        }
    });
    assert_eq!(warnings(&world), "[]");
    world.weir.reload("[spoof]\ndscp = \"clear\"\n");
    for named in [
        "ip rule 100: from all tos 0x10",
        "ip -6 rule 100: from all tos 0x10",
    ] {
        until(SOON, named, || warnings(&world).contains(named));
    }
    for family in Family::BOTH {
        assert_eq!(way_of(&world, family), "wan0");
    }
    world.weir.reload("");
    until(SOON, "no warning", || warnings(&world) == "[]");
}

/// The client's packets have the type of service 0x10.
const MINIMISE_DELAY: &str = "
table inet marked {
    chain output {
        type filter hook output priority mangle;
        tcp dport 80 ip dscp set 4
        tcp dport 80 ip6 dscp set 4
    }
}
";

/// What comes from clients gets a mark, beside those that it has.
const MARKED_BY_FIREWALL: &str = r#"
table inet firewall {
    chain prerouting {
        type filter hook prerouting priority mangle;
        iifname "lan0" tcp dport 80 meta mark set meta mark | 0x1
    }
}
"#;

/// Both ways are WANs, and the first is the usual one.
fn world(config: &str, prepare: impl FnOnce(&Network)) -> World {
    let layout = Layout {
        aside: true,
        ..Layout::default()
    };
    let mut options = Options::config(config);
    options.wan.push(ASIDE.to_owned());
    World::with(&layout, &options, |net| {
        second(net);
        net.router.nft(COUNTERS).unwrap();
        prepare(net);
    })
}

/// Makes the way from the host behind [`ASIDE`] to the origin, and lets packets come by any.
fn second(net: &Network) {
    let aside = net.aside.as_ref().unwrap();
    let org = net.origin.name();
    let link = "link add eth1 type veth peer name eth1 netns";
    let mut words: Vec<&str> = link.split(' ').collect();
    words.push(org);
    aside.ip(&words).unwrap();
    aside.sysctl("net.ipv4.ip_forward", "1").unwrap();
    aside.sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
    for (namespace, end) in [(aside, 0), (&net.origin, 1)] {
        for family in Family::BOTH {
            let length = if family == Family::V4 { 24 } else { 64 };
            let address = format!("{}/{length}", second_way(family)[end]);
            let mut words = vec!["address", "add", &address, "dev", "eth1"];
            words.extend((family == Family::V6).then_some("nodad"));
            namespace.ip(&words).unwrap();
        }
        namespace.ip(&["link", "set", "eth1", "up"]).unwrap();
    }
    for namespace in [&net.router, aside, &net.origin] {
        any_way(namespace);
    }
    for family in Family::BOTH {
        let [_, org] = second_way(family);
        aside
            .ip(&["route", "add", origins(family), "via", org])
            .unwrap();
        // What the router's other rules lead to.
        let asd = family.aside().to_string();
        for table in ["100", "101"] {
            let route = ["route", "add", "default", "via", &asd, "table", table];
            net.router.ip(&route).unwrap();
        }
    }
}

/// The origin's packets to clients go by the second way.
fn answer_by_the_second(net: &Network) {
    for family in Family::BOTH {
        let (clients, asd) = (clients(family), second_way(family)[0]);
        let route = ["route", "replace", clients, "via", asd, "dev", "eth1"];
        net.origin.ip(&route).unwrap();
    }
}

fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// Switches reverse-path filtering off.
fn any_way(namespace: &Namespace) {
    let links = namespace.ip(&["-o", "link"]).unwrap();
    let names = links.lines().filter_map(|line| {
        let name = line.split(": ").nth(1)?;
        name.split('@').next()
    });
    for name in names.chain(["all"]) {
        let key = format!("net/ipv4/conf/{name}/rp_filter");
        namespace.sysctl(&key, "0").unwrap();
    }
}

/// Both ends of the second way's last link: the host's behind [`ASIDE`], the origin's.
fn second_way(family: Family) -> [&'static str; 2] {
    match family {
        Family::V4 => ["198.51.100.1", "198.51.100.2"],
        Family::V6 => ["fd77:9::1", "fd77:9::2"],
    }
}

fn clients(family: Family) -> &'static str {
    match family {
        Family::V4 => "10.77.1.0/24",
        Family::V6 => "fd77:1::/64",
    }
}

fn origins(family: Family) -> &'static str {
    match family {
        Family::V4 => "203.0.113.0/24",
        Family::V6 => "fd77:2::/64",
    }
}

/// A rule of that priority, to the table of the same number.
fn add_rule(net: &Network, family: &str, number: &str, selector: &[&str]) {
    let mut words = vec![family, "rule", "add"];
    words.extend(selector);
    words.extend(["lookup", number, "priority", number]);
    net.router.ip(&words).unwrap();
}

fn delete_rule(net: &Network, family: &str, number: &str) {
    net.router
        .ip(&[family, "rule", "del", "priority", number])
        .unwrap();
}

fn bypass(world: &World, verb: &str, family: Family) {
    let prefix = format!("{}/{}", family.origin(0), family.host_length());
    world.weir.bypass(&[verb, &prefix]);
}

fn warnings(world: &World) -> String {
    world.weir.status()["warnings"].to_string()
}

/// By which interface the packets of one request leave.
fn way_of(world: &World, family: Family) -> &'static str {
    let before = ways(&world.net);
    let _ = world.get(family);
    match since(&world.net, before) {
        [wan, 0, ..] if wan > 0 => "wan0",
        [0, aside, ..] if aside > 0 => "aside0",
        other => panic!("{other:?}"),
    }
}

fn since(net: &Network, before: [u64; 4]) -> [u64; 4] {
    let mut now = ways(net);
    for (now, before) in now.iter_mut().zip(before) {
        *now -= before;
    }
    now
}

/// Packets so far: out by wan0, by aside0; in by wan0, by aside0.
fn ways(net: &Network) -> [u64; 4] {
    ["out_wan0", "out_aside0", "in_wan0", "in_aside0"].map(|name| {
        let mut command = net.router.command("nft");
        let list = ["list", "counter", "inet", "ways", name];
        let output = command.args(list).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let packets = text.split("packets ").nth(1);
        let packets = packets.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        packets.unwrap_or_else(|| panic!("no counter {name}: {text}"))
    })
}
