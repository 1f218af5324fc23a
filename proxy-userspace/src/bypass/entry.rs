//! One line of a list.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{error::EntryError, key::Key, timestamp::Timestamp};

/// Most characters of a comment and of an owner.
pub(super) const LONGEST_NOTE: usize = 200;

/// What happens to connections that an entry matches.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// They are left alone.
    #[default]
    Bypass,
    /// They are intercepted, although a wider entry bypasses them.
    Intercept,
}

/// What is matched, what becomes of it, until when, and what people noted down.
///
/// An entry that exists is sound; see [`Key`]. Comment and owner have 1 to 200 characters, none of
/// them a control character, and no blanks around them. [`fmt::Display`] writes its line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    key: Key,
    attributes: Attributes,
}

/// Everything of an entry that it is not known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Seconds since 1970, [`NEVER`] if it does not end: an `Option` would double it.
    expires: u64,
    notes: Option<Box<Notes>>,
    pub(super) action: Action,
}

/// Apart, as most entries of a long list have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Notes {
    comment: Option<Box<str>>,
    owner: Option<Box<str>>,
}

/// Later than every [`Timestamp`].
const NEVER: u64 = u64::MAX;

impl Action {
    /// The word for it: `bypass` or `intercept`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Intercept => "intercept",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Entry {
    /// An entry that does not end and has neither comment nor owner.
    #[must_use]
    pub fn new(key: Key, action: Action) -> Self {
        Self::of(key, Attributes::new(action))
    }

    /// The entry with another end, or with none.
    #[must_use]
    pub fn expiring(mut self, expires: Option<Timestamp>) -> Self {
        self.attributes.set_expires(expires);
        self
    }

    /// The entry with another comment: without the blanks around it, and none if nothing is left.
    ///
    /// # Errors
    ///
    /// [`EntryError::Control`] and [`EntryError::Long`].
    pub fn with_comment(mut self, comment: &str) -> Result<Self, EntryError> {
        self.attributes.set_comment(note("the comment", comment)?);
        Ok(self)
    }

    /// The entry with another owner: without the blanks around it, and none if nothing is left.
    ///
    /// # Errors
    ///
    /// [`EntryError::Control`] and [`EntryError::Long`].
    pub fn with_owner(mut self, owner: &str) -> Result<Self, EntryError> {
        self.attributes.set_owner(note("the owner", owner)?);
        Ok(self)
    }

    /// What it matches, and what it is known by.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What becomes of what it matches.
    #[must_use]
    pub fn action(&self) -> Action {
        self.attributes.action
    }

    /// When it ends; `None` is never.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.attributes.expires()
    }

    /// Whether it has ended: its last moment is the one before [`Entry::expires`].
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.attributes.is_over(now)
    }

    /// What somebody noted down.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.attributes.comment()
    }

    /// Whose entry it is.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.attributes.owner()
    }

    pub(super) fn of(key: Key, attributes: Attributes) -> Self {
        Self { key, attributes }
    }

    pub(super) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    pub(super) fn into_parts(self) -> (Key, Attributes) {
        (self.key, self.attributes)
    }
}

impl Attributes {
    pub(super) fn new(action: Action) -> Self {
        Self {
            expires: NEVER,
            notes: None,
            action,
        }
    }

    pub(super) fn expires(&self) -> Option<Timestamp> {
        (self.expires != NEVER).then(|| Timestamp::from_unix(self.expires))
    }

    pub(super) fn set_expires(&mut self, expires: Option<Timestamp>) {
        self.expires = expires.map_or(NEVER, Timestamp::unix);
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.expires <= now.unix()
    }

    pub(super) fn comment(&self) -> Option<&str> {
        self.notes.as_ref()?.comment.as_deref()
    }

    pub(super) fn owner(&self) -> Option<&str> {
        self.notes.as_ref()?.owner.as_deref()
    }

    /// `comment` must have come through [`note`].
    pub(super) fn set_comment(&mut self, comment: Option<Box<str>>) {
        self.note_down(|notes| notes.comment = comment);
    }

    /// `owner` must have come through [`note`].
    pub(super) fn set_owner(&mut self, owner: Option<Box<str>>) {
        self.note_down(|notes| notes.owner = owner);
    }

    /// These attributes, with the notes of `there` where they have none.
    pub(super) fn keeping_notes_of(mut self, there: &Self) -> Self {
        let Some(theirs) = &there.notes else {
            return self;
        };
        self.note_down(|notes| {
            notes.comment = notes.comment.take().or_else(|| theirs.comment.clone());
            notes.owner = notes.owner.take().or_else(|| theirs.owner.clone());
        });
        self
    }

    /// Two attributes that say the same are equal: there are no notes with nothing in them.
    fn note_down(&mut self, edit: impl FnOnce(&mut Notes)) {
        let mut notes = self.notes.take().map(|notes| *notes).unwrap_or_default();
        edit(&mut notes);
        if notes.comment.is_some() || notes.owner.is_some() {
            self.notes = Some(Box::new(notes));
        }
    }
}

/// What is kept of a comment or an owner: `None` of an empty one.
pub(super) fn note(what: &'static str, given: &str) -> Result<Option<Box<str>>, EntryError> {
    let text = given.trim();
    if let Some(character) = text.chars().find(|c| c.is_control()) {
        return Err(EntryError::Control { what, character });
    }
    let length = text.chars().count();
    if length > LONGEST_NOTE {
        return Err(EntryError::Long { what, length });
    }
    Ok((!text.is_empty()).then(|| text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::new("192.0.2.0/24".parse().unwrap(), Action::Bypass)
    }

    #[test]
    fn notes_are_trimmed_and_none_are_none() {
        let noted = entry().with_comment(" the bank\u{a0}").unwrap();
        let noted = noted.with_owner("alice").unwrap();
        assert_eq!(noted.comment(), Some("the bank"));
        assert_eq!(noted.owner(), Some("alice"));
        let bare = noted.with_comment(" ").unwrap().with_owner("").unwrap();
        assert_eq!(bare, entry());
    }

    #[test]
    fn notes_that_would_break_a_line_are_refused() {
        let error = entry().with_comment("a\nb").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the comment has a control character in it (U+000A); leave it out"
        );
        let longest = "ü".repeat(LONGEST_NOTE);
        assert!(entry().with_owner(&longest).is_ok());
        let error = entry().with_owner(&format!("{longest}x")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the owner has 201 characters; at most 200 are kept"
        );
    }

    #[test]
    fn an_entry_is_over_from_its_end_on() {
        let at = Timestamp::from_unix;
        let ending = entry().expiring(Some(at(100)));
        assert_eq!(ending.expires(), Some(at(100)));
        assert!(!ending.is_over(at(99)) && ending.is_over(at(100)));
        assert!(!entry().is_over(at(u64::MAX)));
        assert_eq!(ending.expiring(None), entry());
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Attributes>() <= 24);
        assert!(size_of::<Entry>() <= 80, "{}", size_of::<Entry>());
    }
}
