//! What Weir puts on a host goes again: after a stop, after a crash, after a refused start.

use std::time::Duration;

use nix::sys::signal::Signal;
use weir_tests::{
    ASIDE, Dial, Family, HostState, Namespace, Options, Weir, all_direct, dial, lived_in, until,
    until_some, use_it,
};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn after_a_stop_the_host_is_as_before() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (net, _origin) = lived_in();
        let before = HostState::of(&net.router, "undo-stop");
        let options = Options {
            instance: Some(unique("undo-stop")),
            ..Options::default()
        };
        let mut weir = Weir::start(&net.router, &options);
        let during = HostState::of(&net.router, &weir.instance);
        let difference = before.difference(&during).join("\n");
        assert!(difference.contains("+ rules -4") && difference.contains("+ rules -6"));
        assert!(difference.contains("+ programs lan0") && difference.contains("+ programs wan0"));
        assert!(
            !difference.contains("sysctls"),
            "no sysctl is changed:\n{difference}"
        );
        assert!(
            !difference.contains("- "),
            "nothing of others' is touched:\n{difference}"
        );
        use_it(&net);
        weir.signal(signal);
        let status = until_some(SOON, "the daemon's end", || weir.ended());
        assert!(status.success(), "{signal}: {status}\n{}", weir.output());
        before.assert_same(&HostState::of(&net.router, &weir.instance), "after a stop");
        all_direct(&net);
    }
}

#[test]
fn after_kill_9_and_down_the_host_is_as_before() {
    let (net, _origin) = lived_in();
    let options = Options {
        instance: Some(unique("undo-down")),
        ..Options::default()
    };
    let before = HostState::of(&net.router, "undo-down");
    let mut weir = Weir::start(&net.router, &options);
    use_it(&net);
    weir.kill9();
    weir.ask(&["down"]);
    before.assert_same(
        &HostState::of(&net.router, &weir.instance),
        "after weir down",
    );
    all_direct(&net);
}

#[test]
fn down_stops_a_running_daemon() {
    let (net, _origin) = lived_in();
    let options = Options {
        instance: Some(unique("undo-live")),
        ..Options::default()
    };
    let before = HostState::of(&net.router, "undo-live");
    let mut weir = Weir::start(&net.router, &options);
    use_it(&net);
    weir.ask(&["down"]);
    until(SOON, "the daemon's end", || weir.ended().is_some());
    before.assert_same(
        &HostState::of(&net.router, &weir.instance),
        "after weir down",
    );
}

#[test]
fn after_kill_9_the_next_run_adopts_and_its_stop_undoes() {
    let (net, _origin) = lived_in();
    let options = Options {
        instance: Some(unique("undo-next")),
        ..Options::default()
    };
    let before = HostState::of(&net.router, "undo-next");
    let mut weir = Weir::start(&net.router, &options);
    let during = HostState::of(&net.router, &weir.instance);
    for _ in 0..3 {
        use_it(&net);
        weir.kill9();
        all_direct(&net);
        weir.start_again();
    }
    // With the run directory lost, too: what carries our names is found all the same.
    weir.kill9();
    std::fs::remove_dir_all(weir.run_dir()).unwrap();
    weir.start_again();
    use_it(&net);
    let after = HostState::of(&net.router, &weir.instance);
    for subject in ["rules -4", "rules -6", "routes -4", "routes -6"] {
        assert_eq!(
            during.lines(subject),
            after.lines(subject),
            "{subject}: once, not twice"
        );
    }
    let programs = |state: &HostState| state.lines("programs lan0").len();
    assert_eq!(
        programs(&during),
        programs(&after),
        "one program an interface, not two"
    );
    weir.stop();
    before.assert_same(
        &HostState::of(&net.router, &weir.instance),
        "after adoption and stop",
    );
    all_direct(&net);
}

