//! The client's DSCP on the origin's leg: its own by default, none if that is wanted, a rule's
//! where one says so; never its ECN bits.

use weir_tests::{Family, Layout, Network, Options, World};

/// Marks every packet of the client's (DSCP 46, "expedited forwarding"), whatever its socket says.
const MARKED: &str = "
table inet marked {
    chain output {
        type filter hook output priority mangle;
        tcp dport 80 ip dscp set 46
        tcp dport 80 ip6 dscp set 46
    }
}
";

/// Counts the packets of a DSCP that come to the origin, its SYNs on their own, and all others.
fn counting(dscp: u8) -> String {
    format!(
        "
table inet counting {{
    counter others {{}}
    counter v4 {{}}
    counter v6 {{}}
    counter v4syn {{}}
    counter v6syn {{}}
    chain prerouting {{
        type filter hook prerouting priority raw;
        tcp dport 80 ip dscp != {dscp} counter name others
        tcp dport 80 ip6 dscp != {dscp} counter name others
        tcp dport 80 ip dscp {dscp} counter name v4
        tcp dport 80 ip6 dscp {dscp} counter name v6
        tcp dport 80 ip dscp {dscp} tcp flags & (syn | ack) == syn counter name v4syn
        tcp dport 80 ip6 dscp {dscp} tcp flags & (syn | ack) == syn counter name v6syn
    }}
}}
"
    )
}

/// A world whose client marks its packets and whose origin counts those of a DSCP.
fn world(config: &str, dscp: u8, prepare: impl FnOnce(&Network)) -> World {
    World::with(&Layout::default(), &Options::config(config), |net| {
        net.client.nft(MARKED).unwrap();
        net.origin.nft(&counting(dscp)).unwrap();
        prepare(net);
    })
}

/// One intercepted exchange of each family; then every packet at the origin has been of the DSCP
/// that is counted.
fn all_of_it(world: &World) {
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        assert!(connection.upload(100_000).unwrap().intercepted());
        connection.download(100_000).unwrap();
    }
    let [others, v4, v6] = ["others", "v4", "v6"].map(|name| count(&world.net, name));
    assert!(others == 0 && v4 > 2 && v6 > 2, "{others} {v4} {v6}");
    let syns = ["v4syn", "v6syn"].map(|name| count(&world.net, name));
    assert!(syns[0] > 0 && syns[1] > 0, "already the SYN: {syns:?}");
}

#[test]
fn the_clients_is_copied_by_default() {
    all_of_it(&world("", 46, |_| {}));
}

#[test]
fn it_is_copied_where_the_kernel_answers_by_cookie() {
    let world = world("", 46, |net| {
        net.router.sysctl("net.ipv4.tcp_syncookies", "2").unwrap();
    });
    all_of_it(&world);
    assert!(world.weir.packets("cookie-steered") > 0);
}

#[test]
fn the_clients_ecn_is_not() {
    // With ECN on the client's side only: its packets carry ECT(0), ours must not.
    let world = world("", 46, |net| {
        for namespace in [&net.client, &net.router] {
            namespace.sysctl("net.ipv4.tcp_ecn", "1").unwrap();
        }
        net.origin.sysctl("net.ipv4.tcp_ecn", "0").unwrap();
        let ect = "
            table inet congestion {
                counter any {}
                chain prerouting {
                    type filter hook prerouting priority raw;
                    tcp dport 80 ip ecn != 0 counter name any
                    tcp dport 80 ip6 ecn != 0 counter name any
                }
            }
        ";
        net.origin.nft(ect).unwrap();
        net.router.nft(ect).unwrap();
    });
    all_of_it(&world);
    let any = |namespace| counter(namespace, "congestion", "any");
    assert!(any(&world.net.router) > 0, "the client speaks ECN");
    assert_eq!(any(&world.net.origin), 0);
}

#[test]
fn it_is_cleared_if_wanted_also_by_a_reload() {
    let cleared = world("[spoof]\ndscp = \"clear\"\n", 0, |_| {});
    all_of_it(&cleared);
    let reloaded = world("", 0, |_| {});
    let said = reloaded.weir.reload("[spoof]\ndscp = \"clear\"\n");
    assert!(said.contains("configuration reloaded"), "{said}");
    all_of_it(&reloaded);
}

#[test]
fn the_tos_of_a_rule_comes_before_it() {
    all_of_it(&world("[[rule]]\ntos = 0x20\n", 8, |_| {}));
    // A rule that says nothing of it leaves it as it is.
    all_of_it(&world("[[rule]]\nlog = false\n", 46, |_| {}));
}

#[test]
fn what_goes_direct_keeps_its_own() {
    let world = world("", 46, |_| {});
    for family in Family::BOTH {
        let prefix = format!("{}/{}", family.origin(0), family.host_length());
        world.weir.bypass(&["add", &prefix]);
        assert!(world.get(family).direct());
    }
    let [others, v4, v6] = ["others", "v4", "v6"].map(|name| count(&world.net, name));
    assert!(others == 0 && v4 > 2 && v6 > 2, "{others} {v4} {v6}");
}

fn count(net: &Network, name: &str) -> u64 {
    counter(&net.origin, "counting", name)
}

/// Packets that a named counter has seen.
fn counter(namespace: &weir_tests::Namespace, table: &str, name: &str) -> u64 {
    let mut command = namespace.command("nft");
    let output = command
        .args(["list", "counter", "inet", table, name])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let packets = text.split("packets ").nth(1);
    let packets = packets.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    packets.unwrap_or_else(|| panic!("no counter {name}: {text}"))
}
