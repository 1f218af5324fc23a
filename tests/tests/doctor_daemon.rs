//! What `weir doctor` learns of a daemon that runs: the last minute, as measured, and what has
//! changed since its start. And silence where all is well.

use std::{net::TcpStream, time::Duration};

use nix::net::if_::if_nametoindex;
use proxy_userspace::dataplane::attach;
use serde_json::Value;
use weir_tests::{
    BridgeWorld, Doctor, Family, HostState, Layout, Options, WAN, World, connect, run_weir, until,
    until_some,
};

const SOON: Duration = Duration::from_secs(20);

#[track_caller]
fn examine(world: &World) -> Doctor {
    Doctor::examine(&["--instance", &world.weir.instance])
}

#[track_caller]
fn fix(world: &World) -> Doctor {
    Doctor::examine(&["--fix", "--instance", &world.weir.instance])
}

const NONE: [Value; 0] = [];

/// A connect that is given up soon.
fn attempt(world: &World) {
    let connect = || {
        let _ = TcpStream::connect_timeout(&Family::V4.http(), Duration::from_millis(100));
    };
    world.net.client.run(connect).unwrap();
}

#[test]
fn a_minute_in_which_all_went_well() {
    let world = World::new();
    for family in Family::BOTH {
        for _ in 0..10 {
            assert!(world.get(family).intercepted());
        }
    }
    let doctor = examine(&world);
    assert_eq!((doctor.code, doctor.alarms()), (0, vec![]));
    let measured = doctor.findings(|it| it["check"] == "measured");
    assert_eq!(
        measured[0]["found"],
        "20 SYNs arrived, 20 connections accepted"
    );
    let drift = doctor.findings(|it| it["check"] == "drift");
    assert_eq!(drift.len(), 1, "{drift:?}");
    assert_eq!(drift[0]["level"], "ok");
}

/// A rule that the doctor cannot see through, and what it does.
#[test]
fn syns_that_are_lost_are_counted() {
    let world = World::new();
    // A set of addresses is something that may hold or not.
    world
        .net
        .router
        .nft(&format!(
            "table inet fw {{ set bad {{ type ipv4_addr; elements = {{ {} }}; }}; chain input {{ \
             type filter hook input priority filter; ip saddr @bad drop; }}; }}",
            Family::V4.client()
        ))
        .unwrap();
    let doctor = until_some(SOON, "SYNs that are lost", || {
        attempt(&world);
        let doctor = examine(&world);
        (!doctor.coded("syns-lost").is_empty()).then_some(doctor)
    });
    let line = doctor.only("syns-lost");
    assert!(
        line.starts_with("error lan0: ") && line.ends_with("did not reach the listener (ipv4)"),
        "{line}"
    );
    assert_eq!(doctor.code, 4);
    // The rule is named, and left alone: it is about somebody.
    assert!(
        doctor.only("input-drops").starts_with("note "),
        "{doctor:#?}"
    );
    world.net.router.nft("delete table inet fw").unwrap();
    // What was before a reload does not count.
    world.weir.reload("");
    assert!(world.get(Family::V4).intercepted());
    assert_eq!(examine(&world).alarms(), NONE);
}

#[test]
fn answers_that_clients_do_not_get() {
    let world = World::new();
    let silent = examine(&world);
    assert!(silent.coded("syns-unanswered").is_empty());
    world
        .net
        .router
        .nft(&format!(
            "table inet fw {{ chain output {{ type filter hook output priority filter; \
             ip daddr {} tcp sport 80 drop; }}; }}",
            Family::V4.client()
        ))
        .unwrap();
    let doctor = until_some(SOON, "SYNs that are not answered", || {
        attempt(&world);
        let doctor = examine(&world);
        (!doctor.coded("syns-unanswered").is_empty()).then_some(doctor)
    });
    let line = doctor.only("syns-unanswered");
    assert!(line.contains("SYNs reached the listener"), "{line}");
}

#[test]
fn ports_that_ran_out() {
    let options = Options::config("[spoof]\nports = \"20000-20001\"\n");
    let world = World::with(&Layout::default(), &options, |_| {});
    assert!(examine(&world).coded("ports-exhausted").is_empty());
    let mut open = Vec::new();
    until(SOON, "no port left", || {
        let mut connection = connect(
            &world.net.client,
            (Family::V4.client(), 0),
            Family::V4.http(),
        );
        connection
            .send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        open.push(connection);
        world.weir.outcomes("no-source-port") > 0
    });
    let doctor = examine(&world);
    let line = doctor.only("ports-exhausted");
    assert!(
        line.starts_with("error instance ") && line.contains("found no free port to an origin"),
        "{line}"
    );
}

