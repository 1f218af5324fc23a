//! What bypass entries match, and which of them decides: on real connections of two LANs.

use std::net::SocketAddr;

use weir_tests::{ASIDE, Family, LAN, Layout, Options, World, get};

#[test]
fn an_exception_from_a_wider_entry() {
    let world = World::new();
    let weir = &world.weir;
    for (family, wide) in [(Family::V4, "203.0.113.0/24"), (Family::V6, "fd77:2::/64")] {
        let one = family.origin(0).to_string();
        let other = SocketAddr::new(family.origin(1), 80);
        weir.bypass(&["add", wide]);
        weir.bypass(&["add", "--intercept", &one]);
        assert!(world.get(family).intercepted());
        assert!(world.get_from(first(family), other).direct());
        // An exception from the exception, for one client.
        let client = family.client().to_string();
        weir.bypass(&["add", &one, "--src", &client]);
        assert!(world.get(family).direct());
        assert!(world.get_from(second(family), family.http()).intercepted());
        weir.bypass(&["del", &one, "--src", &client]);
        weir.bypass(&["del", &one]);
        assert!(world.get(family).direct());
        // Of equals in two lists, the one that intercepts.
        weir.bypass(&["add", "--intercept", wide, "--list", "zz"]);
        assert!(world.get(family).intercepted());
        weir.bypass(&["del", wide]);
        assert!(world.get(family).intercepted());
    }
}

#[test]
fn an_entry_for_a_port() {
    let options = Options::config("[intercept]\nports = [80, 8080]\n");
    let world = World::with(&Layout::default(), &options, |_| {});
    let weir = &world.weir;
    for family in Family::BOTH {
        let origin = family.origin(0).to_string();
        let alternative = SocketAddr::new(family.origin(0), 8080);
        weir.bypass(&["add", &origin, "--port", "8080"]);
        assert!(world.get(family).intercepted());
        assert!(world.get_from(first(family), alternative).direct());
        weir.bypass(&["add", &origin]);
        assert!(world.get(family).direct());
        weir.bypass(&["add", &origin, "--port", "80", "--intercept"]);
        assert!(world.get(family).intercepted());
        assert!(world.get_from(first(family), alternative).direct());
        weir.bypass(&["del", &origin, "--port", "8080"]);
        assert!(world.get_from(first(family), alternative).direct());
        weir.bypass(&["del", &origin]);
        assert!(world.get_from(first(family), alternative).intercepted());
    }
    weir.bypass(&["add", "any", "--port", "8080"]);
    for family in Family::BOTH {
        let alternative = SocketAddr::new(family.origin(1), 8080);
        assert!(world.get_from(second(family), alternative).direct());
        assert!(world.get(family).intercepted());
    }
}

#[test]
fn an_entry_for_a_client_and_a_destination() {
    let world = World::new();
    for family in Family::BOTH {
        let origin = family.origin(0).to_string();
        let client = family.second_client().to_string();
        let other = SocketAddr::new(family.origin(1), 80);
        world.weir.bypass(&["add", &origin, "--src", &client]);
        assert!(world.get_from(second(family), family.http()).direct());
        assert!(world.get_from(second(family), other).intercepted());
        assert!(world.get(family).intercepted());
    }
    // Every destination with every client.
    let said = world.weir.bypass(&[
        "add",
        "203.0.113.2",
        "203.0.113.3",
        "--src",
        "10.77.1.2",
        "--src",
        "10.77.1.9",
    ]);
    assert!(said.contains("4 entries"), "{said}");
    assert!(world.get(Family::V4).direct());
    world
        .weir
        .say(&["add", "203.0.113.2", "--src", "fd77:1::2"])
        .failed(2, &["different families"]);
}

#[test]
fn an_entry_for_a_lan() {
    let world = two_lans("");
    let weir = &world.weir;
    for family in Family::BOTH {
        let origin = family.origin(0).to_string();
        assert!(world.get(family).intercepted() && aside(&world, family).intercepted());
        weir.bypass(&["add", &origin, "--in", ASIDE]);
        assert!(world.get(family).intercepted() && aside(&world, family).direct());
        weir.bypass(&["add", &origin, "--in", LAN]);
        assert!(world.get(family).direct() && aside(&world, family).direct());
        weir.bypass(&["del", &origin, "--in", ASIDE]);
        assert!(world.get(family).direct() && aside(&world, family).intercepted());
        weir.bypass(&["del", &origin, "--in", LAN]);
    }
    weir.bypass(&["add", "--in", ASIDE]);
    for family in Family::BOTH {
        assert!(world.get(family).intercepted() && aside(&world, family).direct());
        // What names a destination is narrower, whatever the LAN.
        let origin = family.origin(0).to_string();
        weir.bypass(&["add", "--intercept", &origin]);
        assert!(aside(&world, family).intercepted());
        weir.bypass(&["del", &origin]);
    }
    assert_eq!(weir.exported("manual"), [format!("any in {ASIDE}")]);
}

#[test]
fn lans_keep_their_entries_over_a_restart_in_another_order() {
    let mut world = two_lans("");
    let origin = Family::V4.origin(0).to_string();
    world.weir.bypass(&["add", &origin, "--in", ASIDE]);
    world.weir.stop();
    let directory = world.weir.directory().join("bypass");
    let mut options = Options::config(&format!("[bypass]\ndirectory = {directory:?}\n"));
    options.lan = vec![ASIDE.to_owned(), LAN.to_owned()];
    let weir = weir_tests::Weir::start(&world.net.router, &options);
    assert!(world.get(Family::V4).intercepted() && aside(&world, Family::V4).direct());
    assert_eq!(weir.exported("manual"), [format!("{origin} in {ASIDE}")]);
}

