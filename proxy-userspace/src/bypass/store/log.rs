//! A list's log: the edits since its file was written, one a line.
//!
//! A line is a checksum and JSON: `89abcdef {"generation":42,"add":["192.0.2.1  # x"],"del":[]}`.

use serde::{Deserialize, Serialize};

use super::{
    super::{collect::Options, json::without_position, key::Key, plan::Change, set::List, text},
    error::Damage,
};

/// An edit as a line has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    generation: u64,
    /// Entries that are new or say something else, each as its line of text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    add: Vec<String>,
    /// Keys of entries that are gone, each as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    del: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
}

/// What a log added up to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    /// The generation after the last edit.
    pub(super) generation: u64,
    /// How many bytes at the beginning are good; what follows was never acknowledged.
    pub(super) good: usize,
}

/// The line of an edit.
pub(super) fn encode(change: &Change) -> String {
    let updated = change.updated.iter().map(|(_, new)| new);
    let edit = Edit {
        generation: change.generation,
        add: change
            .added
            .iter()
            .chain(updated)
            .map(ToString::to_string)
            .collect(),
        del: change
            .removed
            .iter()
            .map(|entry| entry.key().to_string())
            .collect(),
        enabled: change.enabled,
    };
    // Strings and numbers: nothing in it can fail.
    let json = serde_json::to_string(&edit).unwrap_or_default();
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

/// Does to `list`, which is of `generation`, what the log says and it does not have yet.
///
/// A last line that is torn or damaged is left out: power was cut while it was written. Before
/// that, every line must be as it was written.
pub(super) fn replay(bytes: &[u8], generation: u64, list: &mut List) -> Result<Replayed, Damage> {
    let snapshot = generation;
    let mut replayed = Replayed {
        generation,
        good: 0,
    };
    let mut last = 0;
    for (number, line) in (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n')) {
        let wrong = |message: String| Damage {
            line: number,
            column: 10,
            message,
        };
        let Some(json) = checked(line) else {
            if replayed.good + line.len() == bytes.len() {
                break;
            }
            return Err(Damage::of_line(
                number,
                "its checksum is not that of the line",
            ));
        };
        let edit: Edit =
            serde_json::from_slice(json).map_err(|error| wrong(without_position(&error)))?;
        if edit.generation <= last {
            let message = format!("generation {} follows generation {last}", edit.generation);
            return Err(wrong(message));
        }
        last = edit.generation;
        replayed.good += line.len();
        // Power was cut between writing the list and removing its log: the list has this edit.
        if edit.generation > snapshot {
            replayed.generation = edit.generation;
            apply(&edit, list).map_err(wrong)?;
        }
    }
    Ok(replayed)
}

/// What is behind the checksum, if that is right and the line complete.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let right = format!("{:08x}", crc32fast::hash(json));
    (sum == right.as_bytes()).then_some(json)
}

fn apply(edit: &Edit, list: &mut List) -> Result<(), String> {
    for text in &edit.del {
        let key: Key = text
            .parse()
            .map_err(|e: super::super::TextError| e.message)?;
        if list.entries.remove(&key).is_none() {
            return Err(format!("{key} is removed, but was not there"));
        }
    }
    for text in &edit.add {
        let entry = text::parse_entry(text, &Options::OWN).map_err(|error| error.message)?;
        let (key, attributes) = entry.into_parts();
        list.entries.insert(key, attributes);
    }
    list.enabled = edit.enabled.unwrap_or(list.enabled);
    Ok(())
}
