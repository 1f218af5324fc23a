//! Many connections at once: each is served as if it were alone, and costs little while it waits.

use std::{thread, time::Duration};

use weir_tests::{Connection, Family, Pattern, Slow, Slowloris, World, until};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const SOON: Duration = Duration::from_secs(20);

#[test]
fn two_hundred_at_once_with_bodies() {
    let world = World::new();
    let families = Family::BOTH.into_iter().cycle().take(200);
    let mut connections: Vec<_> = families.map(|family| world.connect(family)).collect();
    for connection in &mut connections {
        plain(connection);
    }
    assert_eq!(world.origin.open(), 200);
    thread::scope(|scope| {
        for connection in &mut connections {
            scope.spawn(|| {
                for _ in 0..3 {
                    bodies(connection);
                    let chunked = connection.get("/chunked/100000").unwrap();
                    assert_eq!(chunked.body, Pattern::bytes(100_000));
                }
            });
        }
    });
    assert_eq!(
        world.origin.open(),
        200,
        "on the same connections, all of it"
    );
    assert_eq!(world.origin.connections(), 200);
    assert_eq!(world.weir.flows("overload"), 0);
}

/// 500 heads that never end cost those who have something to say nothing but time; how much is
/// in `benches/slowloris.rs`.
#[test]
fn slow_heads_hold_nobody_up() {
    let world = World::new();
    let slow = Slowloris::start(&world.net.client, Slow::Head, 500);
    until(SOON, "all of them at the daemon", || active(&world) == 500);
    for family in Family::BOTH {
        for _ in 0..100 {
            assert!(world.get(family).intercepted());
        }
        let mut kept = world.connect(family);
        for _ in 0..5 {
            kept.upload(MIB).unwrap();
            kept.download(MIB).unwrap();
        }
    }
    assert_eq!(slow.open(), 500, "they were there all the time");
    assert_eq!(
        world.origin.requests(),
        220,
        "nothing of theirs has come to the origin"
    );
    drop(slow);
    until(SOON, "the end of the slow ones", || active(&world) == 0);
}

/// Between two requests, a pair of connections keeps no buffers.
#[test]
fn an_idle_pair_costs_at_most_8_kib() {
    const PAIRS: usize = 2000;
    for (kind, exchange) in [
        ("after a request", plain as fn(&mut Connection)),
        ("after bodies both ways", bodies),
    ] {
        let world = World::new();
        exchange(&mut world.connect(Family::V4));
        let before = world.weir.memory();
        let kept: Vec<_> = Family::BOTH
            .into_iter()
            .cycle()
            .take(PAIRS)
            .map(|family| {
                let mut connection = world.connect(family);
                exchange(&mut connection);
                connection
            })
            .collect();
        assert_eq!(active(&world), kept.len() as u64);
        let each = (world.weir.memory() - before) / PAIRS as u64;
        eprintln!("an idle pair {kind}: {each} octets of the daemon's memory");
        assert!(each <= 8 * KIB as u64, "{kind}: {each} octets");
    }
}

fn active(world: &World) -> u64 {
    world.weir.status()["connections"]["active"]
        .as_u64()
        .unwrap_or_default()
}

fn plain(connection: &mut Connection) {
    assert!(connection.echo("/").unwrap().intercepted());
}

fn bodies(connection: &mut Connection) {
    connection.upload(100 * KIB).unwrap();
    connection.download(100 * KIB).unwrap();
}
