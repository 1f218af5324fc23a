//! A stop takes nothing from anybody: what had begun is finished.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use weir_tests::{Family, Layout, Options, World, until};

const SOON: Duration = Duration::from_secs(20);

/// Larger than what the sockets on the way hold, so that the client's slowness is felt.
const LENGTH: usize = 600_000;

#[test]
fn slow_readers_get_everything() {
    let config = "[limits]\ndrain = \"20s\"\n";
    for family in Family::BOTH {
        let mut world = World::with(&Layout::default(), &Options::config(config), |_| {});
        let mut connection = world.connect(family);
        let request =
            format!("GET /bytes/{LENGTH} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n");
        connection.send(&request).unwrap();
        until(SOON, "the request at the origin", || {
            world.origin.requests() == 1
        });
        world.weir.signal(Signal::SIGTERM);
        until(SOON, "its word", || {
            world.weir.output().contains("stopping")
        });

        // Slowly, until the daemon itself has done all that it can.
        let mut received = 0;
        let mut piece = vec![0; 20_000];
        let began = Instant::now();
        while let Ok(length @ 1..) = connection.stream.read(&mut piece) {
            received += length;
            let next = began + Duration::from_millis(100 * (received / 20_000) as u64);
            until(SOON, "the next piece's time", || Instant::now() >= next);
        }
        assert!(received > LENGTH, "{received} bytes of {LENGTH} and a head");
        until(SOON, "the daemon's end", || world.weir.ended().is_some());
    }
}

#[test]
fn connections_just_made_get_their_first_answer() {
    for family in Family::BOTH {
        let mut world = World::new();
        let mut connection = world.connect(family);
        until(SOON, "the connection at the daemon", || {
            world.weir.status()["connections"]["active"] == 1
        });
        world.weir.signal(Signal::SIGTERM);
        until(SOON, "its word", || {
            world.weir.output().contains("stopping")
        });
        assert!(connection.echo("/").unwrap().intercepted());
        until(SOON, "the daemon's end", || world.weir.ended().is_some());
    }
}
