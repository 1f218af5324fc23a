//! A list's file: its entries as text, between a line that says whose they are and one that says
//! how many.

use std::fmt::Write as _;

use super::{
    super::{
        collect::Options, entry::Attributes, key::Key, name::ListName, plan::Change, set::List,
        text::Reader,
    },
    error::Damage,
};

/// Version of the file's shape.
pub(super) const VERSION: u64 = 1;

/// How much is gathered before it is written, in bytes.
const PIECE: usize = 1 << 20;

const HEADER: &str = "# weir bypass list ";
const FOOTER: &str = "# end of list · ";

/// What a file says.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) generation: u64,
    pub(super) list: List,
}

/// What is wrong with a file.
#[derive(Debug)]
pub(super) enum Unreadable {
    Damaged(Damage),
    Version(u64),
}

/// Writes the file of a list in pieces, and tells its length in bytes.
pub(super) fn encode<'a, E>(
    name: &ListName,
    generation: u64,
    enabled: bool,
    entries: impl Iterator<Item = (&'a Key, &'a Attributes)>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    let state = if enabled { "enabled" } else { "disabled" };
    let mut piece =
        format!("{HEADER}{VERSION} · name {name} · generation {generation} · {state}\n");
    let (mut count, mut length) = (0_usize, 0_u64);
    for (key, attributes) in entries {
        // Writing to a string does not fail.
        let _ = super::super::write::entry(key, attributes, &mut piece);
        piece.push('\n');
        count += 1;
        if piece.len() >= PIECE {
            write(piece.as_bytes())?;
            length += piece.len() as u64;
            piece.clear();
        }
    }
    let _ = writeln!(piece, "{FOOTER}{count} entries");
    write(piece.as_bytes())?;
    Ok(length + piece.len() as u64)
}

/// Reads the file of the list `name`.
pub(super) fn decode(name: &ListName, bytes: &[u8]) -> Result<Snapshot, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        Unreadable::Damaged(Damage::of_line(line, "a byte there is not UTF-8"))
    })?;
    let mut lines = text.split_inclusive('\n');
    let header = lines.next().unwrap_or_default();
    let (generation, enabled) = read_header(name, header)?;
    let mut reader = Reader::new(Options::OWN);
    let damaged = |error: super::super::TextError| {
        Unreadable::Damaged(Damage {
            line: error.line,
            column: error.column,
            message: error.message,
        })
    };
    // It is a comment to the reader, who counts it as a line.
    reader
        .line(header.trim_end_matches('\n'))
        .map_err(damaged)?;
    let (mut number, mut count) = (1, None::<usize>);
    for line in lines {
        number += 1;
        let wrong = |message: &str| Unreadable::Damaged(Damage::of_line(number, message));
        if count.is_some() {
            return Err(wrong("something follows the end of the list"));
        }
        let Some(line) = line.strip_suffix('\n') else {
            return Err(wrong(
                "the line is not complete, and the end of the list is missing",
            ));
        };
        if let Some(behind) = line.strip_prefix(FOOTER) {
            let told = behind.strip_suffix(" entries").and_then(|n| n.parse().ok());
            count = Some(told.ok_or_else(|| wrong("the number of entries is not readable"))?);
        } else {
            reader.line(line).map_err(damaged)?;
        }
    }
    let wrong = |message| Unreadable::Damaged(Damage::of_line(number, message));
    let Some(count) = count else {
        return Err(wrong("the end of the list is missing".to_owned()));
    };
    let entries = reader.finish().map_err(damaged)?.entries;
    if entries.len() != count {
        let there = entries.len();
        return Err(wrong(format!(
            "it tells of {count} entries, but there are {there}"
        )));
    }
    Ok(Snapshot {
        generation,
        list: List {
            enabled,
            entries: entries
                .into_iter()
                .map(super::super::Entry::into_parts)
                .collect(),
        },
    })
}

/// The generation, and whether the list is enabled.
fn read_header(name: &ListName, line: &str) -> Result<(u64, bool), Unreadable> {
    let wrong = |message: String| Unreadable::Damaged(Damage::of_line(1, message));
    let foreign = || {
        let example = format!("{HEADER}{VERSION} · name {name} · generation 1 · enabled");
        wrong(format!("\"{example}\" or the like is expected"))
    };
    let behind = line.strip_prefix(HEADER).ok_or_else(foreign)?;
    let mut parts = behind.strip_suffix('\n').unwrap_or(behind).split(" · ");
    let version = parts.next().and_then(|version| version.parse().ok());
    // The version first: what a later one says may look damaged to us.
    match version {
        Some(VERSION) => {}
        Some(later) => return Err(Unreadable::Version(later)),
        None => return Err(foreign()),
    }
    let mut part = |prefix| parts.next().and_then(|part| part.strip_prefix(prefix));
    let (named, generation) = (part("name "), part("generation "));
    let (state, more) = (part(""), part(""));
    let generation = generation.and_then(|number| number.parse().ok());
    let (Some(named), Some(generation), Some(state), None) = (named, generation, state, more)
    else {
        return Err(foreign());
    };
    if !line.ends_with('\n') {
        return Err(wrong("everything behind this line is missing".to_owned()));
    }
    if named != name.as_str() {
        return Err(wrong(format!(
            "it is the list {named}, but the file is named after {name}"
        )));
    }
    match state {
        "enabled" => Ok((generation, true)),
        "disabled" => Ok((generation, false)),
        _ => Err(foreign()),
    }
}

/// The entries of `list` as they are after `change`, in order of their keys.
pub(super) fn after<'a>(
    list: Option<&'a List>,
    change: &'a Change,
) -> impl Iterator<Item = (&'a Key, &'a Attributes)> {
    let there = list.into_iter().flat_map(|list| &list.entries);
    let mut removed = change.removed.iter().map(|entry| entry.key()).peekable();
    let mut updated = change.updated.iter().map(|(_, entry)| entry).peekable();
    let mut added = change.added.iter().peekable();
    let mut kept = there
        .filter(move |(key, _)| removed.next_if_eq(key).is_none())
        .map(
            move |(key, attributes)| match updated.next_if(|new| new.key() == key) {
                Some(new) => (key, new.attributes()),
                None => (key, attributes),
            },
        )
        .peekable();
    std::iter::from_fn(move || {
        let new = match kept.peek() {
            Some((key, _)) => added.next_if(|new| new.key() < *key),
            None => added.next(),
        };
        match new {
            Some(new) => Some((new.key(), new.attributes())),
            None => kept.next(),
        }
    })
}
