//! What 500 clients that are slow without end cost those who are not: latencies of requests on
//! connections of their own and on one that is kept, beside slow heads, slow bodies and slow
//! readers, and without.
//!
//! `cargo xtask bench slowloris`, as root.

#![expect(clippy::print_stdout, reason = "what it has measured")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use weir_tests::{Connection, Dial, Family, Options, Slow, Slowloris, World, dial};

const SLOW: usize = 500;
/// In each, everything is measured once without the slow ones and once beside each kind of them, so
/// that what else the machine does meanwhile is in all of it.
const ROUNDS: usize = 7;
/// Of each kind, in each of them.
const REQUESTS: usize = 600;
const PERCENTILES: [usize; 3] = [50, 90, 99];
const KINDS: [Slow; 3] = [Slow::Head, Slow::Body, Slow::Reader];
const WAYS: [&str; 2] = ["a connection each", "one that is kept"];

/// The goal: the 99th percentile is at most so many times what it is without them, in half of the
/// rounds.
const GOAL: f64 = 3.0;
/// Or at most this, in microseconds: below it the scheduler decides.
const FLOOR: f64 = 2000.0;

/// Nobody is thrown out for being slow.
const PATIENT: &str = "[limits]\nhead_timeout = \"10m\"\nmin_send_rate = \"0B\"\n";

fn main() -> ExitCode {
    let world = World::with(&Default::default(), &Options::config(PATIENT), |_| {});
    measure(&world);
    let rounds: Vec<_> = (0..ROUNDS).map(|_| round(&world)).collect();

    println!("{ROUNDS} rounds of {REQUESTS} requests, beside {SLOW} slow ones; medians, µs");
    println!("slow    requests on          alone   beside   ratio");
    let mut missed = false;
    for (kind, slow) in KINDS.iter().enumerate() {
        for (way, name) in WAYS.iter().enumerate() {
            for percentile in PERCENTILES {
                let of = |latencies: &[Latencies; 2]| latencies[way].percentile(percentile);
                let alone = median(rounds.iter().map(|round| of(&round.alone)));
                let beside = median(rounds.iter().map(|round| of(&round.beside[kind])));
                let ratio = median(
                    rounds
                        .iter()
                        .map(|round| of(&round.beside[kind]) / of(&round.alone)),
                );
                let too_much = percentile == 99 && ratio > GOAL && beside > FLOOR;
                missed |= too_much;
                println!(
                    "{:7} {name:18} p{percentile} {alone:>7.0} {beside:>8.0} {ratio:>7.2}{}",
                    format!("{slow:?}"),
                    if too_much { "  missed" } else { "" }
                );
            }
        }
    }
    println!("goal: p99 at most {GOAL} times, or {FLOOR} µs");
    ExitCode::from(u8::from(missed))
}

struct Round {
    alone: [Latencies; 2],
    /// One for each kind.
    beside: [[Latencies; 2]; 3],
}

fn round(world: &World) -> Round {
    let alone = measure(world);
    let beside = KINDS.map(|kind| {
        let slow = Slowloris::start(&world.net.client, kind, SLOW);
        let beside = measure(world);
        assert_eq!(slow.open(), SLOW, "{kind:?}: they were there all the time");
        beside
    });
    Round { alone, beside }
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

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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

    /// In microseconds.
    fn percentile(&self, percentile: usize) -> f64 {
        let latency = self.0[(self.0.len() - 1) * percentile / 100];
        latency.as_secs_f64() * 1e6
    }
}
