//! Whom origins see: `spoof.source`.

use weir_tests::{
    BridgeBox, Family, Layout, Network, Options, Plan, STATEFUL, UNTRACKED, Weir, World, connect,
    network, repeat, until_over,
};

fn world(source: &str, prepare: impl FnOnce(&Network)) -> World {
    let config = format!("[spoof]\nsource = \"{source}\"\n");
    World::with(&Layout::default(), &Options::config(&config), prepare)
}

/// Intercepted, and the origin sees the client's own port or another.
#[track_caller]
fn works(world: &World, kept: bool) {
    for family in Family::BOTH {
        // The same port again and again; the client has closed first.
        for _ in 0..3 {
            let before = world.weir.flows("intercepted");
            let from = (family.client(), 40000);
            let mut connection = connect(&world.net.client, from, family.http());
            let echo = connection.echo("/").unwrap();
            assert_eq!(echo.peer().ip(), family.client());
            assert_eq!(echo.direct(), kept, "{family:?}");
            connection.download(1 << 20).unwrap();
            assert!(connection.upload(1 << 20).is_ok());
            assert_eq!(world.weir.flows("intercepted"), before + 1);
            drop(connection);
            until_over(&world.net, 40000);
        }
    }
}

#[test]
fn the_clients_own_port() {
    let world = world("client-port", |_| {});
    works(&world, true);
    let before = world.weir.flows("intercepted");
    let plan = |family| Plan::new(family, 46000..46300);
    let attempts = repeat(&world.net.client, &Family::BOTH.map(plan));
    for attempt in &attempts {
        assert!(attempt.outcome.is_ok(), "{attempt:?}");
    }
    let kept = attempts
        .iter()
        .filter(|attempt| attempt.outcome.as_ref().is_ok_and(|echo| echo.direct()))
        .count();
    assert!(
        kept * 10 > attempts.len() * 9,
        "{kept} of {}",
        attempts.len()
    );
    assert_eq!(
        world.weir.flows("intercepted"),
        before + attempts.len() as u64
    );
}

/// Both legs would share one entry of conntrack.
#[test]
fn another_port_where_the_clients_connection_is_tracked() {
    let world = world("client-port", |net| net.router.nft(STATEFUL).unwrap());
    works(&world, false);
    let plan = |family| Plan::new(family, 46000..46200);
    for attempt in repeat(&world.net.client, &Family::BOTH.map(plan)) {
        assert!(attempt.outcome.is_ok_and(|echo| echo.intercepted()));
    }
}

#[test]
fn conntrack_that_comes_later_and_exemptions_from_it() {
    let world = world("client-port", |_| {});
    works(&world, true);
    world.net.router.nft(STATEFUL).unwrap();
    works(&world, false);
    world.net.router.nft(UNTRACKED).unwrap();
    // What was tracked until now still has its entries.
    world
        .net
        .router
        .sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", "1")
        .unwrap();
    for family in Family::BOTH {
        let echo = world.get(family);
        assert!(echo.direct(), "{family:?}");
    }
    assert_eq!(world.weir.flows("no-listener"), 0);
}

#[test]
fn the_router_itself() {
    let world = world("proxy", |_| {});
    for family in Family::BOTH {
        let before = world.weir.flows("intercepted");
        assert_eq!(world.get(family).peer().ip(), family.router_wan());
        assert_eq!(world.weir.flows("intercepted"), before + 1);
    }
}

#[test]
fn on_a_bridge_there_is_nobody_else_to_be() {
    let net = network(&Layout::default());
    let bridge = BridgeBox::between(&net);
    for (config, words) in [
        ("[spoof]\nsource = \"proxy\"\n", "spoof.source"),
        (
            "[[rule]]\naction = \"allow\"\nspoof = false\n",
            "the source of rule \"rule-1\"",
        ),
        ("[http]\nhost_dns = true\n", "http.host_dns"),
    ] {
        let failed = Weir::refused(&bridge.inside, &BridgeBox::options(config));
        assert_eq!(failed.status.code(), Some(4), "{}", failed.output);
        assert!(failed.output.contains(words), "{}", failed.output);
    }
}
