//! Commands that show what there is.

use std::{io::Write as _, net::IpAddr};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use serde_json::json;

use super::{
    Whom,
    ask::{Answered, ask},
    spell,
};
use crate::{
    bypass::{self, Entry, Key, ListName, Options, Timestamp, text},
    control::Request,
    fault::Fault,
};

/// What to show, and how.
#[derive(clap::Args)]
pub(super) struct List {
    /// This list only.
    #[arg(long, value_name = "NAME")]
    list: Option<ListName>,
    /// For programs.
    #[arg(long)]
    json: bool,
    /// The order: by what they match, hits, time of the last hit, or end.
    #[arg(long, value_enum, default_value_t = Sort::Entry)]
    sort: Sort,
    /// Those with a prefix that meets this one, or with this text anywhere.
    #[arg(long, value_name = "PREFIX|TEXT")]
    filter: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    Entry,
    Hits,
    Last,
    Expires,
}

/// An entry as it is told.
struct Row {
    list: String,
    enabled: bool,
    hits: u64,
    last: Option<Timestamp>,
    entry: Entry,
}

pub(super) fn list(whom: &Whom, list: &List) -> Result<()> {
    let (mut rows, live) = rows(whom, list.list.clone())?;
    if let Some(filter) = &list.filter {
        let filter = Filter::of(filter);
        rows.retain(|row| filter.takes(row));
    }
    match list.sort {
        Sort::Entry => {}
        Sort::Hits => rows.sort_by_key(|row| std::cmp::Reverse(row.hits)),
        Sort::Last => rows.sort_by_key(|row| std::cmp::Reverse(row.last)),
        Sort::Expires => {
            rows.sort_by_key(|row| row.entry.expires().map_or(u64::MAX, Timestamp::unix))
        }
    }
    if list.json {
        return json_rows(&rows);
    }
    table(&rows)?;
    if !live {
        eprintln!("no daemon is running: this is what the next one begins with");
    }
    Ok(())
}

pub(super) fn export(whom: &Whom, list: ListName, as_json: bool) -> Result<()> {
    let (rows, _) = rows(whom, Some(list))?;
    let entries: Vec<Entry> = rows.into_iter().map(|row| row.entry).collect();
    print(|out| {
        if as_json {
            return out.write_all(bypass::json::write(&entries).as_bytes());
        }
        entries
            .iter()
            .try_for_each(|entry| writeln!(out, "{entry}"))
    })
}

pub(super) fn show(whom: &Whom, words: &[String], as_json: bool) -> Result<()> {
    let asked = words.join(" ");
    let key: Key = asked
        .parse()
        .map_err(|error: bypass::TextError| Fault::Usage(error.message))?;
    // A prefix alone is every entry that has it.
    let alone = key.destination().filter(|_| words.len() == 1);
    let (mut rows, _) = rows(whom, None)?;
    rows.retain(|row| {
        let own = row.entry.key();
        *own == key || alone.is_some() && (own.destination() == alone || own.source() == alone)
    });
    if rows.is_empty() {
        return Err(Fault::Usage(format!(
            "there is no entry {asked}; `weir bypass list --filter PREFIX` shows those that meet \
             a prefix, `weir bypass test` what decides about a connection"
        ))
        .into());
    }
    if as_json {
        return json_rows(&rows);
    }
    let now = Timestamp::now();
    print(|out| {
        for row in &rows {
            let entry = &row.entry;
            writeln!(out, "{}", entry.key())?;
            writeln!(out, "  action   {}", entry.action())?;
            let state = if row.enabled { "" } else { " (disabled)" };
            writeln!(out, "  list     {}{state}", row.list)?;
            writeln!(
                out,
                "  hits     {}, the last {}",
                row.hits,
                spell::ago(row.last, now)
            )?;
            if let Some(ends) = entry.expires() {
                writeln!(out, "  until    {ends} ({})", left(ends, now))?;
            }
            if let Some(owner) = entry.owner() {
                writeln!(out, "  owner    {owner}")?;
            }
            if let Some(comment) = entry.comment() {
                writeln!(out, "  comment  {comment}")?;
            }
        }
        Ok(())
    })
}

pub(super) fn lists(whom: &Whom, as_json: bool) -> Result<()> {
    let Answered { value, .. } = ask(whom, &Request::BypassLists)?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    println!("{:<32} {:<8} {:>10}  FEED", "LIST", "STATE", "ENTRIES");
    for list in value.as_array().into_iter().flatten() {
        let state = if list["enabled"] == true {
            "enabled"
        } else {
            "disabled"
        };
        println!(
            "{:<32} {state:<8} {:>10}  {}",
            list["name"].as_str().unwrap_or_default(),
            list["entries"].to_string(),
            list["feed"].as_str().unwrap_or("-"),
        );
    }
    Ok(())
}

