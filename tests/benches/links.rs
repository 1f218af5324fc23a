//! How long a link that comes is without our program: from the moment at which it is there
//! (`RTM_NEWLINK` is sent) until the program is found on it.
//!
//! `cargo xtask bench links [--json FILE]`, as root.

#![expect(clippy::print_stdout, reason = "what it has measured")]

use std::{
    env, fs,
    time::{Duration, Instant},
};

use aya::programs::tc::{SchedClassifier, TcAttachType};
use proxy_userspace::sys::tun;
use serde_json::{Value, json};
use weir_tests::{Layout, Namespace, Options, World, until};

const ROUNDS: usize = 200;
const TOGETHER: usize = 50;
/// What the time is measured to; asking holds the kernel's lock of links for a moment.
const STEP: Duration = Duration::from_micros(50);
const SOON: Duration = Duration::from_secs(30);

fn main() {
    let mut options = Options::config("[intercept]\nmissing = \"wait\"\n");
    options
        .lan
        .extend(["dsl-named".to_owned(), "dsl*".to_owned()]);
    let world = World::with(&Layout::default(), &options, |_| {});
    let router = &world.net.router;
    let gone = |names: &[String]| {
        until(SOON, "links being let go", || {
            let status = world.weir.status();
            let interfaces = status["interfaces"].as_array().into_iter().flatten();
            let mut there = interfaces.filter(|it| it["attached"] == true);
            !there.any(|it| names.iter().any(|name| it["name"] == **name))
        });
    };
    println!("milliseconds                     p50      p90      p99    worst");
    let mut rows = Vec::new();
    for (what, names, rounds) in [
        ("a link that is named", vec!["dsl-named".to_owned()], ROUNDS),
        ("a link by pattern", vec!["dsl0".to_owned()], ROUNDS),
        (
            "the last of 50 links at once",
            (1..=TOGETHER)
                .map(|number| format!("dsl{number}"))
                .collect(),
            ROUNDS / 10,
        ),
    ] {
        let delays = (0..rounds).map(|_| {
            let delay = come(router, &names);
            gone(&names);
            delay
        });
        rows.push(row(what, delays.collect()));
    }
    let arguments: Vec<_> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--json") {
        let file = arguments.get(at + 1).expect("--json FILE");
        let text = serde_json::to_string_pretty(&rows).expect("JSON");
        fs::write(file, text + "\n").expect("a file that can be written");
    }
}

/// Makes tun devices, and measures from when the last is there until all carry a program.
fn come(router: &Namespace, names: &[String]) -> Duration {
    let come = || {
        let devices: Vec<_> = names
            .iter()
            .map(|name| tun::open(name).expect("a tun device"))
            .collect();
        let began = Instant::now();
        for name in names {
            while !is_attached(name) {
                assert!(began.elapsed() < SOON, "{name} is not attached");
                std::thread::sleep(STEP);
            }
        }
        let delay = began.elapsed();
        drop(devices);
        delay
    };
    router.run(come).expect("the router's namespace")
}

fn is_attached(name: &str) -> bool {
    SchedClassifier::query_tcx(name, TcAttachType::Ingress)
        .is_ok_and(|(_, programs)| !programs.is_empty())
}

fn row(what: &str, mut delays: Vec<Duration>) -> Value {
    delays.sort_unstable();
    let at = |percentile: usize| delays[(delays.len() - 1) * percentile / 100].as_secs_f64() * 1e3;
    let [p50, p90, p99, worst] = [50, 90, 99, 100].map(at);
    println!("{what:28} {p50:>8.2} {p90:>8.2} {p99:>8.2} {worst:>8.2}");
    json!({ "what": what, "rounds": delays.len(), "unit": "ms",
            "p50": p50, "p90": p90, "p99": p99, "worst": worst })
}
