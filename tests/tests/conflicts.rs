//! Numbers of ours that somebody else uses: refused by name, and the way out works.

use weir_tests::{Failed, Family, HostState, Network, Options, Origin, Weir, lived_in};

/// Somebody else's, as `ip` adds it; where it is named; the key that moves us out of its way.
struct Conflict {
    theirs: &'static [&'static str],
    named: &'static [&'static str],
    key: &'static str,
    way_out: &'static str,
}

const RULES_WITH_OUR_MARKS: &[Conflict] = &[
    Conflict {
        theirs: &[
            "rule",
            "add",
            "fwmark",
            "0x10000000/0x10000000",
            "lookup",
            "4242",
            "priority",
            "500",
        ],
        named: &["ip rule 500", "0x10000000", "4242"],
        key: "`steer_mark`",
        way_out: "[host]\nsteer_mark = 0x40000000\n",
    },
    // One bit of several is ours.
    Conflict {
        theirs: &[
            "rule",
            "add",
            "fwmark",
            "0x1f000000/0xff000000",
            "lookup",
            "4242",
            "priority",
            "501",
        ],
        named: &["ip rule 501", "0x10000000", "4242"],
        key: "`steer_mark`",
        way_out: "[host]\nsteer_mark = 0x400000\n",
    },
    Conflict {
        theirs: &[
            "rule",
            "add",
            "fwmark",
            "0x20000000/0x20000000",
            "lookup",
            "4242",
            "priority",
            "502",
        ],
        named: &["ip rule 502", "0x20000000", "4242"],
        key: "`socket_mark`",
        way_out: "[host]\nsocket_mark = 0x40000000\n",
    },
];

const USES_OF_OUR_TABLE: &[Conflict] = &[
    Conflict {
        theirs: &[
            "rule",
            "add",
            "from",
            "198.18.0.0/15",
            "lookup",
            "8780",
            "priority",
            "600",
        ],
        named: &["ip rule 600", "table 8780"],
        key: "`table`",
        way_out: "[host]\ntable = 8781\n",
    },
    Conflict {
        theirs: &[
            "-6",
            "rule",
            "add",
            "from",
            "2001:db8::/32",
            "lookup",
            "8780",
            "priority",
            "601",
        ],
        named: &["ip rule 601", "table 8780"],
        key: "`table`",
        way_out: "[host]\ntable = 8781\n",
    },
    Conflict {
        theirs: &[
            "route",
            "add",
            "198.18.0.0/15",
            "dev",
            "aside0",
            "table",
            "8780",
        ],
        named: &["198.18.0.0/15", "table 8780"],
        key: "`table`",
        way_out: "[host]\ntable = 70000\n",
    },
    Conflict {
        theirs: &[
            "-6",
            "route",
            "add",
            "2001:db8::/32",
            "dev",
            "aside0",
            "table",
            "8780",
        ],
        named: &["2001:db8::/32", "table 8780"],
        key: "`table`",
        way_out: "[host]\ntable = 200\n",
    },
    Conflict {
        theirs: &["route", "add", "blackhole", "default", "table", "8780"],
        named: &["default", "table 8780"],
        key: "`table`",
        way_out: "[host]\ntable = 8781\n",
    },
];

#[test]
fn a_rule_with_a_mark_of_ours() {
    RULES_WITH_OUR_MARKS.iter().for_each(refused_and_moved);
}

#[test]
fn a_rule_or_a_route_of_a_table_of_ours() {
    USES_OF_OUR_TABLE.iter().for_each(refused_and_moved);
}

#[test]
fn several_at_once() {
    let (net, _origin) = lived_in();
    for conflict in [&RULES_WITH_OUR_MARKS[0], &USES_OF_OUR_TABLE[0]] {
        net.router.ip(conflict.theirs).unwrap();
    }
    let half = Options::config("[host]\ntable = 8781\n");
    let output = refused(&net, &half);
    assert!(output.contains("`steer_mark`"), "{output}");
    let other_half = Options::config("[host]\nsteer_mark = 0x40000000\n");
    let output = refused(&net, &other_half);
    assert!(output.contains("`table`"), "{output}");
    works(
        &net,
        "[host]\ntable = 8781\nsteer_mark = 0x40000000\npriority = 1\n",
    );
}

#[test]
fn what_only_looks_alike_is_none() {
    let (net, _origin) = lived_in();
    for theirs in [
        // Other bits, with and without a mask.
        &[
            "rule",
            "add",
            "fwmark",
            "0x40000000/0x40000000",
            "lookup",
            "4242",
        ][..],
        &["rule", "add", "fwmark", "0x87", "lookup", "4242"],
        // Our bit in the mask, but they want it to be 0.
        &["rule", "add", "fwmark", "0x1/0x10000001", "lookup", "4242"],
        // Our priority.
        &[
            "rule",
            "add",
            "from",
            "198.18.0.0/15",
            "lookup",
            "4242",
            "priority",
            "87",
        ],
        // Another table with a number like it.
        &[
            "route",
            "add",
            "198.18.0.0/15",
            "dev",
            "aside0",
            "table",
            "8779",
        ],
    ] {
        net.router.ip(theirs).unwrap();
    }
    works(&net, "");
}

fn refused_and_moved(conflict: &Conflict) {
    let (net, origin) = lived_in();
    net.router.ip(conflict.theirs).unwrap();
    let output = refused(&net, &Options::default());
    for word in conflict.named.iter().chain([&conflict.key, &"[host]"]) {
        assert!(
            output.contains(word),
            "{:?}: {word}: {output}",
            conflict.theirs
        );
    }
    works(&net, conflict.way_out);
    drop::<Origin>(origin);
}

/// What it says; exit code 4, and the host as before.
#[track_caller]
fn refused(net: &Network, options: &Options) -> String {
    let before = HostState::of(&net.router, "none yet");
    let Failed {
        instance,
        status,
        output,
    } = Weir::refused(&net.router, options);
    assert_eq!(status.code(), Some(4), "{output}");
    before.assert_same(&HostState::of(&net.router, &instance), "after the refusal");
    output
}

/// Intercepts with this configuration, and leaves what is somebody else's.
#[track_caller]
fn works(net: &Network, config: &str) {
    let before = HostState::of(&net.router, "none yet");
    let mut weir = Weir::start(&net.router, &Options::config(config));
    weir_tests::use_it(net);
    for family in Family::BOTH {
        let mut connection = weir_tests::connect(&net.client, (family.client(), 0), family.http());
        connection.upload(1 << 20).unwrap();
        connection.download(1 << 20).unwrap();
    }
    weir.stop();
    let after = HostState::of(&net.router, &weir.instance);
    before.assert_same(&after, "after the stop");
    weir_tests::all_direct(net);
}
