//! `weir flows`.

mod filter;
mod sample;
mod units;

#[cfg(feature = "top")]
pub(super) use sample::per_second;
#[cfg(all(test, feature = "top"))]
pub(super) use sample::sample_of;
pub(super) use sample::{Flow, Sample};
pub(super) use units::{age, bytes};

use std::{fmt::Write as _, thread, time::Duration};

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use self::filter::Filter;
use super::{Instance, ask};
use crate::control::Request;

/// The live connections.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Subcommand)]
enum Command {
    /// Ends a connection: client and origin are reset at once.
    Kill {
        #[command(flatten)]
        instance: Instance,
        /// Its ID, as `weir flows` shows it.
        id: usize,
    },
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    instance: Instance,
    /// What comes first.
    #[arg(long, value_enum, default_value_t = Sort::Rate)]
    sort: Sort,
    /// Only those with client=PREFIX, origin=PREFIX, host=TEXT (a part of it) or state=WORD; if
    /// given more than once, all must hold.
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// Seconds over which rates are measured; 0 shows none, at once.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = interval)]
    interval: f64,
    /// So many at most.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// An order: the largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    /// Bytes per second, both ways.
    Rate,
    /// Bytes, both ways.
    Bytes,
    /// The oldest first.
    Age,
    /// Requests.
    Requests,
    /// By the client's address.
    Client,
    /// By the host.
    Host,
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds, from 0 to 3600".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    match &args.command {
        None => list(&args.list),
        Some(Command::Kill { instance, id }) => {
            ask(&instance.instance, &Request::KillFlow { id: *id })?;
            println!("flow {id} is ended");
            Ok(())
        }
    }
}

fn list(args: &List) -> Result<()> {
    let take = || Sample::take(&args.instance.instance);
    let mut sample = take()?;
    if args.interval > 0.0 {
        thread::sleep(Duration::from_secs_f64(args.interval));
        sample = take()?.since(&sample);
    }
    let mut flows = sample.flows;
    flows.retain(|flow| args.filter.iter().all(|filter| filter.holds(flow)));
    sort(&mut flows, args.sort);
    let all = flows.len();
    flows.truncate(args.limit.unwrap_or(usize::MAX));
    if args.json {
        let shown = json!({ "flows": flows, "elsewhere": sample.elsewhere });
        println!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        print!("{}", table(&flows, all, sample.elsewhere));
    }
    Ok(())
}

/// Puts the largest first.
pub(super) fn sort(flows: &mut [Flow], by: Sort) {
    use std::cmp::Reverse;
    let rate = |flow: &Flow| flow.rate_in.unwrap_or(0) + flow.rate_out.unwrap_or(0);
    // Those that are alike stay where they are from one look to the next.
    flows.sort_by_key(|flow| flow.id);
    match by {
        Sort::Rate => flows.sort_by_key(|flow| Reverse((rate(flow), flow.bytes()))),
        Sort::Bytes => flows.sort_by_key(|flow| Reverse(flow.bytes())),
        Sort::Age => flows.sort_by_key(|flow| Reverse(flow.age_ms)),
        Sort::Requests => flows.sort_by_key(|flow| Reverse(flow.requests)),
        Sort::Client => flows.sort_by_key(|flow| flow.client),
        Sort::Host => flows.sort_by(|one, other| one.host.cmp(&other.host)),
    }
}

fn table(flows: &[Flow], all: usize, elsewhere: u64) -> String {
    let mut text = String::new();
    let width = |of: fn(&Flow) -> String| flows.iter().map(|flow| of(flow).len()).max();
    let clients = width(|flow| flow.client.to_string()).unwrap_or(0).max(6);
    let origins = width(|flow| flow.origin.to_string()).unwrap_or(0).max(6);
    let _ = writeln!(
        text,
        "{:>8}  {:<clients$}  {:<origins$}  {:>8}  {:<10}  {:>5}  {:>9}  {:>9}  {:>11}  {:>11}  HOST",
        "ID", "CLIENT", "ORIGIN", "AGE", "STATE", "REQS", "IN", "OUT", "IN/s", "OUT/s"
    );
    for flow in flows {
        let rate = |rate: Option<u64>| rate.map_or_else(|| "-".to_owned(), bytes);
        let _ = writeln!(
            text,
            "{:>8}  {:<clients$}  {:<origins$}  {:>8}  {:<10}  {:>5}  {:>9}  {:>9}  {:>11}  {:>11}  {}",
            flow.id,
            flow.client.to_string(),
            flow.origin.to_string(),
            age(flow.age_ms),
            flow.state,
            flow.requests,
            bytes(flow.bytes_in),
            bytes(flow.bytes_out),
            rate(flow.rate_in),
            rate(flow.rate_out),
            flow.host
                .as_deref()
                .map_or_else(|| "-".to_owned(), printable),
        );
    }
    if flows.len() < all {
        let _ = writeln!(text, "{} more", all - flows.len());
    }
    if elsewhere > 0 {
        let _ = writeln!(
            text,
            "{elsewhere} more, of earlier daemons that drain, are not listed"
        );
    }
    text
}

/// What a client chose is not let at the terminal.
pub(super) fn printable(text: &str) -> String {
    text.escape_debug().to_string()
}
