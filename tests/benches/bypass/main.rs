//! What the bypass table costs: a SYN, any other packet, a search, a million new entries, one
//! edit. `docs/BENCHMARKS.md` has the method and the last results.
//!
//! `cargo xtask bench bypass [--json FILE]`, as root.

#![expect(clippy::print_stdout, reason = "what it has measured")]

mod commands;
mod descriptors;
mod edits;
mod entries;
mod kernel;
mod memory;
mod others;
mod packets;
mod replace;
mod report;
mod searches;
mod syns;

use std::{env, path::PathBuf};

use report::Report;

/// Entries of each family.
const MILLION: usize = 1_000_000;

fn main() {
    let options = Options::of(env::args().skip(1));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    let mut report = Report::default();
    for (name, part) in [
        ("syn", syns::measure as fn(&mut Report)),
        ("search", searches::measure),
        ("edit", edits::measure),
        ("command", commands::measure),
        ("replace", replace::measure),
        ("others", others::measure),
    ] {
        if options.only.is_empty() || options.only.iter().any(|wanted| wanted == name) {
            part(&mut report);
        }
    }
    if let Some(path) = options.json {
        report.write(&path);
    }
    assert!(report.goals_are_met(), "a goal is missed");
}

#[derive(Default)]
struct Options {
    json: Option<PathBuf>,
    /// Parts to run; all if there is none.
    only: Vec<String>,
}

impl Options {
    fn of(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self::default();
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => options.json = arguments.next().map(PathBuf::from),
                // What cargo itself passes.
                "--bench" => {}
                _ => options.only.push(argument),
            }
        }
        options
    }
}