/// What somebody takes away of ours is found, and put back: by the daemon, and by no restart.
#[test]
fn what_is_gone_of_ours_is_put_back() {
    let world = World::new();
    let router = &world.net.router;
    let before = HostState::of(router, "none").without(&["sockets"]);
    let ip = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        router.ip(&words).unwrap();
    };
    ip("rule del iif lan0 fwmark 0x10000000/0x10000000 lookup 8780");
    ip("-6 rule del iif wan0 fwmark 0x10000000/0x10000000 lookup 8780");
    ip("-6 route flush table 8780");
    router
        .run(|| attach::detach_all(WAN, if_nametoindex(WAN).unwrap()).unwrap())
        .unwrap();
    let doctor = examine(&world);
    let objects = |code: &str| {
        let findings = doctor.coded(code);
        let object = |it: &Value| it["object"].as_str().unwrap().to_owned();
        findings.iter().map(object).collect::<Vec<_>>()
    };
    assert_eq!(
        objects("rule-missing"),
        [
            "ip rule add priority 87 iif lan0 fwmark 0x10000000/0x10000000 lookup 8780 protocol 87",
            "ip -6 rule add priority 87 iif wan0 fwmark 0x10000000/0x10000000 lookup 8780 protocol 87",
        ]
    );
    assert_eq!(
        objects("route-missing"),
        ["ip -6 route add local default dev lo table 8780 protocol 87"]
    );
    assert_eq!(objects("program-missing"), ["wan0"]);
    assert_eq!(doctor.code, 4);

    let fixed = fix(&world);
    assert_eq!((fixed.code, fixed.alarms()), (0, vec![]));
    assert_eq!(fixed.report["fixed"].as_array().unwrap().len(), 4);
    let after = HostState::of(router, "none").without(&["sockets"]);
    before.assert_same(&after, "after --fix");
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
    // Nothing is left to mend, and nothing of it is to be undone: it is the daemon's.
    assert_eq!(fix(&world).report["fixed"], serde_json::json!([]));
    let undo = run_weir(&["doctor", "--undo", "--instance", &world.weir.instance]);
    assert!(undo.status.success() && undo.stdout.is_empty(), "{undo:?}");
}

#[test]
fn what_others_have_changed_since() {
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        net.router
            .sysctl("net.ipv4.conf.lan0.rp_filter", "0")
            .unwrap();
    });
    let router = &world.net.router;
    router.sysctl("net.ipv4.conf.lan0.rp_filter", "1").unwrap();
    router
        .sysctl("net.ipv6.conf.lan0.disable_ipv6", "1")
        .unwrap();
    router
        .ip(&[
            "rule",
            "add",
            "from",
            "198.18.0.0/15",
            "lookup",
            "4242",
            "priority",
            "500",
        ])
        .unwrap();
    let doctor = examine(&world);
    let drift: Vec<_> = doctor
        .troubles("drift")
        .into_iter()
        .filter(|line| !line.contains("forwarding"))
        .collect();
    assert_eq!(
        drift,
        [
            "note net.ipv4.conf.lan0.rp_filter: was 0 when weir started, and is 1",
            "warning net.ipv6.conf.lan0.disable_ipv6: was 0 when weir started, and is 1",
            "note ip rule 500: from 198.18.0.0/15 lookup 4242: came after weir had started",
        ]
    );
}

/// On a bridge there is more that is ours, a kernel parameter among it.
#[test]
fn what_is_gone_of_a_bridge_is_put_back() {
    let world = BridgeWorld::new(|bridge, _| {
        for (name, key, value) in [
            ("all", "src_valid_mark", "0"),
            ("br0", "src_valid_mark", "0"),
            ("br0", "rp_filter", "1"),
        ] {
            let key = format!("net.ipv4.conf.{name}.{key}");
            bridge.inside.sysctl(&key, value).unwrap();
        }
    });
    let instance = ["--instance", &world.weir.instance];
    let doctor = Doctor::examine(&instance);
    assert_eq!(doctor.troubles("drift"), [""; 0], "{doctor:#?}");
    let inside = &world.bridge.inside;
    for words in [
        "rule del fwmark 0x20000000/0x20000000 lookup 8781",
        "-6 route flush table 8781",
    ] {
        let words: Vec<_> = words.split(' ').collect();
        inside.ip(&words).unwrap();
    }
    let key = "net.ipv4.conf.br0.src_valid_mark";
    inside.sysctl(key, "0").unwrap();
    let doctor = Doctor::examine(&instance);
    assert_eq!(
        doctor.troubles("drift"),
        [
            "error ip rule add priority 87 fwmark 0x20000000/0x20000000 lookup 8781 protocol 87: is gone",
            "error ip -6 route of table 8781 through the bridge: is gone",
            "error net/ipv4/conf/br0/src_valid_mark: is no longer as weir has set it",
        ]
    );
    let fixed = Doctor::examine(&["--fix", instance[0], instance[1]]);
    assert_eq!(fixed.troubles("drift"), [""; 0], "{fixed:#?}");
    assert_eq!(inside.read_sysctl(key).unwrap(), "1");
    world.works();
}
