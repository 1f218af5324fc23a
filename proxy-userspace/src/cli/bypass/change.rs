//! Commands that change a list.

use std::{fmt::Write as _, io::IsTerminal as _, path::Path};

use anyhow::Result;
use serde_json::Value;

use super::{
    Add, Del, File, Whom,
    ask::{Answered, ask},
    sources, spell,
};
use crate::{
    bypass::{Action, Entry, Key, ListName, Options},
    control::{ListEdit, Request},
    fault::Fault,
};

/// More entries than these are told by their number.
const TOLD: usize = 10;

/// From so many entries on, somebody who looks on is told that it takes a moment.
const MANY: usize = 100_000;

pub(super) fn add(whom: &Whom, add: Add) -> Result<()> {
    let Add {
        matching,
        intercept,
        lifetime,
        until,
        comment,
        owner,
        list,
        now,
        yes,
    } = add;
    let ends = lifetime.map(spell::after);
    let ends = ends.or(until);
    let options = sources::strict(yes);
    let with = |entry: Entry| {
        let action = if intercept {
            Action::Intercept
        } else {
            entry.action()
        };
        let ends = ends.or(entry.expires());
        let mut given = Entry::new(*entry.key(), action).expiring(ends);
        if let Some(comment) = comment.as_deref().or(entry.comment()) {
            given = given.with_comment(comment)?;
        }
        if let Some(owner) = owner.as_deref().or(entry.owner()) {
            given = given.with_owner(owner)?;
        }
        Ok(given)
    };
    let entries = if matching.is_standard_input()? {
        let parsed = sources::read(Path::new("-"), &options)?;
        sources::tell(&parsed.notices);
        let entries: Result<Vec<_>, crate::bypass::EntryError> =
            parsed.entries.into_iter().map(with).collect();
        entries.map_err(|error| Fault::Usage(error.to_string()))?
    } else {
        sources::entries(matching.keys()?, &options, with)?
    };
    put(whom, list.list, &entries, now, true)
}

pub(super) fn del(whom: &Whom, del: &Del) -> Result<()> {
    let keys: Vec<Key> = if del.matching.is_standard_input()? {
        let parsed = sources::read(Path::new("-"), &Options::OWN)?;
        sources::tell(&parsed.notices);
        parsed.entries.iter().map(|entry| *entry.key()).collect()
    } else {
        del.matching.keys()?
    };
    let edit = ListEdit::Remove { keys: keys.clone() };
    let answered = change(whom, del.list.list.clone(), edit, false)?;
    let removed = count(&answered.value, "removed");
    say("no longer in the list:", keys.iter(), removed, &answered);
    Ok(())
}

pub(super) fn import(whom: &Whom, file: &File) -> Result<()> {
    let parsed = sources::read(&file.file, &sources::of_file(file.yes))?;
    sources::tell(&parsed.notices);
    put(
        whom,
        file.list.list.clone(),
        &parsed.entries,
        file.now,
        true,
    )
}

pub(super) fn replace(whom: &Whom, file: &File) -> Result<()> {
    let parsed = sources::read(&file.file, &sources::of_file(file.yes))?;
    sources::tell(&parsed.notices);
    let list = file.list.list.clone();
    if parsed.entries.is_empty() && !file.yes {
        return Err(Fault::Usage(format!(
            "{} has no entry, and would leave list {list} without any; use --yes if that is meant",
            sources::name(&file.file)
        ))
        .into());
    }
    put(whom, list, &parsed.entries, file.now, false)
}

pub(super) fn clear(whom: &Whom, list: ListName) -> Result<()> {
    let name = list.clone();
    let answered = change(whom, list, ListEdit::Clear, false)?;
    let removed = spell::entries(count(&answered.value, "removed"));
    println!("cleared {name} of {removed}{}", behind(&answered));
    Ok(())
}

pub(super) fn enable(whom: &Whom, list: ListName, enabled: bool) -> Result<()> {
    let name = list.clone();
    let answered = change(whom, list, ListEdit::Enable { enabled }, false)?;
    let word = if enabled { "enabled" } else { "disabled" };
    let entries = spell::entries(count(&answered.value, "entries"));
    println!("{word} {name} · {entries}{}", behind(&answered));
    Ok(())
}

/// Adds entries to a list, or makes them all that it has.
fn put(whom: &Whom, list: ListName, entries: &[Entry], end: bool, add: bool) -> Result<()> {
    let mut text = String::new();
    for entry in entries {
        writeln!(text, "{entry}")?;
    }
    if entries.len() >= MANY && std::io::stderr().is_terminal() {
        eprintln!("{} are taken in…", spell::entries(entries.len()));
    }
    let edit = if add {
        ListEdit::Add { entries: text }
    } else {
        ListEdit::Replace { entries: text }
    };
    let name = list.clone();
    let answered = change(whom, list, edit, end)?;
    let value = &answered.value;
    let changed = count(value, "added") + count(value, "updated");
    if add {
        let intercepts = entries
            .iter()
            .filter(|entry| entry.action() == Action::Intercept);
        let word = match intercepts.count() {
            0 => "bypassed",
            some if some == entries.len() => "intercepted in spite of wider entries:",
            _ => "bypassed, or intercepted in spite of that:",
        };
        say(word, entries.iter().map(Entry::key), changed, &answered);
    } else {
        println!(
            "replaced {name}: {} new, {} changed, {} gone, {} as before{}",
            count(value, "added"),
            count(value, "updated"),
            count(value, "removed"),
            count(value, "unchanged"),
            behind(&answered),
        );
    }
    Ok(())
}

fn change(whom: &Whom, list: ListName, edit: ListEdit, end: bool) -> Result<Answered> {
    ask(whom, &Request::BypassEdit { list, edit, end })
}

/// `WORD KEYS · 1 entry · generation 42`.
fn say<'a>(
    word: &str,
    keys: impl ExactSizeIterator<Item = &'a Key>,
    changed: usize,
    answered: &Answered,
) {
    let mut line = word.to_owned();
    if keys.len() <= TOLD {
        let keys: Vec<_> = keys.map(ToString::to_string).collect();
        let _ = write!(line, " {} ·", keys.join(", "));
    }
    let unchanged = count(&answered.value, "unchanged");
    let _ = write!(line, " {}", spell::entries(changed));
    if unchanged > 0 {
        let _ = write!(line, ", {unchanged} there already");
    }
    println!("{line}{}", behind(answered));
}

/// What every answer ends with.
fn behind(answered: &Answered) -> String {
    let value = &answered.value;
    let mut line = format!(" · generation {}", value["generation"]);
    if let Some(ended) = value["ended"].as_u64() {
        let noun = if ended == 1 {
            "connection"
        } else {
            "connections"
        };
        let _ = write!(line, " · {ended} {noun} ended");
    }
    if value["enabled"] == false {
        let _ = write!(line, " · the list is disabled");
    }
    if !answered.live {
        line.push_str(" · no daemon is running: it holds from the next start on");
    }
    line
}

fn count(value: &Value, what: &str) -> usize {
    value[what]
        .as_u64()
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(0)
}
