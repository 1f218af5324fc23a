//! Lists as text, one entry a line.
//!
//! ```text
//! # a comment; blank lines are nothing
//! 203.0.113.0/24
//! 203.0.113.0/24 src 10.0.0.0/8 port 80 in lan0 until 2026-12-01T00:00:00Z owner alice  # bank
//! intercept 203.0.113.7
//! any src 10.0.0.99
//! ```
//!
//! The destination comes first (`any` is none in particular), then the other words in any order,
//! each at most once. A `#` or `;` in front of which there is a blank or nothing begins a comment;
//! behind an entry it is the entry's. An owner with blanks in it is written in double quotes, with
//! `\"` and `\\` for a quote and a backslash. [`Entry`](super::Entry)'s `Display` writes such a
//! line.

use std::borrow::Cow;

use super::{
    collect::{Collector, Options, Parsed, Place},
    entry::{self, Action, Attributes, Entry},
    error::{EntryError, TextError},
    interface::InterfaceName,
    key::{self, Key},
    words::{Word, Words},
};

/// What may stand where a destination is expected.
const DESTINATION: &str = "an address, a prefix or \"any\"";

/// The words behind a destination, each with a value behind it.
const ATTRIBUTES: [(&str, &str); 5] = [
    ("src", "an address or a prefix"),
    ("port", "a number from 1 to 65535"),
    ("in", "the name of an interface"),
    ("until", "a moment, e.g. 2026-12-01T00:00:00Z"),
    ("owner", "a name"),
];

/// Reads a text line by line, so that a caller can tell how far it is.
#[derive(Clone, Debug)]
pub struct Reader {
    collector: Collector,
    line: usize,
}

/// Reads a whole text. Fast: nothing is allocated for a line but what its entry keeps.
///
/// # Errors
///
/// [`TextError`] of the first line that is wrong, or of the first entry that says something else
/// than one with the same key above it.
pub fn parse(text: &str, options: &Options) -> Result<Parsed, TextError> {
    let mut reader = Reader::new(*options);
    for line in text.split('\n') {
        reader.line(line)?;
    }
    reader.finish()
}

/// Reads one entry.
///
/// # Errors
///
/// [`TextError`]; an empty line and a comment alone are errors, too.
pub fn parse_entry(text: &str, options: &Options) -> Result<Entry, TextError> {
    let mut entries = parse(text, options)?.entries.into_iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry),
        _ => Err(at_beginning(format!(
            "one entry is expected: {DESTINATION}"
        ))),
    }
}

/// Reads what an entry matches, however wide it is.
pub(super) fn parse_key(text: &str) -> Result<Key, TextError> {
    let (key, attributes) = parse_entry(text, &Options::OWN)?.into_parts();
    if attributes == Attributes::new(Action::Bypass) {
        return Ok(key);
    }
    Err(at_beginning(
        "only what an entry matches is expected: its destination, src, port and in".to_owned(),
    ))
}

impl Reader {
    /// A reader that has read nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            collector: Collector::new(options),
            line: 0,
        }
    }

    /// Reads the next line, without the line feed at its end. A carriage return there and a byte
    /// order mark before the first line are nothing.
    ///
    /// # Errors
    ///
    /// [`TextError`]; the line is not taken then, and reading may go on.
    pub fn line(&mut self, text: &str) -> Result<(), TextError> {
        self.line += 1;
        let text = text.strip_suffix('\r').unwrap_or(text);
        let text = match text.strip_prefix('\u{feff}') {
            Some(behind) if self.line == 1 => behind,
            _ => text,
        };
        let error = |(at, message)| TextError {
            line: self.line,
            column: column(text, at),
            message,
        };
        let Some(line) = read(text, self.collector.options()).map_err(error)? else {
            return Ok(());
        };
        let place = Place::new(self.line, column(text, line.destination));
        self.collector
            .push(line.entry, line.normalised, place)
            .map_err(|fault| {
                let at = match fault {
                    EntryError::Over(_) => line.until,
                    _ => line.destination,
                };
                error((at, fault.to_string()))
            })
    }

    /// What was read.
    ///
    /// # Errors
    ///
    /// [`TextError`] of the first entry that says something else than one with the same key above
    /// it.
    pub fn finish(self) -> Result<Parsed, TextError> {
        self.collector.finish().map_err(|clash| TextError {
            line: clash.later.line as usize,
            column: clash.later.column as usize,
            message: format!(
                "entry {} says something else on line {}; leave one of the two",
                clash.key, clash.earlier.line
            ),
        })
    }
}

