//! `weir status`.

use anyhow::Result;
use serde_json::Value;

use super::{Instance, ask, flows::bytes};
use crate::control::Request;

/// What a daemon is doing.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let status = ask(&args.instance.instance, &Request::Status)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print!("{}", screen(&status));
    }
    Ok(())
}

/// One screen: what is 0 is left out.
fn screen(status: &Value) -> String {
    let mut lines = vec![format!(
        "{} · weir {} · {} · up {} s",
        text(&status["instance"]),
        text(&status["version"]),
        status["valve"].as_str().map_or_else(
            || format!("mode {}", text(&status["mode"])),
            |reason| format!("VALVE OPEN: {reason}"),
        ),
        status["uptime_s"],
    )];
    for pattern in status["patterns"].as_array().into_iter().flatten() {
        let links = pattern["links"].as_array().map_or(0, Vec::len);
        lines.push(format!(
            "  {:<4} {:<15} {links} links, {} attached in total",
            text(&pattern["role"]),
            text(&pattern["pattern"]),
            pattern["attached"],
        ));
    }
    for interface in status["interfaces"].as_array().into_iter().flatten() {
        let attached = interface["attached"].as_bool().unwrap_or(false);
        lines.push(format!(
            "  {:<4} {:<15} {}{}",
            text(&interface["role"]),
            text(&interface["name"]),
            match interface["framing"].as_str() {
                _ if !attached && text(&interface["kind"]).is_empty() => "NOT THERE YET".to_owned(),
                _ if !attached => "GONE".to_owned(),
                Some("none") => format!("{} (no link-layer header)", text(&interface["kind"])),
                _ => text(&interface["kind"]).to_owned(),
            },
            if interface["on_failure"] == "closed" {
                ", fails closed"
            } else {
                ""
            },
        ));
    }
    if status["share"] != 100 {
        lines.push(format!("SHARE: {} % of clients", status["share"]));
    }
    for (title, key) in [
        ("would be intercepted most", "clients"),
        ("and most often to", "destinations"),
    ] {
        let most = status["shadow"][key].as_array().into_iter().flatten();
        let most: Vec<_> = most
            .map(|it| format!("{} ({})", text(&it["address"]), it["flows"]))
            .collect();
        if !most.is_empty() {
            lines.push(format!("{title}: {}", most.join(", ")));
        }
    }
    for limit in status["overload"].as_array().into_iter().flatten() {
        lines.push(format!("OVERLOAD: {}", text(limit)));
    }
    let draining = &status["draining"];
    if !draining.is_null() {
        lines.push(format!(
            "STOPPING: {} connections, cut in {} s",
            draining["connections"], draining["left_s"]
        ));
    }
    for generation in status["generations"].as_array().into_iter().flatten() {
        lines.push(format!(
            "earlier daemon {}: {} connections, since {} s",
            generation["pid"], generation["active"], generation["since_s"]
        ));
    }
    for warning in status["warnings"].as_array().into_iter().flatten() {
        lines.push(format!("WARNING: {}", text(warning)));
    }
    let connections = &status["connections"];
    lines.push(format!(
        "connections {} active, {} in total, limit {} · requests {} · workers {}",
        connections["active"],
        connections["total"],
        connections["limit"],
        status["requests"],
        status["workers"],
    ));
    let load = status["load"].as_object().into_iter().flatten();
    let load: Vec<_> = load
        .map(|(measure, it)| format!("{measure} {}/{}", it["value"], it["limit"]))
        .collect();
    lines.push(format!(
        "bytes {} in, {} out · accepted {} · load {}",
        bytes(status["bytes_in"].as_u64().unwrap_or_default()),
        bytes(status["bytes_out"].as_u64().unwrap_or_default()),
        status["accepts"],
        load.join(", "),
    ));
    let bypass = &status["bypass"];
    lines.push(format!(
        "bypass {} entries, generation {}",
        bypass["entries"], bypass["generation"]
    ));
    if let Some(damage) = bypass["damaged"].as_str() {
        lines.push(format!("EVERYTHING GOES DIRECT: {damage}"));
    }
    for feed in bypass["feeds"].as_array().into_iter().flatten() {
        if let Some(fault) = feed["fault"].as_str() {
            lines.push(format!(
                "FEED NOT TAKEN IN: list {}: {fault}",
                text(&feed["list"])
            ));
        }
    }
    if let Some(lost @ 1..) = status["log_lines_lost"].as_u64() {
        lines.push(format!("access log: {lost} lines lost"));
    }
    for (title, key) in [
        ("flows", "flows"),
        ("flows of this host", "output"),
        ("packets", "packets"),
        ("answers", "statuses"),
        ("outcomes", "outcomes"),
        ("asymmetries", "asymmetries"),
        ("hosts", "hosts"),
    ] {
        let counts = status[key].as_object().into_iter().flatten();
        let counts: Vec<_> = counts
            .filter(|(_, count)| count.as_u64() != Some(0))
            .collect();
        if !counts.is_empty() {
            lines.push(title.to_owned());
            lines.extend(
                counts
                    .iter()
                    .map(|(word, count)| format!("  {word:<20} {count:>12}")),
            );
        }
    }
    lines.join("\n") + "\n"
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