#[test]
fn a_stop_leaves_what_others_did_meanwhile() {
    let (net, _origin) = lived_in();
    let mut weir = Weir::start(&net.router, &Options::default());
    net.router
        .ip(&["rule", "add", "fwmark", "0x20", "lookup", "4242"])
        .unwrap();
    net.router
        .nft("table inet others { chain c { type filter hook input priority 0; }; }")
        .unwrap();
    let tables = |ns: &Namespace| {
        ns.command("nft")
            .args(["list", "tables"])
            .output()
            .unwrap()
            .stdout
    };
    let before = tables(&net.router);
    weir.stop();
    assert!(net.router.ip(&["rule"]).unwrap().contains("fwmark 0x20 "));
    assert_eq!(tables(&net.router), before);
}

#[test]
fn an_interface_that_vanishes_takes_nothing_with_it() {
    let (net, _origin) = lived_in();
    let mut options = Options::default();
    options.lan.push(ASIDE.to_owned());
    let mut weir = Weir::start(&net.router, &options);
    net.router.ip(&["link", "delete", ASIDE]).unwrap();
    use_it(&net);
    let before = net.router.ip(&["rule"]).unwrap();
    assert!(before.contains("lan0"), "{before}");
    weir.stop();
    let rules = net.router.ip(&["rule"]).unwrap();
    assert!(!rules.contains("lan0") && !rules.contains(ASIDE), "{rules}");
    all_direct(&net);
}

/// A redialled line, a re-created bridge: the same name, another index.
#[test]
fn an_interface_that_comes_back_is_intercepted_on_again() {
    let (net, _origin) = lived_in();
    let mut weir = Weir::start(&net.router, &Options::default());
    use_it(&net);
    net.router.ip(&["link", "delete", "lan0"]).unwrap();
    until(SOON, "its loss being noticed", || {
        weir.status()["interfaces"][0]["attached"] == false
    });

    let (client, router) = (net.client.name(), net.router.name());
    let pair = ["peer", "name", "lan0", "netns", router];
    net.router
        .ip(&[
            &["link", "add", "eth0", "netns", client, "type", "veth"],
            &pair[..],
        ]
        .concat())
        .unwrap();
    for (end, device, hosts) in [(&net.client, "eth0", [2, 3]), (&net.router, "lan0", [1, 1])] {
        for host in hosts {
            // The router's one address is asked for twice.
            let _ = end.ip(&[
                "address",
                "add",
                &format!("10.77.1.{host}/24"),
                "dev",
                device,
            ]);
            let v6 = format!("fd77:1::{host}/64");
            let _ = end.ip(&["address", "add", &v6, "dev", device, "nodad"]);
        }
        end.ip(&["link", "set", device, "up"]).unwrap();
    }
    net.client
        .ip(&["route", "add", "default", "via", "10.77.1.1"])
        .unwrap();
    net.client
        .ip(&["-6", "route", "add", "default", "via", "fd77:1::1"])
        .unwrap();
    until(SOON, "both families' interception", || {
        Family::BOTH.into_iter().all(|family| {
            let way = Dial::new((family.client(), 0), family.http());
            let echo = net.client.run(|| dial(&way).and_then(|mut c| c.echo("/")));
            echo.unwrap().is_ok_and(|echo| echo.intercepted())
        })
    });
    weir.says("attached again");
    weir.stop();
    all_direct(&net);
}

#[test]
fn two_instances_in_two_namespaces_do_not_meet() {
    let worlds = [lived_in(), lived_in()];
    let mut weirs = worlds
        .each_ref()
        .map(|(net, _)| Weir::start(&net.router, &Options::default()));
    worlds.iter().for_each(|(net, _)| use_it(net));
    weirs[0].stop();
    all_direct(&worlds[0].0);
    use_it(&worlds[1].0);
    weirs[0].start_again();
    weirs[1].kill9();
    use_it(&worlds[0].0);
    all_direct(&worlds[1].0);
}

/// The instance's name is known before there is one, to look for its files.
fn unique(prefix: &str) -> String {
    format!(
        "{prefix}-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    )
    .replace(['(', ')'], "")
}
