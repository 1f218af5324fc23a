//! Lists as JSON: an array of objects, or an object with such an array as its `entries`.
//!
//! ```json
//! [{"destination": "203.0.113.0/24", "source": null, "port": 80, "interface": "lan0",
//!   "action": "bypass", "expires": "2026-12-01T00:00:00Z", "comment": "bank", "owner": "alice"}]
//! ```
//!
//! Every field may be absent or `null`, but one of the first four must be there; `"any"` as the
//! destination says that there is none in particular. `list`, `hits`, `last_hit`, `enabled` and
//! `reason`, which `weir bypass list --json` tells besides, are nothing here.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
    ser::SerializeStruct as _,
};

use super::{
    collect::{Collector, Options, Parsed, Place},
    entry::{Attributes, Entry},
    error::TextError,
    key::Key,
    text,
};

mod fields;

use fields::EntrySeed;

/// What a list is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One entry a line; see [`super::text`].
    Text,
    /// See [`self`].
    Json,
}

/// What `text` is written in: JSON if the first thing in it is `[` or `{`, which no entry begins
/// with.
#[must_use]
pub fn sniff(text: &str) -> Format {
    match without_mark(text).trim_start().as_bytes().first() {
        Some(b'[' | b'{') => Format::Json,
        _ => Format::Text,
    }
}

/// Reads a list in either format.
///
/// # Errors
///
/// [`TextError`] of the first thing that is wrong.
pub fn parse_any(given: &str, options: &Options) -> Result<Parsed, TextError> {
    match sniff(given) {
        Format::Text => text::parse(given, options),
        Format::Json => parse(given, options),
    }
}

/// Reads JSON.
///
/// # Errors
///
/// [`TextError`] of the first thing that is wrong, or of the first entry that says something else
/// than one with the same key before it.
pub fn parse(text: &str, options: &Options) -> Result<Parsed, TextError> {
    let text = without_mark(text);
    let collector = read(text, options, None)?;
    collector.finish().map_err(|clash| {
        let number = clash.later.line;
        let message = format!(
            "entry {} says something else as entry number {}; leave one of the two",
            clash.key, clash.earlier.line
        );
        // Only the reader knows where it is, so it goes there once more.
        match read(text, options, Some((number, &message))) {
            Err(error) => error,
            Ok(_) => TextError {
                line: 1,
                column: 1,
                message: format!("entry number {number}: {message}"),
            },
        }
    })
}

/// Writes an array, one entry a line.
#[must_use]
pub fn write<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    let mut out = String::from("[");
    for (number, entry) in entries.into_iter().enumerate() {
        out.push_str(if number == 0 { "\n  " } else { ",\n  " });
        // Strings, numbers and null: nothing in it can fail.
        out.push_str(&serde_json::to_string(entry).unwrap_or_default());
    }
    out.push_str(if out.len() == 1 { "]\n" } else { "\n]\n" });
    out
}

/// A byte order mark says nothing.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Gathers the entries; fails behind the entry of that number, with that message.
fn read(text: &str, options: &Options, stop: Option<(u32, &str)>) -> Result<Collector, TextError> {
    let mut list = ListSeed {
        collector: Collector::new(*options),
        number: 0,
        stop,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    (&mut list)
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| TextError {
            line: error.line(),
            column: error.column(),
            message: without_position(&error),
        })?;
    Ok(list.collector)
}

/// serde_json's message without the position behind it, which we tell in front.
pub(super) fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    match message.strip_suffix(&position) {
        Some(message) => message.to_owned(),
        None => message,
    }
}

struct ListSeed<'a> {
    collector: Collector,
    /// How many entries there were.
    number: u32,
    stop: Option<(u32, &'a str)>,
}

impl ListSeed<'_> {
    fn push(&mut self, entry: Entry, normalised: bool) -> Result<(), String> {
        self.number = self.number.saturating_add(1);
        if let Some((number, message)) = self.stop
            && number == self.number
        {
            return Err(message.to_owned());
        }
        let place = Place::new(self.number as usize, 0);
        self.collector
            .push(entry, normalised, place)
            .map_err(|fault| fault.to_string())
    }
}

impl<'de> DeserializeSeed<'de> for &mut ListSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut ListSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of entries, or an object with one as its \"entries\"")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let options = *self.collector.options();
        loop {
            let seed = EntrySeed {
                options: &options,
                take: &mut |entry, normalised| self.push(entry, normalised),
            };
            if entries.next_element_seed(seed)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Field {
            Entries,
        }
        let mut said = false;
        while let Some(Field::Entries) = fields.next_key()? {
            if std::mem::replace(&mut said, true) {
                return Err(de::Error::duplicate_field("entries"));
            }
            fields.next_value_seed(ArraySeed(&mut *self))?;
        }
        if said {
            Ok(())
        } else {
            Err(de::Error::missing_field("entries"))
        }
    }
}

/// The array within the object, which is an array and nothing else.
struct ArraySeed<'a, 'b>(&'a mut ListSeed<'b>);

impl<'de> DeserializeSeed<'de> for ArraySeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self.0)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        row(self.key(), self.attributes(), serializer)
    }
}

/// Reads what `Serialize` writes, however wide it is and whether it has ended or not.
impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut taken = None;
        let seed = EntrySeed {
            options: &Options::OWN,
            take: &mut |entry, _| {
                taken = Some(entry);
                Ok(())
            },
        };
        seed.deserialize(deserializer)?;
        taken.ok_or_else(|| de::Error::custom("an entry is expected"))
    }
}

fn row<S: Serializer>(
    key: &Key,
    attributes: &Attributes,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut row = serializer.serialize_struct("Entry", 8)?;
    let nothing = key.source().is_none() && key.port().is_none() && key.interface().is_none();
    match key.destination() {
        None if nothing => row.serialize_field("destination", "any")?,
        destination => row.serialize_field("destination", &destination)?,
    }
    row.serialize_field("source", &key.source())?;
    row.serialize_field("port", &key.port())?;
    row.serialize_field("interface", &key.interface())?;
    row.serialize_field("action", &attributes.action)?;
    row.serialize_field("expires", &attributes.expires())?;
    row.serialize_field("comment", &attributes.comment())?;
    row.serialize_field("owner", &attributes.owner())?;
    row.end()
}

#[cfg(test)]
mod tests;
