//! Several LANs: subnets that overlap are named, at the start and later.

use std::time::Duration;

use weir_tests::{
    ASIDE, Failed, Family, HostState, LAN, Layout, Network, Options, Origin, Weir, get, network,
    until,
};

const SOON: Duration = Duration::from_secs(20);

/// A second address of [`ASIDE`]'s, whose subnet is within, or around, that of [`LAN`].
const OVERLAPPING: [(&str, &str, &str); 3] = [
    ("10.77.1.200/25", "10.77.1.0/24", "10.77.1.128/25"),
    ("10.77.200.1/16", "10.77.1.0/24", "10.77.0.0/16"),
    ("fd77:1::1:1/64", "fd77:1::/64", "fd77:1::/64"),
];

#[test]
fn overlapping_client_subnets_are_refused_by_name() {
    for (address, one, other) in OVERLAPPING {
        let net = two_lans();
        set(&net, "add", address);
        let before = HostState::of(&net.router, "none yet");
        let Failed {
            instance,
            status,
            output,
        } = Weir::refused(&net.router, &options());
        assert_eq!(status.code(), Some(4), "{output}");
        let words = format!("client subnets overlap: lan0 has {one}, aside0 has {other}");
        assert!(output.contains(&words), "{output}");
        before.assert_same(&HostState::of(&net.router, &instance), "after the refusal");
        // One LAN may have as many addresses of a subnet as it likes; so may a WAN.
        set(&net, "del", address);
        let again = address.replace("77.200.1", "77.201.1");
        let line = ["address", "add", &again, "dev", LAN, "noprefixroute"];
        net.router.ip(&line).unwrap();
        let weir = Weir::start(&net.router, &options());
        assert_eq!(weir.status()["warnings"], serde_json::json!([]));
    }
}

#[test]
fn what_overlaps_later_is_told_until_it_does_no_longer() {
    let net = two_lans();
    let _origin = Origin::start(&net.origin).unwrap();
    let weir = Weir::start(&net.router, &options());
    for (address, one, other) in OVERLAPPING {
        let words = format!("client subnets overlap: lan0 has {one}, aside0 has {other}");
        set(&net, "add", address);
        weir.says(&words);
        let warnings = || weir.status()["warnings"].to_string();
        until(SOON, "a warning", || warnings().contains(&words));
        assert!(weir.ask(&["status"]).contains(&format!("WARNING: {words}")));
        set(&net, "del", address);
        until(SOON, "no warning", || warnings() == "[]");
        weir.says(&format!("no longer: {words}"));
        works(&net);
    }
}

#[test]
fn addresses_that_nobody_is_behind_do_not_overlap() {
    let net = two_lans();
    let _origin = Origin::start(&net.origin).unwrap();
    // As on a router that answers ARP for the other LAN: its own address, on both.
    for family in Family::BOTH {
        let own = format!("{}/{}", family.router_lan(), family.host_length());
        set(&net, "add", &own);
    }
    let weir = Weir::start(&net.router, &options());
    works(&net);
    assert_eq!(weir.status()["warnings"], serde_json::json!([]));
}

fn two_lans() -> Network {
    network(&Layout {
        aside: true,
        ..Layout::default()
    })
}

fn options() -> Options {
    let mut options = Options::default();
    options.lan.push(ASIDE.to_owned());
    options
}

/// Adds or deletes an address of [`ASIDE`]'s.
fn set(net: &Network, verb: &str, address: &str) {
    net.router
        .ip(&["address", verb, address, "dev", ASIDE])
        .unwrap();
}

/// Clients of both LANs are intercepted.
fn works(net: &Network) {
    let aside = net.aside.as_ref().unwrap();
    for family in Family::BOTH {
        assert!(get(&net.client, (family.client(), 0), family.http()).intercepted());
        assert!(get(aside, (family.aside(), 0), family.http()).intercepted());
    }
}
