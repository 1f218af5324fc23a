//! What the daemon finds out had better go direct.

use std::{io::Read as _, net::SocketAddr, time::Duration};

use weir_tests::{Family, Layout, Options, World, connect, until};

const SOON: Duration = Duration::from_secs(20);

/// Port 81 of the origin is closed.
const CONFIG: &str = "[intercept]\nports = [80, 81]\n[bypass.learn]\nenabled = true\nclients = 2\n";

#[test]
fn what_is_not_http_is_learned() {
    let world = world(CONFIG);
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        for _ in 0..3 {
            not_http(&world, family);
        }
        learned(&world, number);
        // In the list and in force: the next one is not read any more, nor any other client's less.
        let key = format!("{} src {} port 80", family.origin(0), family.client());
        until(SOON, "the entry", || entries(&world).contains(&key));
        assert!(world.get(family).direct());
        let second = SocketAddr::new(family.second_client(), 0);
        assert!(world.get_from(second, family.http()).intercepted());
    }
}

#[test]
fn connects_that_fail_are_learned_while_others_work() {
    let world = world(CONFIG);
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        for _ in 0..5 {
            refused(&world, family, family.client(), 81);
        }
        for _ in 0..3 {
            assert_eq!(lessons(&world), number - 1);
            assert!(world.get(family).intercepted());
            refused(&world, family, family.client(), 81);
        }
        learned(&world, number);
    }
    // It is the second client's matter too.
    let family = Family::V4;
    for _ in 0..3 {
        assert!(world.get(family).intercepted());
        refused(&world, family, family.second_client(), 81);
    }
    let wide = format!("{} port 81", family.origin(0));
    until(SOON, "the wider entry", || entries(&world).contains(&wide));
    learned(&world, 2);
    // In place of the first client's own.
    until(SOON, "the end of the narrow one", || {
        entries(&world).len() == 2
    });
}

#[test]
fn nothing_is_learned_unless_it_is_wanted() {
    let quiet = CONFIG.replace("enabled = true", "enabled = false");
    let world = world(&quiet);
    for _ in 0..3 {
        not_http(&world, Family::V4);
    }
    assert!(world.get(Family::V4).intercepted());
    assert_eq!(lessons(&world), 0);
    let own = Family::V4.origin(0).to_string();
    until(
        SOON,
        "what was seen, and that nothing becomes of it",
        || {
            let seen = world.weir.bypass(&["learn", "--dry-run"]);
            let line = seen.lines().find(|line| line.contains(&own));
            line.is_some_and(|line| line.ends_with("disabled"))
        },
    );
    // Once it is, what was seen before counts.
    world.weir.reload(CONFIG);
    not_http(&world, Family::V4);
    learned(&world, 1);
    // Nor where a rule names the destination.
    let rule = "[[rule]]\naction = \"allow\"\ndestination = \"203.0.113.0/24\"\n";
    let rule = rule.replace("203.0.113.0/24", &Family::V6.origin(0).to_string());
    world.weir.reload(&format!("{CONFIG}{rule}"));
    for _ in 0..5 {
        not_http(&world, Family::V6);
    }
    assert!(world.get(Family::V6).intercepted());
    assert_eq!(lessons(&world), 1);
}

fn world(config: &str) -> World {
    World::with(&Layout::default(), &Options::config(config), |_| {})
}

/// What the learned list matches.
fn entries(world: &World) -> Vec<String> {
    let text = world.weir.bypass(&["export", "--list", "learned"]);
    let key = |line: &str| line.split(" until ").next().unwrap_or_default().to_owned();
    text.lines().map(key).collect()
}

fn lessons(world: &World) -> u64 {
    let status = world.weir.status();
    assert_eq!(status["learn"]["events_lost"], 0);
    status["learn"]["lessons"].as_u64().unwrap()
}

#[track_caller]
fn learned(world: &World, number: u64) {
    until(SOON, "a lesson", || lessons(world) == number);
}

/// A tunnel that has come about.
fn not_http(world: &World, family: Family) {
    let mut connection = world.connect(family);
    connection.send([0, 0xff]).unwrap();
    connection.exactly(2).unwrap();
}

/// A connect that the origin refuses: the client is reset.
fn refused(world: &World, family: Family, client: std::net::IpAddr, port: u16) {
    let to = SocketAddr::new(family.origin(0), port);
    let mut connection = connect(&world.net.client, (client, 0), to);
    connection
        .send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    assert!(connection.stream.read(&mut [0]).is_err(), "no reset");
}
