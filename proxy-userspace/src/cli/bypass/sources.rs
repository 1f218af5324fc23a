//! Entries from arguments, from files and from standard input.

use std::{
    fs,
    io::{self, BufRead, BufReader, IsTerminal as _, Read},
    path::Path,
};

use anyhow::{Context as _, Result};

use super::Match;
use crate::{
    bypass::{
        Action, Entry, Expired, Key, Notices, Options, Parsed, TextError, Timestamp, json, text,
    },
    fault::Fault,
};

/// Lines between two words about how far it is.
const PROGRESS: usize = 100_000;

/// What operators write themselves is either right or an error.
pub(super) fn strict(force: bool) -> Options {
    Options {
        force,
        expired: Expired::Refuse(Timestamp::now()),
        ..Options::default()
    }
}

/// What a file has, that was right once, may have ended since.
pub(super) fn of_file(force: bool) -> Options {
    Options {
        force,
        expired: Expired::Skip(Timestamp::now()),
        ..Options::default()
    }
}

impl Match {
    /// Whether entries come from standard input.
    pub(super) fn is_standard_input(&self) -> Result<bool, Fault> {
        let dash = self.destinations.iter().any(|word| word == "-");
        let alone = self.destinations.len() == 1
            && self.src.is_empty()
            && self.port.is_none()
            && self.interface.is_none();
        if dash && !alone {
            return Err(Fault::Usage(
                "\"-\" stands alone: the lines of standard input say everything of their entries"
                    .to_owned(),
            ));
        }
        Ok(dash)
    }

    /// The keys: every destination with every source.
    pub(super) fn keys(&self) -> Result<Vec<Key>, Fault> {
        let any = ["any".to_owned()];
        let nothing = self.destinations.is_empty()
            && self.src.is_empty()
            && self.port.is_none()
            && self.interface.is_none();
        if nothing {
            return Err(Fault::Usage(
                "what is it about? Give destinations, --src, --port or --in; `any` is everything"
                    .to_owned(),
            ));
        }
        let destinations = if self.destinations.is_empty() {
            &any[..]
        } else {
            &self.destinations
        };
        let mut keys = Vec::new();
        for destination in destinations {
            let destination = prefix(destination)?;
            let sources: Vec<_> = match &self.src[..] {
                [] => vec![None],
                sources => sources
                    .iter()
                    .map(|source| prefix(source))
                    .collect::<Result<_, _>>()?,
            };
            for source in sources {
                let key = Key::new(destination, source, self.port, self.interface);
                keys.push(key.map_err(|error| Fault::Usage(error.to_string()))?);
            }
        }
        Ok(keys)
    }
}

/// A prefix of the command line; `any` is none.
fn prefix(word: &str) -> Result<Option<ipnet::IpNet>, Fault> {
    if word.contains(char::is_whitespace) || word.contains(['#', ';', '"']) {
        return Err(Fault::Usage(format!(
            "\"{word}\" is neither an address nor a prefix; write e.g. 192.0.2.7 or 2001:db8::/32"
        )));
    }
    let key: Key = word
        .parse()
        .map_err(|error: TextError| Fault::Usage(error.message))?;
    Ok(key.destination())
}

/// Entries for these keys, each checked as a line of a file would be.
pub(super) fn entries(
    keys: Vec<Key>,
    options: &Options,
    mut with: impl FnMut(Entry) -> Result<Entry, crate::bypass::EntryError>,
) -> Result<Vec<Entry>, Fault> {
    let mut entries = Vec::new();
    for key in keys {
        let entry = with(Entry::new(key, Action::Bypass))
            .map_err(|error| Fault::Usage(error.to_string()))?;
        // What is right in itself may still be refused: everything, or what has ended.
        text::parse_entry(&entry.to_string(), options)
            .map_err(|error| Fault::Usage(error.message))?;
        entries.push(entry);
    }
    Ok(entries)
}

/// What messages call a file.
pub(super) fn name(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(file: &Path, options: &Options) -> Result<Parsed> {
    let name = name(file);
    let failed = || format!("cannot read {name}");
    let mut input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(fs::File::open(file).with_context(failed)?))
    };
    let wrong = |error: TextError| {
        let TextError {
            line,
            column,
            message,
        } = error;
        Fault::Usage(format!("{name}:{line}:{column}: {message}"))
    };
    let begins_as_json = input
        .fill_buf()
        .with_context(failed)?
        .iter()
        .find(|octet| !octet.is_ascii_whitespace())
        .is_some_and(|octet| matches!(octet, b'[' | b'{'));
    if begins_as_json {
        let mut text = String::new();
        input.read_to_string(&mut text).with_context(failed)?;
        return Ok(json::parse(&text, options).map_err(wrong)?);
    }
    let mut reader = text::Reader::new(*options);
    let mut progress = Progress::new("lines read");
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.read_until(b'\n', &mut line).with_context(failed)? == 0 {
            break;
        }
        let text = std::str::from_utf8(&line).map_err(|error| {
            let column = error.valid_up_to() + 1;
            Fault::Usage(format!("{name}:{number}:{column}: this is not UTF-8"))
        })?;
        reader
            .line(text.strip_suffix('\n').unwrap_or(text))
            .map_err(wrong)?;
        progress.at(number);
    }
    Ok(reader.finish().map_err(wrong)?)
}

/// Tells what was not taken as it is written.
pub(super) fn tell(notices: &Notices) {
    for (notice, what) in [
        (notices.duplicates, "said twice, taken once"),
        (notices.normalised, "with host bits, which were cleared"),
        (notices.expired, "had ended, left out"),
    ] {
        if notice.count > 0 {
            eprintln!(
                "weir: {} {what}; the first in line {}",
                super::spell::entries(notice.count),
                notice.first
            );
        }
    }
}

/// How far something is, for who looks on.
pub(super) struct Progress {
    what: &'static str,
    shown: bool,
    told: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            shown: io::stderr().is_terminal(),
            told: false,
        }
    }

    fn at(&mut self, number: usize) {
        if self.shown && number.is_multiple_of(PROGRESS) {
            eprint!("\r{number} {}", self.what);
            self.told = true;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told {
            eprint!("\r\x1b[K");
        }
    }
}
