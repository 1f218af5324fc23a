//! What `weir doctor` says of the kernel, of default routes, of bridges and of what other
//! transparent proxies have left: each trouble is named, and nothing where there is none.

use std::{process::Command, time::Duration};

use weir_tests::{Doctor, LAN, Layout, Network, WAN, World, network, until_some, weir_binary};

/// How long neighbours are asked before they count as silent, and more.
const SILENCE: Duration = Duration::from_secs(20);

#[track_caller]
fn examine(net: &Network) -> Doctor {
    let netns = net.router.name();
    Doctor::examine(&["--lan", LAN, "--wan", WAN, "--netns", netns])
}

#[track_caller]
fn ip(net: &Network, arguments: &str) {
    let words: Vec<_> = arguments.split(' ').collect();
    net.router.ip(&words).unwrap();
}

/// What the kernel has is tried: the programs are loaded, and maps made beyond the limit.
#[test]
fn the_kernel_is_tried() {
    let net = network(&Layout::default());
    let netns = net.router.name();
    let mut doctor = Command::new("prlimit");
    doctor.arg("--memlock=65536").arg(weir_binary());
    doctor.args([
        "doctor", "--json", "--lan", LAN, "--wan", WAN, "--netns", netns,
    ]);
    let output = doctor.output().unwrap();
    let doctor = Doctor {
        code: output.status.code().unwrap(),
        report: serde_json::from_slice(&output.stdout).unwrap(),
    };
    assert_eq!((doctor.code, doctor.alarms()), (0, vec![]));
    for (object, found) in [
        ("programs", "the kernel takes them"),
        ("RLIMIT_MEMLOCK", "64 KiB, and maps are not charged to it"),
        ("BPF file system", "can be had"),
        ("sk_lookup", "supported"),
    ] {
        let findings = doctor.findings(|it| it["object"] == object);
        assert_eq!(findings.len(), 1, "{object}: {doctor:#?}");
        assert_eq!(findings[0]["found"], found, "{object}");
    }
    let parts = doctor.findings(|it| it["object"] == "BPF helpers and maps");
    let parts = parts[0]["found"].as_str().unwrap();
    for name in [
        "bpf_skc_lookup_tcp",
        "bpf_fib_lookup",
        "BPF_MAP_TYPE_SOCKMAP",
    ] {
        assert!(parts.contains(name), "{parts}");
    }
    // A daemon that runs has its programs in the kernel: they are not loaded again.
    let world = World::new();
    let doctor = Doctor::examine(&["--instance", &world.weir.instance]);
    let programs = doctor.findings(|it| it["object"] == "programs");
    assert_eq!(programs, [] as [serde_json::Value; 0]);
}

#[test]
fn default_routes() {
    let net = network(&Layout {
        aside: true,
        ..Layout::default()
    });
    let doctor = examine(&net);
    assert_eq!(doctor.coded("no-default").len(), 2, "{doctor:#?}");
    let of_v4 = |doctor: &Doctor, code: &str| {
        let findings =
            doctor.findings(|it| it["code"] == code && it["object"] == "IPv4 default route");
        assert_eq!(findings.len(), 1, "{code}: {doctor:#?}");
        let text = |key: &str| findings[0][key].as_str().unwrap().to_owned();
        (text("level"), text("found"), text("remedy"))
    };

    // A way out of a WAN, in both families, is as it should be.
    ip(&net, "route add default dev wan0 metric 50");
    ip(&net, "-6 route add default dev wan0 metric 50");
    let doctor = examine(&net);
    for family in ["IPv4", "IPv6"] {
        let object = format!("{family} default route");
        let route = doctor.findings(|it| it["object"] == object.as_str());
        assert_eq!(route[0]["found"], "leads out of wan0", "{doctor:#?}");
        assert_eq!(route[0]["level"], "ok");
    }
    assert_eq!((doctor.code, doctor.alarms()), (0, vec![]));

    // The one that comes first counts; what is said to do helps.
    for (route, code, level, found) in [
        (
            "blackhole default metric 10",
            "default-dead-end",
            "error",
            "blackhole",
        ),
        (
            "unreachable default metric 10",
            "default-dead-end",
            "error",
            "unreachable",
        ),
        (
            "default dev aside0 metric 10",
            "default-elsewhere",
            "warning",
            "leads out of aside0, which is no WAN",
        ),
    ] {
        ip(&net, &format!("route add {route}"));
        let doctor = examine(&net);
        let (its_level, its_found, _) = of_v4(&doctor, code);
        assert_eq!((&its_level[..], &its_found[..]), (level, found));
        assert_eq!(doctor.code, if level == "error" { 4 } else { 0 });
        ip(&net, &format!("route del {route}"));
    }
    assert_eq!(examine(&net).alarms(), [] as [serde_json::Value; 0]);
}

/// A router that does not answer is found by what the kernel knows of it.
#[test]
fn a_default_route_to_nobody() {
    let net = network(&Layout::default());
    let gateway = "203.0.113.9";
    ip(&net, &format!("route add {gateway} dev wan0"));
    ip(&net, &format!("route add default via {gateway} dev wan0"));
    let doctor = until_some(SILENCE, "a neighbour that is silent", || {
        // It is asked for as long as somebody wants to send to it.
        let _ = net.router.run(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            let _ = socket.send_to(b"?", "192.0.2.99:9");
        });
        let doctor = examine(&net);
        (!doctor.coded("default-dead-end").is_empty()).then_some(doctor)
    });
    assert_eq!(
        doctor.only("default-dead-end"),
        format!("error IPv4 default route: {gateway}, on wan0, does not answer")
    );
}