#[test]
fn what_could_never_match_is_refused_by_name() {
    let world = two_lans("[intercept]\nports = [80, 8080]\n");
    let weir = &world.weir;
    weir.bypass(&["add", "203.0.113.9"]);
    let refused = |arguments: &[&str], input: &str, words: &[&str]| {
        weir.say_with(arguments, input).failed(2, words);
        assert_eq!(weir.exported("manual"), ["203.0.113.9"]);
    };
    let port = ["port 443 is not watched", "80, 8080"];
    refused(&["add", "203.0.113.2", "--port", "443"], "", &port);
    let lines = "203.0.113.2\n203.0.113.3 port 443\n";
    refused(&["import", "-"], lines, &port);
    refused(&["replace", "-"], lines, &port);
    let lan = ["wan0 is no LAN of this instance", ASIDE, LAN];
    refused(&["add", "203.0.113.2", "--in", "wan0"], "", &lan);
    let lines = "203.0.113.2\nintercept 203.0.113.3 in wan0\n";
    refused(&["add", "-"], lines, &lan);
    refused(&["add", "203.0.113.2", "--port", "0"], "", &["\"0\""]);
    refused(&["add"], "", &["--src, --port or --in"]);
    refused(&["add", "--in", "sixteen-bytes-xx"], "", &["1 to 15 bytes"]);
}

#[test]
fn a_list_that_is_disabled_holds_nothing() {
    let mut world = World::new();
    for family in Family::BOTH {
        let origin = family.origin(0).to_string();
        world.weir.bypass(&["add", &origin, "--list", "some"]);
        world
            .weir
            .bypass(&["add", "--list", "other", "--src", "10.0.0.1"]);
        assert!(world.get(family).direct());
    }
    let said = world.weir.bypass(&["disable", "--list", "some"]);
    assert!(said.contains("disabled some · 2 entries"), "{said}");
    let generation = world.weir.generation();
    world.weir.bypass(&["disable", "--list", "some"]);
    assert_eq!(world.weir.generation(), generation);
    for round in 0..2 {
        for family in Family::BOTH {
            assert!(world.get(family).intercepted());
        }
        let said = world.weir.bypass(&["add", "203.0.113.9", "--list", "some"]);
        assert!(said.contains("the list is disabled"), "{said}");
        if round == 0 {
            world.weir.stop();
            world.weir.start_again();
        }
    }
    let said = world.weir.bypass(&["enable", "--list", "some"]);
    assert!(said.contains("enabled some · 3 entries"), "{said}");
    for family in Family::BOTH {
        assert!(world.get(family).direct());
    }
    let said = world.weir.bypass(&["clear", "--list", "some"]);
    assert!(said.contains("cleared some of 3 entries"), "{said}");
    for family in Family::BOTH {
        assert!(world.get(family).intercepted());
    }
    assert_eq!(world.weir.exported("other"), ["any src 10.0.0.1"]);
    for verb in ["clear", "enable", "disable", "export"] {
        let said = world.weir.say(&[verb, "--list", "none"]);
        said.failed(2, &["there is no bypass list none", "other, some"]);
    }
}

/// So many that the kernel's table is made anew, and not edited.
#[test]
fn a_list_of_many_entries_holds_at_once_and_stays_disabled() {
    let mut world = World::new();
    let mut lines: Vec<String> = (0..1000_u32)
        .map(|n| format!("198.18.{}.{}", n >> 8, n & 0xff))
        .collect();
    lines.extend(Family::BOTH.map(|family| family.origin(0).to_string()));
    let lines = lines.join("\n");
    for list in ["first", "second"] {
        let said = world
            .weir
            .say_with(&["import", "-", "--list", list], &lines);
        said.done();
        for family in Family::BOTH {
            assert!(world.get(family).direct(), "{list}");
        }
        world.weir.bypass(&["disable", "--list", list]);
        assert!(world.get(Family::V4).intercepted());
        for end in [weir_tests::Weir::stop, weir_tests::Weir::kill9] {
            end(&mut world.weir);
            world.weir.start_again();
            for family in Family::BOTH {
                assert!(world.get(family).intercepted(), "{list}");
            }
        }
        let said = world
            .weir
            .say_with(&["replace", "-", "--list", list], "203.0.113.2");
        said.done();
        assert!(world.get(Family::V4).intercepted());
        world
            .weir
            .say_with(&["replace", "-", "--list", list], &lines)
            .done();
        assert!(world.get(Family::V4).intercepted());
    }
    world.weir.bypass(&["enable", "--list", "first"]);
    for family in Family::BOTH {
        assert!(world.get(family).direct());
    }
}

fn two_lans(config: &str) -> World {
    let layout = Layout {
        aside: true,
        ..Layout::default()
    };
    let mut options = Options::config(config);
    options.lan.push(ASIDE.to_owned());
    World::with(&layout, &options, |_| {})
}

/// What the origin reports of a request from the second LAN.
fn aside(world: &World, family: Family) -> weir_tests::Echo {
    let namespace = world.net.aside.as_ref().expect("a second LAN");
    get(namespace, (family.aside(), 0), family.http())
}

fn first(family: Family) -> SocketAddr {
    SocketAddr::new(family.client(), 0)
}

fn second(family: Family) -> SocketAddr {
    SocketAddr::new(family.second_client(), 0)
}
