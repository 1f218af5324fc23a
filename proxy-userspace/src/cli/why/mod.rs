//! `weir why`.

mod spell;
mod watch;

use anyhow::Result;
use ipnet::IpNet;
use proxy_ebpf::watch::reasons;
use serde_json::Value;

use self::spell::{Destination, Which};
use super::{Instance, ask};
use crate::{
    bypass::InterfaceName,
    control::{Query, Request, Wanted},
    fault::Fault,
};

/// What becomes of a connection, and what decides that; with --watch, of those that are made.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// The client's address. With --watch also a prefix, or any, which is meant without it.
    #[arg(value_name = "SRC", required_unless_present = "watch")]
    source: Option<Which>,
    /// The origin's address, and its port: 203.0.113.7, 203.0.113.7:8080, 2001:db8::7 or
    /// [2001:db8::7]:8080. Without a port, 80 is meant; with --watch any, and it may be a prefix.
    #[arg(value_name = "DST[:PORT]", required_unless_present = "watch")]
    destination: Option<Destination>,
    /// The interface that it comes in by. Without it the LAN is meant, if there is one only; with
    /// --watch, any.
    #[arg(long = "in", value_name = "INTERFACE")]
    interface: Option<InterfaceName>,
    /// Prints decisions as they are made, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Watches those with this reason alone; may be given more than once.
    #[arg(long, value_name = "REASON", requires = "watch", value_parser = reason)]
    reason: Vec<String>,
    /// Prints one decision in so many, at random.
    #[arg(long, value_name = "N", requires = "watch", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    sample: u32,
    /// Prints so many in a second at most; the others are counted.
    #[arg(long, value_name = "N", requires = "watch", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Ends after so many.
    #[arg(long, value_name = "N", requires = "watch",
          value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

fn reason(text: &str) -> Result<String, String> {
    let mut all = reasons();
    match all.find(|(_, word)| *word == text) {
        Some((_, word)) => Ok(word.to_owned()),
        None => {
            let words: Vec<_> = reasons().map(|(_, word)| word).collect();
            Err(format!("there are: {}", words.join(", ")))
        }
    }
}

impl Args {
    /// The one connection that is asked about.
    fn query(self) -> Result<Query, Fault> {
        let one = |which: Option<Which>| match which {
            Some(Which::One(address)) => Ok(address),
            _ => Err(Fault::Usage(
                "one connection is asked about: write addresses; prefixes and any are for --watch"
                    .to_owned(),
            )),
        };
        let port = self.destination.and_then(|it| it.port).unwrap_or(80);
        Ok(Query {
            source: one(self.source)?,
            destination: one(self.destination.map(|it| it.which))?,
            port,
            interface: self.interface,
        })
    }

    /// What is to be watched.
    fn wanted(&self) -> Result<Wanted, Fault> {
        let source = self.source.and_then(Which::prefix);
        let destination = self.destination.and_then(|it| it.which.prefix());
        if let (Some(source), Some(destination)) = (source, destination)
            && matches!(source, IpNet::V4(_)) != matches!(destination, IpNet::V4(_))
        {
            return Err(Fault::Usage(format!(
                "{source} and {destination} are of different families, and no connection is"
            )));
        }
        Ok(Wanted {
            source,
            destination,
            port: self.destination.and_then(|it| it.port),
            interface: self.interface,
            reasons: self.reason.clone(),
            sample: self.sample,
            rate: self.rate,
        })
    }
}

pub(super) fn run(args: Args) -> Result<()> {
    if args.watch {
        return watch::run(&args);
    }
    let (instance, json) = (args.instance.instance.clone(), args.json);
    let request = Request::Why(args.query()?);
    let told = ask(&instance, &request)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&told)?);
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    println!(
        "{} → {}, from {}",
        text(&told["client"]),
        text(&told["origin"]),
        text(&told["interface"])
    );
    for step in told["steps"].as_array().into_iter().flatten() {
        let sign = if step["passed"] == true { "✓" } else { "✗" };
        println!("  {sign} {}", text(&step["text"]));
    }
    println!(
        "= {} ({}): {}",
        text(&told["verdict"]),
        text(&told["reason"]),
        text(&told["then"])
    );
    for other in told["others"].as_array().into_iter().flatten() {
        println!(
            "  not by {} (list {}): {}",
            text(&other["entry"]),
            text(&other["list"]),
            text(&other["why"])
        );
    }
    Ok(())
}