/// What the recipe for Squid has put there, in the tools of the recipe.
#[test]
fn leftovers_of_a_tproxy_set_up() {
    let net = network(&Layout::default());
    ip(&net, "rule add fwmark 1 lookup 100");
    ip(&net, "route add local default dev lo table 100");
    ip(&net, "-6 rule add fwmark 1 lookup 100");
    ip(&net, "-6 route add local default dev lo table 100");
    let doctor = examine(&net);
    let routing = doctor.coded("tproxy-routing");
    assert_eq!(routing.len(), 2, "{doctor:#?}");
    // The commands remove it.
    for finding in &routing {
        let remedy = finding["remedy"].as_str().unwrap();
        let status = net.router.command("sh").args(["-c", remedy]).status();
        assert!(status.unwrap().success(), "{remedy}");
    }
    assert!(examine(&net).coded("tproxy-routing").is_empty());

    for tool in ["iptables-nft", "iptables-legacy"] {
        let run = |command: &str| {
            let status = net.router.command("sh").args(["-c", command]).status();
            assert!(status.unwrap().success(), "{command}");
        };
        let rule = |words: &str| run(&format!("{tool} -t mangle {words}"));
        rule("-N DIVERT");
        rule("-A DIVERT -j MARK --set-mark 1");
        rule("-A DIVERT -j ACCEPT");
        rule("-A PREROUTING -p tcp -m socket -j DIVERT");
        let doctor = examine(&net);
        let divert = doctor.only("divert-chain");
        assert!(
            divert.ends_with("marks packets of transparent sockets"),
            "{divert}"
        );
        assert_eq!(doctor.coded("mark-wiped").len(), 1, "{doctor:#?}");
        let remedy = doctor.coded("divert-chain")[0]["remedy"].clone();
        run(remedy.as_str().unwrap());
        let doctor = examine(&net);
        assert!(doctor.coded("divert-chain").is_empty(), "{doctor:#?}");
        assert!(doctor.coded("mark-wiped").is_empty(), "{doctor:#?}");
    }
}

/// Frames that another proxy's rules have routed: in the names of ebtables, which not every version of
/// it can be had to use; `meta broute` is decoded in a unit test.
#[test]
fn frames_that_are_routed_instead_of_bridged() {
    let net = network(&Layout::default());
    net.router
        .nft(
            "table bridge filter { chain FORWARD { type filter hook forward priority 0; \
             tcp dport 80 accept; }; }",
        )
        .unwrap();
    assert!(examine(&net).coded("broute").is_empty());
    net.router
        .nft(
            "table bridge broute { chain BROUTING { type filter hook prerouting priority -300; \
             tcp dport 80 drop; }; }",
        )
        .unwrap();
    let doctor = examine(&net);
    assert_eq!(
        doctor.only("broute"),
        "warning ebtables -t broute, chain BROUTING: frames are routed, not bridged"
    );
    assert_eq!(
        doctor.coded("broute")[0]["remedy"],
        "ebtables -t broute -F BROUTING"
    );
    net.router
        .nft("flush chain bridge broute BROUTING")
        .unwrap();
    assert!(examine(&net).coded("broute").is_empty());
}

/// With the client's own port both sides of a connection are one to conntrack.
#[test]
fn what_conntrack_has_for_invalid() {
    let net = network(&Layout::default());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("weir.toml");
    for (source, level) in [("client", "note"), ("client-port", "warning")] {
        std::fs::write(
            &file,
            format!(
                "[intercept]\nlan = [\"lan0\"]\nwan = [\"wan0\"]\n[spoof]\nsource = \"{source}\"\n"
            ),
        )
        .unwrap();
        let file = file.to_str().unwrap();
        let examine = || Doctor::examine(&["--config", file, "--netns", net.router.name()]);
        assert!(examine().coded("invalid-drops").is_empty());
        for hook in ["prerouting", "input", "output"] {
            net.router
                .nft(&format!(
                    "table inet t {{ chain c {{ type filter hook {hook} priority filter; \
                     ct state invalid drop; }}; }}"
                ))
                .unwrap();
            let doctor = examine();
            let line = doctor.only("invalid-drops");
            assert!(
                line.starts_with(&format!("{level} nft chain inet t c, rule handle "))
                    && line.contains("drops what conntrack has for invalid: TCP "),
                "{hook}: {line}"
            );
            let remedy = doctor.coded("invalid-drops")[0]["remedy"].clone();
            let command = net
                .router
                .command("sh")
                .args(["-c", remedy.as_str().unwrap()])
                .status();
            assert!(command.unwrap().success(), "{remedy}");
            assert!(examine().coded("invalid-drops").is_empty(), "{hook}");
            net.router.nft("delete table inet t").unwrap();
        }
    }
}

/// Nothing of this is said of a router that is well.
#[test]
fn a_router_without_leftovers() {
    let world = World::new();
    let doctor = Doctor::examine(&["--instance", &world.weir.instance]);
    for code in [
        "broute",
        "tproxy-routing",
        "divert-chain",
        "invalid-drops",
        "default-dead-end",
    ] {
        assert!(doctor.coded(code).is_empty(), "{code}: {doctor:#?}");
    }
    assert_eq!((doctor.code, doctor.alarms()), (0, vec![]));
}
