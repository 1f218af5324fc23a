//! Host against the address that was dialled, where names are looked up and mismatches refused.

use weir_tests::{Family, Options, World, until};

const SOON: std::time::Duration = std::time::Duration::from_secs(20);

fn world(keys: &str) -> World {
    let config = format!("[http]\n{keys}\n");
    World::with(&Default::default(), &Options::config(&config), |_| {})
}

fn status(world: &World, family: Family, host: &str) -> u16 {
    let mut connection = world.connect(family);
    connection
        .send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .unwrap();
    connection.response().unwrap().status
}

/// `localhost` is the one name that every host's resolver knows without asking anybody.
#[test]
fn names_are_looked_up_if_that_is_wanted() {
    let world = world("host_check = \"strict\"\nhost_dns = true");
    for family in Family::BOTH {
        assert_eq!(status(&world, family, "localhost"), 403);
        assert_eq!(status(&world, family, "LOCALHOST.:80"), 403);
    }
    assert_eq!(world.origin.requests(), 0);
    assert_eq!(world.weir.status()["hosts"]["mismatch"], 4);
    assert_eq!(world.weir.outcomes("host-mismatch"), 4);
}

#[test]
fn labels_do_not_wait_for_the_resolver() {
    let world = world("host_dns = true");
    assert_eq!(status(&world, Family::V4, "localhost"), 200);
    until(SOON, "the name known", || {
        assert_eq!(status(&world, Family::V4, "localhost"), 200);
        world.weir.status()["hosts"]["mismatch"] != 0
    });
}

#[test]
fn only_the_clients_that_it_is_for_are_refused() {
    let prefix = format!("host_strict_clients = [\"{}\"]", Family::V4.client());
    let world = world(&format!("host_check = \"strict\"\n{prefix}"));
    assert_eq!(status(&world, Family::V4, "192.0.2.1"), 403);
    assert_eq!(status(&world, Family::V6, "192.0.2.1"), 200);
    let dialled = Family::V4.origin(0).to_string();
    assert_eq!(status(&world, Family::V4, &dialled), 200);
    assert_eq!(status(&world, Family::V4, "a.example"), 200, "nobody knows");
}