pub(super) fn candidates(whom: &Whom, as_json: bool) -> Result<()> {
    let Answered { value, .. } = ask(whom, &Request::BypassLearn)?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    println!(
        "{:<44} {:<40} {:>8} {:>8} {:>8} {:>8}  WHAT BECOMES OF IT",
        "DESTINATION", "CLIENT", "NOT-HTTP", "FAILED", "AROUND", "CLIENTS"
    );
    for candidate in value.as_array().into_iter().flatten() {
        let text = |name: &str| candidate[name].as_str().unwrap_or("any").to_owned();
        let port = candidate["port"]
            .as_u64()
            .map_or_else(String::new, |port| format!(" port {port}"));
        println!(
            "{:<44} {:<40} {:>8} {:>8} {:>8} {:>8}  {}",
            text("destination") + &port,
            text("source"),
            candidate["not_http"].to_string(),
            candidate["connect_failed"].to_string(),
            candidate["asymmetric_return"].to_string(),
            candidate["clients"].to_string(),
            candidate["obstacle"]
                .as_str()
                .unwrap_or("learned with the next"),
        );
    }
    Ok(())
}

/// Entries of one list or of all, and whether a daemon told them.
fn rows(whom: &Whom, list: Option<ListName>) -> Result<(Vec<Row>, bool)> {
    let Answered { value, live } = ask(whom, &Request::BypassRead { list })?;
    let lines = value.as_str().unwrap_or_default();
    let rows: Option<Vec<Row>> = lines.lines().map(row).collect();
    let rows = rows.context("the daemon told an entry that this weir does not understand")?;
    Ok((rows, live))
}

fn row(line: &str) -> Option<Row> {
    let mut fields = line.splitn(5, '\t');
    Some(Row {
        list: fields.next()?.to_owned(),
        enabled: fields.next()? == "on",
        hits: fields.next()?.parse().ok()?,
        last: Some(fields.next()?.parse().ok()?)
            .filter(|seconds| *seconds != 0)
            .map(Timestamp::from_unix),
        entry: text::parse_entry(fields.next()?, &Options::OWN).ok()?,
    })
}

fn table(rows: &[Row]) -> Result<()> {
    let now = Timestamp::now();
    let cells: Vec<[String; 6]> = rows
        .iter()
        .map(|row| {
            let entry = &row.entry;
            let exception = entry.action() == bypass::Action::Intercept;
            [
                format!(
                    "{}{}",
                    if exception { "intercept " } else { "" },
                    entry.key()
                ),
                format!("{}{}", row.list, if row.enabled { "" } else { " (off)" }),
                row.hits.to_string(),
                spell::ago(row.last, now),
                entry
                    .expires()
                    .map_or_else(|| "-".to_owned(), |ends| left(ends, now)),
                entry.comment().unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    let heads = ["ENTRY", "LIST", "HITS", "LAST HIT", "ENDS", "COMMENT"];
    let width = |at: usize| {
        let cells = cells.iter().map(|cells| cells[at].chars().count());
        cells.chain([heads[at].len()]).max().unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    print(|out| {
        let heads = heads.map(str::to_owned);
        for cells in std::iter::once(&heads).chain(&cells) {
            let mut line = String::new();
            for ((at, cell), width) in cells.iter().enumerate().zip(widths) {
                // Numbers to the right.
                let cell = if at == 2 {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                };
                line.push_str(&cell);
                line.push_str("  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    })
}

/// An array of what `import` and `replace` read, with what they do not heed.
fn json_rows(rows: &[Row]) -> Result<()> {
    print(|out| {
        let mut separator = "[";
        for row in rows {
            let (entry, key) = (&row.entry, row.entry.key());
            let value = json!({
                "destination": destination(key),
                "source": key.source().map(|prefix| prefix.to_string()),
                "port": key.port(),
                "interface": key.interface().map(ToString::to_string),
                "action": entry.action(),
                "expires": entry.expires(),
                "comment": entry.comment(),
                "owner": entry.owner(),
                "list": row.list,
                "enabled": row.enabled,
                "hits": row.hits,
                "last_hit": row.last,
            });
            write!(out, "{separator}\n  {value}")?;
            separator = ",";
        }
        if rows.is_empty() {
            out.write_all(b"[")?;
        }
        out.write_all(b"\n]\n")
    })
}

/// As `import` reads it, which wants an entry for everything to say so.
fn destination(key: &Key) -> Option<String> {
    let says_nothing = key.source().is_none() && key.port().is_none() && key.interface().is_none();
    match key.destination() {
        Some(prefix) => Some(prefix.to_string()),
        None => says_nothing.then(|| "any".to_owned()),
    }
}

/// Writes to standard output; who closes it has seen enough.
fn print(write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn left(ends: Timestamp, now: Timestamp) -> String {
    match ends.unix().checked_sub(now.unix()) {
        Some(seconds @ 1..) => format!("in {}", spell::seconds(seconds)),
        _ => "over".to_owned(),
    }
}

/// What `--filter` says.
enum Filter {
    Prefix(IpNet),
    Text(String),
}

impl Filter {
    fn of(text: &str) -> Self {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_or_else(|_| Self::Text(text.to_owned()), Self::Prefix)
    }

    fn takes(&self, row: &Row) -> bool {
        let key = row.entry.key();
        match self {
            Self::Text(text) => {
                row.entry.to_string().contains(text.as_str()) || row.list.contains(text.as_str())
            }
            Self::Prefix(prefix) => [key.destination(), key.source()]
                .into_iter()
                .flatten()
                .any(|own| own.contains(prefix) || prefix.contains(&own)),
        }
    }
}
