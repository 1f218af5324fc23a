//! What the readers of text and of JSON have in common.

use ipnet::IpNet;

use super::{
    entry::{Action, Entry},
    error::EntryError,
    key::{self, Key},
    timestamp::Timestamp,
};

/// How strict a reader is. The default is as strict as an operator's own words deserve, but keeps
/// entries that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether an entry that bypasses every connection of a family is let in.
    pub force: bool,
    /// What becomes of prefixes with host bits.
    pub host_bits: HostBits,
    /// What becomes of entries that have ended.
    pub expired: Expired,
}

/// What becomes of prefixes with host bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostBits {
    /// They are errors.
    #[default]
    Refuse,
    /// The bits are cleared, and counted in [`Notices::normalised`].
    Normalise,
}

/// What becomes of entries that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expired {
    /// They are entries like others.
    #[default]
    Keep,
    /// What has ended by that moment is an error.
    Refuse(Timestamp),
    /// What has ended by that moment is left out, and counted in [`Notices::expired`].
    Skip(Timestamp),
}

/// What a text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The entries in their order, no two with one key.
    pub entries: Vec<Entry>,
    /// What was not taken as it is written.
    pub notices: Notices,
}

/// What was not taken as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// Entries that were said before in the same words; they are left out.
    pub duplicates: Notice,
    /// Entries of whose prefixes host bits were cleared.
    pub normalised: Notice,
    /// Entries that have ended; they are left out.
    pub expired: Notice,
}

/// How often something was met, and where first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// How often.
    pub count: usize,
    /// In text the line, in JSON the number of the entry, each from 1; 0 if it was not met.
    pub first: usize,
}

/// Where an entry is: line and column in text, number of the entry and 0 in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// Two entries with one key that say different things.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clash {
    pub(super) key: Key,
    pub(super) earlier: Place,
    pub(super) later: Place,
}

/// Gathers entries, and tells at the end which of them are said twice.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    options: Options,
    entries: Vec<Entry>,
    places: Vec<Place>,
    notices: Notices,
}

impl Options {
    /// What our own files and protocol are read with: they were checked when they were made.
    pub const OWN: Self = Self {
        force: true,
        host_bits: HostBits::Refuse,
        expired: Expired::Keep,
    };

    /// Reads a prefix, and tells whether host bits of it were cleared.
    pub(super) fn prefix(&self, text: &str) -> Result<(IpNet, bool), EntryError> {
        let given = key::prefix(text)?;
        match (key::sound(given), self.host_bits) {
            (Err(EntryError::HostBits { right, .. }), HostBits::Normalise) => Ok((right, true)),
            (sound, _) => Ok((sound?, false)),
        }
    }
}

impl Notice {
    fn met(&mut self, line: u32) {
        let line = line as usize;
        self.count += 1;
        self.first = if self.first == 0 {
            line
        } else {
            self.first.min(line)
        };
    }
}

impl Place {
    /// Texts of more than four milliards of lines are not told apart behind that.
    pub(super) fn new(line: usize, column: usize) -> Self {
        let bounded = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            line: bounded(line),
            column: bounded(column),
        }
    }
}

impl Collector {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            entries: Vec::new(),
            places: Vec::new(),
            notices: Notices::default(),
        }
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Takes an entry.
    ///
    /// # Errors
    ///
    /// [`EntryError::Everything`] and [`EntryError::Over`], as the options have it.
    pub(super) fn push(
        &mut self,
        entry: Entry,
        normalised: bool,
        place: Place,
    ) -> Result<(), EntryError> {
        let bypasses = entry.action() == Action::Bypass;
        if bypasses && !self.options.force && entry.key().is_everything() {
            return Err(EntryError::Everything(*entry.key()));
        }
        match (self.options.expired, entry.expires()) {
            (Expired::Refuse(now), Some(end)) if end <= now => return Err(EntryError::Over(end)),
            (Expired::Skip(now), Some(end)) if end <= now => {
                self.notices.expired.met(place.line);
                return Ok(());
            }
            _ => {}
        }
        if normalised {
            self.notices.normalised.met(place.line);
        }
        self.entries.push(entry);
        self.places.push(place);
        Ok(())
    }

    /// What was gathered, without what was said twice.
    ///
    /// Sorting once at the end costs a few bytes an entry, a map from the beginning a hundred.
    pub(super) fn finish(mut self) -> Result<Parsed, Box<Clash>> {
        let keys = || self.entries.iter().map(Entry::key);
        if keys().zip(keys().skip(1)).all(|(one, next)| one < next) {
            return Ok(self.parsed());
        }
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        order.sort_unstable_by(|&one, &other| {
            let by_key = self.entries[one].key().cmp(self.entries[other].key());
            by_key.then(one.cmp(&other))
        });
        let mut clash: Option<Clash> = None;
        let mut again = vec![false; self.entries.len()];
        let mut first = None;
        for index in order {
            let entry = &self.entries[index];
            let Some(earlier) =
                first.filter(|&first: &usize| self.entries[first].key() == entry.key())
            else {
                first = Some(index);
                continue;
            };
            let later = self.places[index];
            if self.entries[earlier] == *entry {
                again[index] = true;
                self.notices.duplicates.met(later.line);
            } else if clash.is_none_or(|clash| later < clash.later) {
                clash = Some(Clash {
                    key: *entry.key(),
                    earlier: self.places[earlier],
                    later,
                });
            }
        }
        if let Some(clash) = clash {
            return Err(Box::new(clash));
        }
        let mut again = again.into_iter();
        self.entries.retain(|_| again.next() != Some(true));
        Ok(self.parsed())
    }

    fn parsed(self) -> Parsed {
        Parsed {
            entries: self.entries,
            notices: self.notices,
        }
    }
}
