//! `weir why`.

use anyhow::Result;
use serde_json::Value;

use super::{Instance, ask, bypass::Connection};
use crate::control::Request;

/// What becomes of a connection, and what decides that.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    connection: Connection,
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<()> {
    let request = Request::Why(args.connection.query());
    let told = ask(&args.instance.instance, &request)?;
    if args.json {
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
