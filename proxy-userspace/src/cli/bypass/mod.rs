//! `weir bypass`.

mod ask;
mod change;
mod read;
mod sources;
mod spell;
mod test;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::bypass::{InterfaceName, ListName, MANUAL, Timestamp};

/// The bypass lists.
///
/// An entry is any of destination, client, port and LAN. The one with the longest destination
/// decides, of those the one with the longest client, then one with a port, then one with a LAN;
/// of equals one that intercepts. Commands that change something do all of it or nothing, and
/// return when the kernel has it. Without a daemon, root edits what the next one begins with.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    whom: Whom,
}

/// Whose lists.
#[derive(clap::Args)]
struct Whom {
    /// Instance name, as given to `weir run`.
    #[arg(long, default_value = "default", value_name = "NAME", global = true)]
    instance: String,
    /// Configuration file of the instance, for when no daemon runs.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    /// Adds entries, all or none; they hold for the next connection.
    ///
    /// One that is there gets the end and the action that are given, and keeps its comment and
    /// owner unless others are.
    Add(Add),
    /// Removes entries, all or none.
    Del(Del),
    /// Makes a file's entries the list's, at once: no packet sees anything in between.
    Replace(File),
    /// Adds a file's entries, all or none.
    Import(File),
    /// Prints a list as `import` and `replace` read it.
    Export {
        #[command(flatten)]
        list: OneList,
        /// JSON in place of plain text.
        #[arg(long)]
        json: bool,
    },
    /// Shows entries.
    List(read::List),
    /// Shows all there is to know of an entry, or of those for a prefix.
    Show {
        /// A prefix, of destinations or clients; or an entry as `list` shows it: any in lan0.
        #[arg(value_name = "ENTRY", required = true)]
        words: Vec<String>,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Shows the lists.
    Lists {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Removes every entry of a list.
    Clear {
        /// The list.
        #[arg(long, value_name = "NAME")]
        list: ListName,
    },
    /// Lets a list's entries hold again.
    Enable {
        /// The list.
        #[arg(long, value_name = "NAME")]
        list: ListName,
    },
    /// Lets a list's entries not hold, without deleting them.
    Disable {
        /// The list.
        #[arg(long, value_name = "NAME")]
        list: ListName,
    },
    /// Says which entry decides about a connection, and why.
    Test(test::Args),
    /// Shows what `[bypass.learn]` has seen, and what would be learned.
    Learn {
        /// Nothing is added by this command; say so.
        #[arg(long, required = true)]
        dry_run: bool,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
}

/// Which list.
#[derive(clap::Args)]
struct OneList {
    /// The list.
    #[arg(long, default_value = MANUAL, value_name = "NAME")]
    list: ListName,
}

/// What entries match.
#[derive(clap::Args)]
struct Match {
    /// Destinations: addresses or prefixes of either family, or `any`; `-` reads entries from
    /// standard input, one a line.
    #[arg(value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Clients: addresses or prefixes.
    #[arg(long, value_name = "SOURCE")]
    src: Vec<String>,
    /// Destination port, one of the watched.
    #[arg(long)]
    port: Option<u16>,
    /// LAN interface that connections come from.
    #[arg(long = "in", value_name = "INTERFACE")]
    interface: Option<InterfaceName>,
}

#[derive(clap::Args)]
struct Add {
    #[command(flatten)]
    matching: Match,
    /// Intercept what matches, as an exception from a wider entry.
    #[arg(long)]
    intercept: bool,
    /// How long the entries hold, such as 90s, 2h or 1d12h.
    #[arg(long = "for", value_name = "DURATION", value_parser = spell::duration, conflicts_with = "until")]
    lifetime: Option<u64>,
    /// Until when they hold, such as 2026-12-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// What the entries are for.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Whose they are.
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    #[command(flatten)]
    list: OneList,
    /// End intercepted connections that match, so that they come back direct.
    #[arg(long)]
    now: bool,
    /// Accept entries for everything: nothing is intercepted any more.
    #[arg(long)]
    yes: bool,
}

#[derive(clap::Args)]
struct Del {
    #[command(flatten)]
    matching: Match,
    #[command(flatten)]
    list: OneList,
}

#[derive(clap::Args)]
struct File {
    /// Plain text, an entry a line, or JSON; `-` is standard input.
    file: PathBuf,
    #[command(flatten)]
    list: OneList,
    /// End intercepted connections that go direct from now on.
    #[arg(long)]
    now: bool,
    /// Accept entries for everything: nothing is intercepted any more.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: Args) -> Result<()> {
    let whom = &args.whom;
    match args.verb {
        Verb::Add(add) => change::add(whom, add),
        Verb::Del(del) => change::del(whom, &del),
        Verb::Replace(file) => change::replace(whom, &file),
        Verb::Import(file) => change::import(whom, &file),
        Verb::Clear { list } => change::clear(whom, list),
        Verb::Enable { list } => change::enable(whom, list, true),
        Verb::Disable { list } => change::enable(whom, list, false),
        Verb::Export { list, json } => read::export(whom, list.list, json),
        Verb::List(list) => read::list(whom, &list),
        Verb::Show { words, json } => read::show(whom, &words, json),
        Verb::Lists { json } => read::lists(whom, json),
        Verb::Test(test) => test::run(whom, test),
        Verb::Learn { json, .. } => read::candidates(whom, json),
    }
}
