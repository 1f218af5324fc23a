//! `weir bypass`.

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use super::{Instance, ask};
use crate::{
    bypass::{Entry, EntryError, EntrySpec},
    control::Request,
    fault::Fault,
};

/// The bypass list.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Adds entries, all or none; they hold for the next connection.
    Add(Edit),
    /// Removes entries, all or none.
    Del(Edit),
    /// Shows the list.
    List {
        #[command(flatten)]
        instance: Instance,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
struct Edit {
    /// Destinations: addresses or prefixes of either family.
    #[arg(required_unless_present = "src", value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Clients: addresses or prefixes of either family.
    #[arg(long, value_name = "SOURCE")]
    src: Vec<String>,
    /// What the entries are for.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Accept 0.0.0.0/0 and ::/0: nothing is intercepted any more.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    instance: Instance,
}

pub(super) fn run(args: Args) -> Result<()> {
    match args.verb {
        Verb::Add(edit) => {
            let entries = edit.entries(edit.yes)?;
            let done = ask(
                &edit.instance.instance,
                &Request::BypassAdd {
                    entries: entries.clone(),
                },
            )?;
            report("bypassed", &entries, &done);
        }
        Verb::Del(edit) => {
            let entries = edit.entries(true)?;
            let done = ask(
                &edit.instance.instance,
                &Request::BypassDel {
                    entries: entries.clone(),
                },
            )?;
            report("no longer bypassed", &entries, &done);
        }
        Verb::List { instance, json } => list(&instance.instance, json)?,
    }
    Ok(())
}

impl Edit {
    fn entries(&self, force: bool) -> Result<Vec<Entry>, Fault> {
        let usage = |error: EntryError| Fault::Usage(error.to_string());
        let mut entries = Vec::new();
        if !self.destinations.is_empty() && !self.src.is_empty() {
            return Err(Fault::Usage(
                "an entry has a destination or a source (--src) in this version, not both"
                    .to_owned(),
            ));
        }
        for text in &self.destinations {
            let spec = EntrySpec::parse(text, force).map_err(usage)?;
            entries.push(spec.destination(self.comment.clone()));
        }
        for text in &self.src {
            let spec = EntrySpec::parse(text, force).map_err(usage)?;
            entries.push(spec.source(self.comment.clone()));
        }
        Ok(entries)
    }
}

fn report(what: &str, entries: &[Entry], done: &Value) {
    for entry in entries {
        println!("{what}: {entry}");
    }
    let noun = if done["entries"] == 1 {
        "entry"
    } else {
        "entries"
    };
    println!(
        "{} {noun} · generation {}",
        done["entries"], done["generation"]
    );
    if done["present"].as_u64().unwrap_or(0) > 0 {
        println!("{} of them were there already", done["present"]);
    }
}

fn list(instance: &str, json: bool) -> Result<()> {
    let entries = ask(instance, &Request::BypassList)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&entries)?);
        return Ok(());
    }
    println!(
        "{:<44} {:<44} {:<10} COMMENT",
        "DESTINATION", "SOURCE", "LIST"
    );
    for entry in entries.as_array().into_iter().flatten() {
        let field = |name: &str| entry[name].as_str().unwrap_or("any").to_owned();
        println!(
            "{:<44} {:<44} {:<10} {}",
            field("destination"),
            field("source"),
            field("list"),
            entry["comment"].as_str().unwrap_or_default(),
        );
    }
    Ok(())
}
