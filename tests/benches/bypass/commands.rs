//! Edits as a command makes them: from the request on the control socket to the answer, by which
//! time the entry is on the disk and in force.

use std::{fmt::Write as _, net::IpAddr, time::Instant};

use proxy_ebpf::key::{IPV4, IPV6};
use proxy_userspace::{
    bypass::ListName,
    control::{self, Answer, ListEdit, Request},
    dataplane::bypass::Entry,
};
use weir_tests::World;

use crate::{
    MILLION,
    entries::{Kind, Numbers, both},
    report::{Report, Samples, count},
};

/// Pairs of edits.
const PAIRS: usize = 500;

pub(crate) fn measure(report: &mut Report) {
    report.part("one edit (from request to answer), ms", "");
    let world = World::new();
    for size in [0, 10_000, MILLION] {
        let began = Instant::now();
        let text = text(&both(size, Kind::Destinations, 1));
        let read = began.elapsed();
        let began = Instant::now();
        ask(&world, "bulk", ListEdit::Replace { entries: text });
        report.numbers(
            &format!("{} a family replaced, s", count(size)),
            &[
                ("request", began.elapsed().as_secs_f64()),
                ("text made", read.as_secs_f64()),
            ],
        );
        let mut numbers = Numbers(7);
        let (mut added, mut removed) = (Samples::default(), Samples::default());
        for number in 0..PAIRS {
            let (family, length) = if number % 2 == 0 {
                (IPV4, 32)
            } else {
                (IPV6, 128)
            };
            let line = line(&Entry::to(family, numbers.address(family), length));
            let keys = vec![line.parse().expect("a key")];
            let began = Instant::now();
            ask(&world, "manual", ListEdit::Add { entries: line });
            added.push(began.elapsed().as_secs_f64() * 1e3);
            let began = Instant::now();
            ask(&world, "manual", ListEdit::Remove { keys });
            removed.push(began.elapsed().as_secs_f64() * 1e3);
        }
        for (verb, times) in [("added", added), ("removed", removed)] {
            report.numbers(
                &format!("one entry {verb}, {} a family", count(size)),
                &[
                    ("p50", times.at(0.5)),
                    ("p99", times.at(0.99)),
                    ("worst", times.at(1.0)),
                ],
            );
        }
    }
}

fn ask(world: &World, list: &str, edit: ListEdit) {
    let list: ListName = list.parse().expect("a name");
    let end = false;
    let request = Request::BypassEdit { list, edit, end };
    match control::call(&world.weir.run_dir(), &request) {
        Ok(Answer::Done(_)) => {}
        other => panic!("{other:?}"),
    }
}

fn text(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let _ = writeln!(text, "{}", line(entry));
    }
    text
}

fn line(entry: &Entry) -> String {
    let (high, low) = (entry.destination.0, entry.destination.1);
    let address: IpAddr = if entry.family == IPV4 {
        let [a, b, c, d, ..] = high.to_be_bytes();
        [a, b, c, d].into()
    } else {
        (u128::from(high) << 64 | u128::from(low))
            .to_be_bytes()
            .into()
    };
    format!("{address}/{}", entry.destination_length)
}
