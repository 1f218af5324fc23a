//! `weir bypass test`.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;

use super::{
    Whom,
    ask::{Answered, ask},
};
use crate::{
    bypass::InterfaceName,
    control::{Query, Request},
};

/// A connection to be asked about.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// A connection.
#[derive(clap::Args)]
struct Connection {
    /// The client's address.
    #[arg(value_name = "SRC")]
    source: IpAddr,
    /// The origin's address, and its port if it is not 80: 203.0.113.7, 203.0.113.7:8080,
    /// 2001:db8::7 or [2001:db8::7]:8080.
    #[arg(value_name = "DST[:PORT]", value_parser = destination)]
    destination: SocketAddr,
    /// The LAN that the client is on; without it, entries that name one do not match.
    #[arg(long = "in", value_name = "INTERFACE")]
    interface: Option<InterfaceName>,
}

impl Connection {
    fn query(self) -> Query {
        Query {
            source: self.source,
            destination: self.destination.ip(),
            port: self.destination.port(),
            interface: self.interface,
        }
    }
}

fn destination(text: &str) -> Result<SocketAddr, String> {
    let address = text
        .parse::<IpAddr>()
        .map(|address| SocketAddr::new(address, 80));
    address
        .or_else(|_| text.parse::<SocketAddr>())
        .map_err(|_| "write an address, or ADDRESS:PORT, [ADDRESS]:PORT for IPv6".to_owned())
}

pub(super) fn run(whom: &Whom, args: Args) -> Result<()> {
    let query = args.connection.query();
    let Answered { value, live } = ask(whom, &Request::BypassTest(query))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let decides = &value["decides"];
    if decides.is_null() {
        println!("intercepted, as far as the lists decide: no entry matches");
    } else {
        let verdict = if decides["action"] == "intercept" {
            "intercepted"
        } else {
            "bypassed"
        };
        println!(
            "{verdict} by {} (list {})",
            text(&decides["entry"]),
            text(&decides["list"])
        );
    }
    for other in value["others"].as_array().into_iter().flatten() {
        println!(
            "  not by {} (list {}): {}",
            text(&other["entry"]),
            text(&other["list"]),
            text(&other["why"])
        );
    }
    if !live {
        println!("no daemon is running: nothing is intercepted; this is by the lists alone");
    }
    Ok(())
}
