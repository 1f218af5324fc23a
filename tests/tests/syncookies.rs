//! Handshakes by SYN cookie, and listeners of somebody else on the watched port.
//!
//! With `net.ipv4.tcp_syncookies=2` the kernel keeps nothing of a SYN: the client's ACK comes to
//! a listener, and only the cookie in it tells that it belongs to one of ours.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
};

use weir_tests::{Family, Layout, Network, Options, Pattern, Plan, Server, World, connect, repeat};

const EACH: u16 = 100;

/// What the router's own server says, so that nobody takes it for the origin.
const ROUTER: &[u8] = b"the router itself\n";

#[test]
fn two_hundred_handshakes_by_cookie() {
    let world = with_cookies();
    let plans = Family::BOTH.map(|family| Plan::new(family, 47000..47000 + EACH));
    for attempt in repeat(&world.net.client, &plans) {
        let echo = attempt.outcome.as_ref();
        assert!(echo.is_ok_and(|echo| echo.intercepted()), "{attempt:?}");
    }
    let all = 2 * u64::from(EACH);
    assert_eq!(world.weir.flows("intercepted"), all);
    let cookies = world.weir.packets("cookie-steered");
    assert!(cookies >= all, "{cookies} of {all} by cookie");
}

#[test]
fn bodies_both_ways_after_a_cookie() {
    let world = with_cookies();
    for family in Family::BOTH {
        let cookies = world.weir.packets("cookie-steered");
        let mut connection = world.connect(family);
        connection.upload(1 << 20).unwrap();
        connection.download(1 << 20).unwrap();
        assert!(world.weir.packets("cookie-steered") > cookies);
    }
}

#[test]
fn without_cookies_none_is_counted() {
    let world = World::new();
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
    assert_eq!(world.weir.packets("cookie-steered"), 0);
}

#[test]
fn a_bypassed_flow_beside_a_server_of_the_routers_own() {
    for cookies in ["0", "1", "2"] {
        let world = World::with(&Layout::default(), &Options::default(), |net| {
            set_cookies(net, cookies);
        });
        let _servers = servers(&world.net);
        for family in Family::BOTH {
            assert!(world.get(family).intercepted(), "{cookies} {family:?}");
            let steered = world.weir.packets("cookie-steered");
            let prefix = format!("{}/{}", family.origin(1), family.host_length());
            world.weir.bypass(&["add", &prefix]);
            let to = SocketAddr::new(family.origin(1), 80);
            for _ in 0..20 {
                let mut direct = connect(&world.net.client, (family.client(), 0), to);
                assert!(direct.echo("/").unwrap().direct(), "{cookies} {family:?}");
                let body = direct.get("/bytes/100000").unwrap().body;
                assert_eq!(body, Pattern::bytes(100_000));
            }
            // Its ACKs find the router's own listener, which never sent a cookie.
            assert_eq!(world.weir.packets("cookie-steered"), steered);
            assert!(world.get(family).intercepted());
        }
    }
}

#[test]
fn the_routers_own_server_answers_with_cookies_too() {
    for cookies in ["1", "2"] {
        let world = World::with(&Layout::default(), &Options::default(), |net| {
            set_cookies(net, cookies);
        });
        let _servers = servers(&world.net);
        for family in Family::BOTH {
            for address in [family.router_lan(), family.router_wan()] {
                let mut own = connect(&world.net.client, (family.client(), 0), (address, 80));
                own.send("?").unwrap();
                assert_eq!(own.to_end().unwrap(), ROUTER, "{cookies}: {address}");
            }
            assert!(world.get(family).intercepted());
        }
        assert_eq!(world.weir.flows("own-address"), 4);
        assert_eq!(world.weir.flows("intercepted"), 2);
    }
}

fn with_cookies() -> World {
    World::with(&Layout::default(), &Options::default(), |net| {
        set_cookies(net, "2");
    })
}

fn set_cookies(net: &Network, value: &str) {
    net.router.sysctl("net.ipv4.tcp_syncookies", value).unwrap();
}

/// On port 80 of every address of the router, in each family.
fn servers(net: &Network) -> [Server; 2] {
    let everywhere = [
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::from(Ipv6Addr::UNSPECIFIED),
    ];
    everywhere.map(|address| {
        let serve = |mut stream: TcpStream| {
            stream.read_exact(&mut [0])?;
            stream.write_all(ROUTER)
        };
        Server::start(&net.router, SocketAddr::new(address, 80), serve)
    })
}