/// An entry, and where its words begin, in bytes.
struct Line {
    entry: Entry,
    normalised: bool,
    destination: usize,
    until: usize,
}

/// A wrong word's beginning, in bytes, and what is wrong with it.
type Wrong = (usize, String);

/// The entry of a line, `None` if there is none.
fn read(text: &str, options: &Options) -> Result<Option<Line>, Wrong> {
    let mut words = Words::new(text);
    let Some(mut first) = words.plain() else {
        return Ok(None);
    };
    let mut attributes = Attributes::new(Action::Bypass);
    if first.text == "intercept" {
        attributes.action = Action::Intercept;
        first = words.plain().ok_or_else(|| missing(&first, DESTINATION))?;
    }
    let mut normalised = false;
    let mut prefix = |word: &Word<'_>, text: &str| {
        let (prefix, cleared) = options.prefix(text).map_err(|e| (word.at, e.to_string()))?;
        normalised |= cleared;
        Ok::<_, Wrong>(prefix)
    };
    let destination = match first.text {
        "any" => None,
        text if attribute(text).is_some() => {
            let message = format!("\"{text}\" where the destination is expected: {DESTINATION}");
            return Err((first.at, message));
        }
        text => Some(prefix(&first, text)?),
    };
    let (mut source, mut port, mut interface) = (None, None, None);
    let (mut source_at, mut until) = (first.at, first.at);
    let mut said = [false; ATTRIBUTES.len()];
    while let Some(word) = words.plain() {
        let Some(which) = attribute(word.text) else {
            return Err((word.at, unexpected(word.text)));
        };
        if std::mem::replace(&mut said[which], true) {
            let message = format!("\"{}\" is said twice; leave one of them", word.text);
            return Err((word.at, message));
        }
        let expected = ATTRIBUTES[which].1;
        let (value, text) = words.value()?.ok_or_else(|| missing(&word, expected))?;
        let wrong = |fault: EntryError| (value.at, fault.to_string());
        match word.text {
            "src" => {
                source = Some(prefix(&value, &text)?);
                source_at = value.at;
            }
            "port" => port = Some(key::port(&text).map_err(wrong)?),
            "in" => interface = Some(text.parse::<InterfaceName>().map_err(wrong)?),
            "until" => {
                attributes.set_expires(Some(text.parse().map_err(wrong)?));
                until = value.at;
            }
            _ => attributes.set_owner(entry::note("the owner", &text).map_err(wrong)?),
        }
    }
    if let Some(comment) = words.comment() {
        // Lists are full of tabs, and one in a comment means no harm.
        let text = match comment.text.contains('\t') {
            true => Cow::Owned(comment.text.replace('\t', " ")),
            false => Cow::Borrowed(comment.text),
        };
        let wrong = |fault: EntryError| (comment.at, fault.to_string());
        attributes.set_comment(entry::note("the comment", &text).map_err(wrong)?);
    }
    let key = Key::of(destination, source, port, interface)
        .map_err(|fault| (source_at, fault.to_string()))?;
    Ok(Some(Line {
        entry: Entry::of(key, attributes),
        normalised,
        destination: first.at,
        until,
    }))
}

/// Which of [`ATTRIBUTES`] a word is.
fn attribute(word: &str) -> Option<usize> {
    ATTRIBUTES.iter().position(|(name, _)| *name == word)
}

fn missing(word: &Word<'_>, expected: &str) -> Wrong {
    let message = format!("\"{}\" needs something behind it: {expected}", word.text);
    (word.at, message)
}

fn unexpected(word: &str) -> String {
    let known = ATTRIBUTES.map(|(name, _)| name).join(", ");
    format!("\"{word}\" is none of the words that are expected here: {known}, or # and a comment")
}

fn at_beginning(message: String) -> TextError {
    TextError {
        line: 1,
        column: 1,
        message,
    }
}

/// The column, in characters from 1, of the byte `at`.
fn column(text: &str, at: usize) -> usize {
    1 + text
        .chars()
        .scan(0, |end, c| {
            *end += c.len_utf8();
            Some(*end)
        })
        .take_while(|&end| end <= at)
        .count()
}

#[cfg(test)]
mod tests;
