//! What 500 heads that never end cost those who have something to say: latencies of requests on
//! connections of their own and on one that is kept, with the slow ones and without.
//!
//! `cargo xtask bench slowloris`, as root.

#![expect(clippy::print_stdout, reason = "what it has measured")]

use std::time::{Duration, Instant};

use weir_tests::{Connection, Dial, Family, Slowloris, World, dial};

const SLOW: usize = 500;
const REQUESTS: usize = 2000;

fn main() {
    let world = World::new();
    measure(&world);
    let alone = measure(&world);
    let slow = Slowloris::start(&world.net.client, SLOW);
    let beside = measure(&world);
    assert_eq!(slow.open(), SLOW, "the slow ones were there all the time");
    drop(slow);

    println!("{REQUESTS} requests, microseconds          alone  beside {SLOW} slow heads  ratio");
    for (kind, (alone, beside)) in ["on a connection each", "on one that is kept"]
        .into_iter()
        .zip(alone.into_iter().zip(beside))
    {
        for percentile in [50, 90, 99] {
            let (alone, beside) = (alone.percentile(percentile), beside.percentile(percentile));
            let ratio = beside.as_secs_f64() / alone.as_secs_f64();
            println!(
                "{kind:21} p{percentile:<12} {:>8} {:>20} {ratio:>10.2}",
                alone.as_micros(),
                beside.as_micros()
            );
        }
    }
}

/// Latencies of connecting and asking, and of asking alone; IPv4 and IPv6 in turn.
fn measure(world: &World) -> [Latencies; 2] {
    let all = || {
        let families = || Family::BOTH.into_iter().cycle().take(REQUESTS);
        let each = families().map(|family| latency(|| ask(&mut connect(family))));
        let each = Latencies::of(each);
        let mut kept = Family::BOTH.map(connect);
        let on_kept = (0..REQUESTS).map(|number| latency(|| ask(&mut kept[number % 2])));
        [each, Latencies::of(on_kept)]
    };
    let measured = world.net.client.run(all);
    measured.expect("the client's namespace")
}

fn connect(family: Family) -> Connection {
    dial(&Dial::new((family.client(), 0), family.http())).expect("a connection")
}

fn ask(connection: &mut Connection) {
    let echo = connection.echo("/").expect("a report");
    assert!(echo.intercepted(), "{echo:?}");
}

fn latency(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// In ascending order.
struct Latencies(Vec<Duration>);

impl Latencies {
    fn of(latencies: impl Iterator<Item = Duration>) -> Self {
        let mut latencies: Vec<_> = latencies.collect();
        latencies.sort_unstable();
        Self(latencies)
    }

    fn percentile(&self, percentile: usize) -> Duration {
        self.0[(self.0.len() - 1) * percentile / 100]
    }
}
