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
        let mut table = &self.0;
        for part in section.split('.') {
            table = table.get(part)?.get_ref().as_table()?;
        }
        table.get(key)
    }

    /// The entries of a list of tables, in their order.
    pub(super) fn entries(&self, list: &str) -> impl Iterator<Item = (Range<usize>, &DeTable<'i>)> {
        let list = self.0.get(list).and_then(|list| list.get_ref().as_array());
        let entries = list.into_iter().flat_map(|list| list.iter());
        entries.filter_map(|entry| Some((entry.span(), entry.get_ref().as_table()?)))
    }

    /// One fault for each section and key that we do not have. What is within rules is not looked
    /// at.
    pub(super) fn unknown_keys(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (section, content) in &self.0 {
            let (at, section) = (section.span(), section.get_ref().as_ref());
            match content.get_ref() {
                DeValue::Array(entries) if section == RULES => {
                    let others = entries.iter().filter(|entry| !is_table(entry));
                    faults.extend(others.map(|other| not_a_rule(other.span(), other)));
                }
                _ if section == RULES => faults.push(not_a_rule(at, content)),
                _ if !is_section(section) => {
                    faults.push(Fault::new(at, unknown_at_top(section, content)));
                }
                _ => unknown_within(section, at, content, &mut faults),
            }
        }
        faults
    }
}

/// The same for a section and those within it.
fn unknown_within(section: &str, at: Range<usize>, content: &Value<'_>, faults: &mut Vec<Fault>) {
    let DeValue::Table(table) = content.get_ref() else {
        return faults.push(Fault::new(
            at,
            format!(
                "\"{section}\" is a section, not {}; write [{section}] on a line of its own",
                kind(content.get_ref())
            ),
        ));
    };
    for (key, value) in table {
        let (at, key) = (key.span(), key.get_ref());
        let inner = format!("{section}.{key}");
        if is_section(&inner) {
            unknown_within(&inner, at, value, faults);
        } else if !is_key(section, key) {
            faults.push(Fault::new(at, unknown_in_section(section, key)));
        }
    }
}

fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|(known, _)| *known == name)
}

/// The list of rules.
pub(super) const RULES: &str = "rule";

fn is_table(value: &Value<'_>) -> bool {
    matches!(value.get_ref(), DeValue::Table(_))
}

fn not_a_rule(at: Range<usize>, found: &Value<'_>) -> Fault {
    let found = match found.get_ref() {
        DeValue::Table(_) => "a section",
        other => kind(other),
    };
    let message =
        format!("\"{RULES}\" is a list of tables, not {found}; begin each with [[{RULES}]]");
    Fault::new(at, message)
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
    if let DeValue::Array(entries) = content.get_ref()
        && entries.iter().all(is_table)
        && nearest(word, [RULES]).is_some()
    {
        return format!("unknown list [[{word}]]; did you mean [[{RULES}]]?");
    }
    if !is_table(content) {
        return match section_of(word) {
            Some(section) => {
                format!("key \"{word}\" stands in no section; put it below [{section}]")
            }
            None => format!("unknown key \"{word}\" outside of any section"),
        };
    }
    let sections = SECTIONS.iter().map(|(name, _)| *name);
    let sections = sections.filter(|name| !name.contains('.'));
    match nearest(word, sections.clone()) {
        Some(section) => format!("unknown section [{word}]; did you mean [{section}]?"),
        None => {
            let known: Vec<_> = sections.collect();
            let known = known.join(", ");
            format!("unknown section [{word}]; there are: {known}; and [[{RULES}]]")
        }
    }
}

fn unknown_in_section(section: &str, word: &str) -> String {
    if let Some(other) = section_of(word) {
        return format!("unknown key \"{word}\" in [{section}]; it belongs to [{other}]");
    }
    let known = KEYS.iter().map(|key| key.path);
    let known = known.chain(SECTIONS.iter().map(|(name, _)| *name));
    let known = known.map(keys::split).filter(|(of, _)| *of == section);
    let known = known.map(|(_, key)| key).filter(|key| !key.is_empty());
    unknown_key(word, &format!("[{section}]"), known)
}

/// What is said about the key `word` of `owner`, which has the keys `known` only.
pub(super) fn unknown_key<'k>(
    word: &str,
    owner: &str,
    known: impl Iterator<Item = &'k str> + Clone,
) -> String {
    match nearest(word, known.clone()) {
        Some(key) => format!("unknown key \"{word}\" in {owner}; did you mean \"{key}\"?"),
        None => {
            let known: Vec<_> = known.collect();
            format!(
                "unknown key \"{word}\" in {owner}; there are: {}",
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
