//! Packets on their way through rules, which are written as iptables saves them. Those that the
//! kernel gives are in the integration tests.

use super::*;

const BIT: u32 = 0x1000_0000;

fn ruleset(text: &str) -> Ruleset {
    Ruleset {
        chains: saved::parse(text, Family::Ip),
        flowtables: Vec::new(),
    }
}

fn packet(is_new: bool) -> Packet<'static> {
    Packet {
        version: 4,
        input: Some(("lan0", 3)),
        output: None,
        source_port: None,
        destination_port: Some((80, 80)),
        mark: Bits {
            value: BIT,
            known: u32::MAX,
        },
        is_new,
        is_invalid: false,
    }
}

/// What happens to a new connection's first packet, whether surely, and by which rule.
fn effects(text: &str, hook: Hook) -> Vec<(What, bool, String)> {
    let ruleset = ruleset(text);
    walk(&ruleset, hook, &packet(true), BIT)
        .iter()
        .map(|effect| {
            let rule = effect.rule.map_or("policy", |rule| rule.label.as_str());
            (effect.what, effect.surely, rule.to_owned())
        })
        .collect()
}

#[track_caller]
fn input(policy: &str, rules: &str, expected: &[(What, bool, &str)]) {
    let text = format!("*filter\n:INPUT {policy} [0:0]\n:lan - [0:0]\n{rules}\nCOMMIT\n");
    let found = effects(&text, Hook::Input);
    let found: Vec<_> = found.iter().map(|(a, b, c)| (*a, *b, &c[..])).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn a_policy_that_drops() {
    let dropped = [(What::Dropped, true, "policy")];
    let perhaps = [(What::Dropped, false, "policy")];
    input("ACCEPT", "", &[]);
    input("DROP", "", &dropped);
    for others in [
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -p udp -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A INPUT ! -i lan0 -j ACCEPT",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A INPUT -m mark --mark 0x1/0xff -j ACCEPT",
        "-A INPUT -p tcp -m multiport --dports 443,8000:8080 -j ACCEPT",
        "-A INPUT -m comment --comment \"not -j ACCEPT\"",
        "-A INPUT -j LOG --log-prefix \"in: \"",
        "-A INPUT -j lan\n-A lan -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A INPUT -j lan\n-A lan -j RETURN\n-A lan -j ACCEPT",
    ] {
        input("DROP", others, &dropped);
    }
    for accepting in [
        "-A INPUT -j ACCEPT",
        "-A INPUT -i lan+ -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 1:1024 -j ACCEPT",
        "-A INPUT -p tcp -m multiport --dports 443,80 -j ACCEPT",
        "-A INPUT -m mark --mark 0x10000000/0x10000000 -j ACCEPT",
        "-A INPUT -m state --state NEW -j ACCEPT",
        "-A INPUT ! -i wan0 -j ACCEPT",
        "-A INPUT -i lan0 -j lan\n-A lan -j ACCEPT",
        "-A INPUT -i lan0 -g lan\n-A lan -p tcp -j ACCEPT",
        // Whoever is not accepted by the first is by the second.
        "-A INPUT -s 10.0.0.0/24 -j ACCEPT\n-A INPUT -p tcp -j ACCEPT",
        "-A INPUT -s 10.0.0.0/24 -j lan\n-A INPUT -p tcp -j ACCEPT\n-A lan -j RETURN",
    ] {
        input("DROP", accepting, &[]);
    }
    for telling_nothing in [
        "-A INPUT -s 10.0.0.0/24 -j ACCEPT",
        "-A INPUT -m set --match-set clients src -j ACCEPT",
        "-A INPUT -s 10.0.0.0/24 -j lan\n-A lan -j ACCEPT",
        "-A INPUT -j lan\n-A lan -s 10.0.0.0/24 -j ACCEPT",
        "-A INPUT -p tcp -m tcp --tcp-flags SYN SYN -j ACCEPT",
    ] {
        input("DROP", telling_nothing, &perhaps);
    }
}

#[test]
fn rules_that_drop() {
    let rule = "-A INPUT -i lan0 -j DROP";
    input("ACCEPT", rule, &[(What::Dropped, true, rule)]);
    let rule = "-A INPUT -p tcp -j REJECT --reject-with tcp-reset";
    input("ACCEPT", rule, &[(What::Rejected, true, rule)]);
    let rule = "-A INPUT -s 192.0.2.1/32 -j DROP";
    input("ACCEPT", rule, &[(What::Dropped, false, rule)]);
    // One that may be dropped and one that is not met: the policy drops what is left.
    input(
        "DROP",
        rule,
        &[
            (What::Dropped, false, rule),
            (What::Dropped, true, "policy"),
        ],
    );
    let rule = "-A INPUT -j NFQUEUE --queue-num 0";
    input("ACCEPT", rule, &[(What::Queued, true, rule)]);
    let end = "-A INPUT -m conntrack --ctstate INVALID -j DROP";
    input("ACCEPT", end, &[]);
}

#[test]
fn chains_without_end() {
    let circle = "-A INPUT -j lan\n-A lan -j lan\n-A lan -j lan";
    input("DROP", circle, &[(What::Dropped, false, "policy")]);
}

#[track_caller]
fn prerouting(table: &str, rules: &str, expected: &[(What, bool)]) {
    let text = format!("*{table}\n:PREROUTING ACCEPT [0:0]\n:more - [0:0]\n{rules}\nCOMMIT\n");
    let found = effects(&text, Hook::Prerouting);
    let found: Vec<_> = found.iter().map(|(a, b, _)| (*a, *b)).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn what_takes_a_connection() {
    for (table, target, taking) in [
        (
            "mangle",
            "TPROXY --on-port 3129 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1",
            Taking::Tproxy,
        ),
        ("nat", "REDIRECT --to-ports 3128", Taking::Redirect),
        ("nat", "DNAT --to-destination 10.0.0.9:8080", Taking::Dnat),
    ] {
        let rule = |test: &str| format!("-A PREROUTING {test} -j {target}");
        for (test, taken) in [
            (
                "-i lan0 -p tcp -m tcp --dport 80",
                vec![(What::Taken(taking), true)],
            ),
            (
                "-d 198.51.100.1/32 -p tcp -m tcp --dport 80",
                vec![(What::Taken(taking), false)],
            ),
            ("-i wan0 -p tcp -m tcp --dport 80", vec![]),
            ("-p tcp -m tcp --dport 443", vec![]),
            ("-p udp -m udp --dport 80", vec![]),
        ] {
            prerouting(table, &rule(test), &taken);
        }
    }
}

#[test]
fn what_translates_sees_first_packets_only() {
    let text =
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j REDIRECT --to-ports 3128\nCOMMIT\n";
    let ruleset = ruleset(text);
    assert!(walk(&ruleset, Hook::Prerouting, &packet(false), BIT).is_empty());
}

#[test]
fn what_wipes_a_mark() {
    let wiped = [(What::Unmarked, true)];
    for wiping in [
        "-j MARK --set-xmark 0x1/0xffffffff",
        "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
        "-j MARK --set-xmark 0x0/0xf0000000",
        "-j MARK --set-xmark 0x10000000/0x0",
    ] {
        prerouting("mangle", &format!("-A PREROUTING {wiping}"), &wiped);
    }
    for leaving in [
        "-j MARK --set-xmark 0x1/0xff",
        "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
        "-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
        "-m mark --mark 0x0 -j CONNMARK --restore-mark",
        "-i wan0 -j MARK --set-xmark 0x1/0xffffffff",
    ] {
        prerouting("mangle", &format!("-A PREROUTING {leaving}"), &[]);
    }
    let some = "-A PREROUTING -m connmark ! --mark 0x0 -j CONNMARK --restore-mark";
    prerouting("mangle", some, &[(What::Unmarked, false)]);
    // A mark of the packet's that is set is seen by the rules behind.
    let chained = "-A PREROUTING -j MARK --set-xmark 0x1/0xff\n\
                   -A PREROUTING -m mark --mark 0x1/0xff -j more\n\
                   -A more -j MARK --set-xmark 0x0/0xffffffff";
    prerouting("mangle", chained, &wiped);
}

#[test]
fn chains_come_by_priority() {
    // mangle accepts, which ends its chain only; filter is asked all the same.
    let text = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n*mangle\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n";
    assert_eq!(
        effects(text, Hook::Input),
        [(What::Dropped, true, "policy".to_owned())]
    );
    let text = text.replace("-A INPUT -j ACCEPT", "-A INPUT -j DROP");
    assert_eq!(
        effects(&text, Hook::Input),
        [(What::Dropped, true, "-A INPUT -j DROP".to_owned())]
    );
}

#[test]
fn commands_for_operators() {
    let chain = |tool, family, table: &str, name: &str| Chain {
        tool,
        family,
        table: table.to_owned(),
        name: name.to_owned(),
        base: None,
        rules: Vec::new(),
    };
    let nft = chain(Tool::Nft, Family::Inet, "fw4", "input");
    assert_eq!(nft.to_string(), "nft chain inet fw4 input");
    assert_eq!(
        nft.accepting(BIT),
        "nft insert rule inet fw4 input meta mark and 0x10000000 == 0x10000000 accept"
    );
    let iptables = chain(Tool::Iptables, Family::Ip6, "filter", "INPUT");
    assert_eq!(iptables.to_string(), "ip6tables -t filter, chain INPUT");
    assert_eq!(
        iptables.accepting(BIT),
        "ip6tables -t filter -I INPUT -m mark --mark 0x10000000/0x10000000 -j ACCEPT"
    );
    let legacy = chain(Tool::Legacy, Family::Ip, "filter", "INPUT");
    assert_eq!(legacy.listing(), "iptables-legacy -t filter -S INPUT");
}
