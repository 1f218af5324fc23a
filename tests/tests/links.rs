//! Links that come and go, one by one: by their names, with connections under way.

use std::{net::SocketAddr, time::Duration};

use weir_tests::{
    ASIDE, Addressed, At, Connection, Dial, Failed, Family, HostState, LAN, Layout, Namespace,
    Options, Origin, TunLink, WAN, Weir, World, all_direct, dial, get, known_interfaces, network,
    redial, run_weir, until, use_it,
};

const SOON: Duration = Duration::from_secs(20);
const AWAY: &str = "away0";

/// Both sides of the router, and their places in `weir status`.
const SIDES: [(&str, usize); 2] = [(LAN, 0), (WAN, 1)];

#[test]
fn connections_outlive_a_redialled_link() {
    for (end, place) in SIDES {
        let world = World::new();
        let pair = pair(&world, end);
        let mut running = running(&world);
        for times in 1..=2 {
            redial(pair);
            attached(&world.weir, place, times);
            still_intercepted(&mut running);
            assert!(Family::BOTH.iter().all(|it| world.get(*it).intercepted()));
        }
        nothing_leaked(&world);
    }
}

#[test]
fn connections_outlive_a_redialled_link_without_a_header() {
    for (end, place) in SIDES {
        let mut link = None;
        let world = World::with(&Layout::default(), &Options::default(), |net| {
            link = Some(if end == LAN {
                TunLink::lan(net)
            } else {
                TunLink::wan(net)
            });
        });
        let mut running = running(&world);
        let link = link.unwrap().redial(pair(&world, end));
        attached(&world.weir, place, 1);
        still_intercepted(&mut running);
        assert!(Family::BOTH.iter().all(|it| world.get(*it).intercepted()));
        nothing_leaked(&world);
        drop(link);
    }
}

#[test]
fn connections_outlive_a_link_that_is_down_for_a_while() {
    for (end, place) in SIDES {
        let world = World::new();
        let router = At(&world.net.router, end);
        let before = known_interfaces(&world.net.router, end);
        let mut running = running(&world);
        let addressed = Addressed::of(router);
        world.net.router.ip(&["link", "set", end, "down"]).unwrap();
        addressed.apply(router);
        still_intercepted(&mut running);
        assert!(Family::BOTH.iter().all(|it| world.get(*it).intercepted()));
        // It never went.
        let interface = &world.weir.status()["interfaces"][place];
        assert_eq!(interface["reattached"], 0, "{interface}");
        assert_eq!(known_interfaces(&world.net.router, end), before);
    }
}

#[test]
fn a_renamed_link_is_let_go_and_has_its_role_again_with_its_name() {
    for (end, place) in SIDES {
        let world = World::new();
        let mut running = running(&world);
        rename(&world.net.router, end, AWAY);
        until(SOON, "its loss being noticed", || {
            world.weir.status()["interfaces"][place]["attached"] == false
        });
        let state = HostState::of(&world.net.router, &world.weir.instance);
        assert!(state.lines(&format!("programs {AWAY}")).is_empty());
        all_direct(&world.net);
        rename(&world.net.router, AWAY, end);
        attached(&world.weir, place, 1);
        still_intercepted(&mut running);
        use_it(&world.net);
        nothing_leaked(&world);
    }
}

#[test]
fn another_link_takes_the_name_over() {
    let layout = Layout {
        aside: true,
        ..Layout::default()
    };
    let world = World::with(&layout, &Options::default(), |_| {});
    let aside = world.net.aside.as_ref().unwrap();
    let from_aside = |family: Family| get(aside, (family.aside(), 0), family.http());
    assert!(Family::BOTH.iter().all(|it| from_aside(*it).direct()));
    rename(&world.net.router, LAN, AWAY);
    rename(&world.net.router, ASIDE, LAN);
    attached(&world.weir, 0, 1);
    assert!(Family::BOTH.iter().all(|it| from_aside(*it).intercepted()));
    assert!(Family::BOTH.iter().all(|it| world.get(*it).direct()));
    rename(&world.net.router, LAN, ASIDE);
    rename(&world.net.router, AWAY, LAN);
    attached(&world.weir, 0, 2);
    assert!(Family::BOTH.iter().all(|it| from_aside(*it).direct()));
    assert!(Family::BOTH.iter().all(|it| world.get(*it).intercepted()));
    nothing_leaked(&world);
}

/// The kernel leaves the program on a link that moves to another namespace.
#[test]
fn a_link_that_moves_to_another_namespace_leaves_everything_behind() {
    for (end, place) in SIDES {
        let world = World::new();
        let other = Namespace::further("oth").unwrap();
        let router = At(&world.net.router, end);
        let addressed = Addressed::of(router);
        let mut running = running(&world);
        for times in 1..=2 {
            move_link(&world.net.router, end, &other);
            world.weir.says("the interface is gone");
            until(SOON, "no program on it", || bare(&other, end));
            move_link(&other, end, &world.net.router);
            addressed.apply(router);
            attached(&world.weir, place, times);
            still_intercepted(&mut running);
        }
        nothing_leaked(&world);
    }
}

