//! The TOML text as a tree that knows where everything stands.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keys::{self, KEYS, SECTIONS},
    nearest::nearest,
};

/// A value of the file with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Something wrong at a range of bytes of the text.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: Range<usize>,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

/// A file that is well-formed TOML; its keys are not known to be ours yet.
pub(super) struct Document<'i>(DeTable<'i>);

impl<'i> Document<'i> {
    pub(super) fn parse(text: &'i str) -> Result<Self, Fault> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self(table.into_inner())),
            Err(error) => Err(Fault::new(
                error.span().unwrap_or_default(),
                error.message(),
            )),
        }
    }

    /// The value of `section.key`, if the file has it.
    pub(super) fn value(&self, path: &str) -> Option<&Value<'i>> {
        let (section, key) = keys::split(path);
        self.0.get(section)?.get_ref().as_table()?.get(key)
    }

    /// Where an element of a list stands; the list itself, if it has no such element.
    pub(super) fn element(&self, path: &str, index: usize) -> Range<usize> {
        let Some(list) = self.value(path) else {
            return Range::default();
        };
        list.get_ref().get(index).unwrap_or(list).span()
    }

    /// One fault for each section and key that we do not have.
    pub(super) fn unknown_keys(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (section, content) in &self.0 {
            let (at, section) = (section.span(), section.get_ref().as_ref());
            match content.get_ref() {
                _ if !SECTIONS.iter().any(|(name, _)| *name == section) => {
                    faults.push(Fault::new(at, unknown_at_top(section, content)));
                }
                DeValue::Table(table) => {
                    let unknown = table.keys().filter(|key| !is_key(section, key.get_ref()));
                    faults.extend(unknown.map(|key| {
                        Fault::new(key.span(), unknown_in_section(section, key.get_ref()))
                    }));
                }
                other => faults.push(Fault::new(
                    at,
                    format!(
                        "\"{section}\" is a section, not {}; \
                         write [{section}] on a line of its own",
                        kind(other)
                    ),
                )),
            }
        }
        faults
    }
}

/// What TOML calls the value, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn is_key(section: &str, key: &str) -> bool {
    KEYS.iter()
        .any(|known| keys::split(known.path) == (section, key))
}

fn unknown_at_top(word: &str, content: &Value<'_>) -> String {
    if !matches!(content.get_ref(), DeValue::Table(_)) {
        return match section_of(word) {
            Some(section) => {
                format!("key \"{word}\" stands in no section; put it below [{section}]")
            }
            None => format!("unknown key \"{word}\" outside of any section"),
        };
    }
    let sections = SECTIONS.iter().map(|(name, _)| *name);
    match nearest(word, sections.clone()) {
        Some(section) => format!("unknown section [{word}]; did you mean [{section}]?"),
        None => {
            let known: Vec<_> = sections.collect();
            format!("unknown section [{word}]; there are: {}", known.join(", "))
        }
    }
}

fn unknown_in_section(section: &str, word: &str) -> String {
    if let Some(other) = section_of(word) {
        return format!("unknown key \"{word}\" in [{section}]; it belongs to [{other}]");
    }
    let known = KEYS.iter().map(|key| keys::split(key.path));
    let known = known.filter(|(of, _)| *of == section).map(|(_, key)| key);
    match nearest(word, known.clone()) {
        Some(key) => format!("unknown key \"{word}\" in [{section}]; did you mean \"{key}\"?"),
        None => {
            let known: Vec<_> = known.collect();
            format!(
                "unknown key \"{word}\" in [{section}]; there are: {}",
                known.join(", ")
            )
        }
    }
}

/// The section that has a key of this name, if it is one only.
fn section_of(word: &str) -> Option<&'static str> {
    let mut sections = KEYS
        .iter()
        .map(|key| keys::split(key.path))
        .filter(|(_, key)| *key == word);
    let (section, _) = sections.next()?;
    sections.next().is_none().then_some(section)
}
