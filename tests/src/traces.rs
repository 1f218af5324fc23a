//! A router that somebody lives on, and traffic that leaves every trace it can.

use proxy_userspace::lab::{ASIDE, Family, Layout, Network, Origin};

use crate::{
    client::{connect, get},
    network,
};

/// A network whose router has rules, a ruleset and tables of somebody else's, which must stay.
///
/// # Panics
///
/// When any of it does not come about.
#[must_use]
pub fn lived_in() -> (Network, Origin) {
    let net = network(&Layout {
        aside: true,
        ..Layout::default()
    });
    let origin = Origin::start(&net.origin).unwrap();
    for family in ["-4", "-6"] {
        let rule = [
            "rule",
            "add",
            "fwmark",
            "0x10/0xff",
            "lookup",
            "4242",
            "priority",
            "1000",
        ];
        net.router.ip(&[&[family], &rule[..]].concat()).unwrap();
        let route = ["route", "add", "blackhole", "default", "table", "4242"];
        net.router.ip(&[&[family], &route[..]].concat()).unwrap();
    }
    net.router
        .ip(&[
            "route",
            "add",
            "198.51.100.0/24",
            "dev",
            ASIDE,
            "protocol",
            "static",
        ])
        .unwrap();
    let clsact = net
        .router
        .command("tc")
        .args(["qdisc", "add", "dev", ASIDE, "clsact"])
        .status();
    assert!(clsact.unwrap().success(), "tc of the package iproute2");
    (net, origin)
}

/// Leaves sockets in every state behind: answered, kept alive, half-closed, reset.
///
/// # Panics
///
/// When a connection is not intercepted.
pub fn use_it(net: &Network) {
    for family in Family::BOTH {
        for _ in 0..20 {
            assert!(get(&net.client, (family.client(), 0), family.http()).intercepted());
        }
        let fresh = || connect(&net.client, (family.client(), 0), family.http());
        let mut closing = fresh();
        closing.get("/close/10").unwrap();
        let mut half = fresh();
        half.send("GET /slow/1 HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
        half.half_close().unwrap();
        assert_eq!(half.response().unwrap().status, 200);
        let mut reset = fresh();
        reset
            .send("GET /bytes/1000000 HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
        reset.reset();
        let mut tunnel = fresh();
        tunnel.send([0x16, 3, 1]).unwrap();
        assert_eq!(tunnel.exactly(3).unwrap(), [0x16, 3, 1]);
    }
}

/// One connection of each family, of which none is intercepted.
///
/// # Panics
///
/// When one is.
#[track_caller]
pub fn all_direct(net: &Network) {
    for family in Family::BOTH {
        assert!(get(&net.client, (family.client(), 0), family.http()).direct());
    }
}