#[test]
fn a_dead_daemons_link_that_has_moved_is_undone_there() {
    let mut world = World::new();
    let other = Namespace::further("oth").unwrap();
    let router = At(&world.net.router, LAN);
    let addressed = Addressed::of(router);
    world.weir.kill9();
    move_link(&world.net.router, LAN, &other);
    assert!(!bare(&other, LAN), "the kernel has left it there");
    let down = run_weir(&["down", "--instance", &world.weir.instance]);
    assert!(down.status.success(), "{down:?}");
    assert!(bare(&other, LAN));
    move_link(&other, LAN, &world.net.router);
    addressed.apply(router);
    all_direct(&world.net);
}

/// What comes before the daemon knows the new address is intercepted, and leads nowhere.
#[test]
fn addresses_of_the_router_that_come_and_go() {
    let options = Options::config("[limits]\nconnect_timeout = \"300ms\"\n");
    let world = World::with(&Layout::default(), &options, |_| {});
    let router = Origin::start(&world.net.router).unwrap();
    for (family, address, length) in [
        (Family::V4, "10.77.1.77", "/24"),
        (Family::V6, "fd77:1::77", "/64"),
    ] {
        let to = SocketAddr::new(address.parse().unwrap(), 80);
        let way = Dial::new((family.client(), 0), to);
        let mut running = running(&world);
        let with_length = format!("{address}{length}");
        let line = ["address", "add", &with_length, "dev", LAN];
        world.net.router.ip(&line).unwrap();
        until(SOON, "the new address being known", || {
            let echo = world
                .net
                .client
                .run(|| dial(&way).and_then(|mut c| c.echo("/")));
            echo.unwrap().is_ok_and(|echo| echo.direct())
        });
        let (own, connections) = (world.weir.flows("own-address"), router.connections());
        assert!(get(&world.net.client, (family.client(), 0), to).direct());
        assert_eq!(world.weir.flows("own-address"), own + 1);
        assert_eq!(router.connections(), connections + 1);
        let line = ["address", "del", &with_length, "dev", LAN];
        world.net.router.ip(&line).unwrap();
        still_intercepted(&mut running);
        assert!(world.get(family).intercepted());
    }
}

#[test]
fn an_interface_that_is_missing_is_refused_or_waited_for() {
    let net = network(&Layout::default());
    let _origin = Origin::start(&net.origin).unwrap();
    rename(&net.router, LAN, AWAY);
    let Failed { status, output, .. } = Weir::refused(&net.router, &Options::default());
    assert_eq!(status.code(), Some(2), "{output}");
    assert!(
        output.contains("no interface lan0 here (there are "),
        "{output}"
    );
    assert!(output.contains("intercept.missing = \"wait\""), "{output}");

    let waiting = Options::config("[intercept]\nmissing = \"wait\"\n");
    let mut weir = Weir::start(&net.router, &waiting);
    weir.says("no such interface yet: it is waited for");
    assert_eq!(weir.status()["interfaces"][0]["attached"], false);
    assert!(weir.ask(&["status"]).contains("NOT THERE YET"));
    all_direct(&net);
    rename(&net.router, AWAY, LAN);
    attached(&weir, 0, 0);
    use_it(&net);
    weir.stop();
    let rules = net.router.ip(&["rule"]).unwrap();
    assert!(!rules.contains(LAN), "{rules}");
    all_direct(&net);
}

/// The ends of the link on that side of the router.
fn pair<'a>(world: &'a World, end: &'static str) -> [At<'a>; 2] {
    let host = if end == LAN {
        &world.net.client
    } else {
        &world.net.origin
    };
    [At(host, "eth0"), At(&world.net.router, end)]
}

/// A connection of each family, under way.
fn running(world: &World) -> [Connection; 2] {
    let mut running = Family::BOTH.map(|family| world.connect(family));
    still_intercepted(&mut running);
    running
}

#[track_caller]
fn still_intercepted(running: &mut [Connection; 2]) {
    for connection in running {
        assert!(connection.echo("/").unwrap().intercepted());
        connection.download(100_000).unwrap();
    }
}

/// Waits until the interface in this place has been attached so many times again.
#[track_caller]
fn attached(weir: &Weir, place: usize, times: u64) {
    until(SOON, "it being attached", || {
        let interface = &weir.status()["interfaces"][place];
        interface["attached"] == true && interface["reattached"] == times
    });
}

fn rename(namespace: &Namespace, from: &str, to: &str) {
    namespace.ip(&["link", "set", from, "name", to]).unwrap();
}

fn move_link(from: &Namespace, name: &str, to: &Namespace) {
    from.ip(&["link", "set", name, "netns", to.name()]).unwrap();
}

/// Whether the interface carries no program.
fn bare(namespace: &Namespace, name: &str) -> bool {
    let state = HostState::of(namespace, "no instance");
    state.lines(&format!("programs {name}")).is_empty()
}

/// The programs know the two interfaces that there are, and the rules are those of one daemon.
#[track_caller]
fn nothing_leaked(world: &World) {
    let router = &world.net.router;
    for (end, _) in SIDES {
        assert_eq!(known_interfaces(router, end).len(), 2);
    }
    for family in ["-4", "-6"] {
        let rules = router.ip(&[family, "rule"]).unwrap();
        for (end, _) in SIDES {
            assert_eq!(rules.matches(&format!("iif {end} ")).count(), 1, "{rules}");
        }
    }
}
