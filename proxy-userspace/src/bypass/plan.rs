//! Edits, and what they would change.

use std::iter::Peekable;

use super::{
    entry::{Attributes, Entry},
    key::Key,
    name::ListName,
    set::{List, MOST_LISTS, Set},
    timestamp::Timestamp,
};

/// What is to be done to a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds entries; makes the list if there is none. One that is there already becomes what is
    /// said in action and end, and keeps its comment and its owner unless others are given.
    Add(Vec<Entry>),
    /// Removes the entries of these keys, all or none.
    Remove(Vec<Key>),
    /// Makes these, as they are, the list's entries; makes the list if there is none.
    Replace(Vec<Entry>),
    /// Removes every entry. The list stays, enabled or not.
    Clear,
    /// Enables or disables the list.
    Enable(bool),
    /// Removes the entries that have ended by then.
    Expire(Timestamp),
}

/// What an edit changes. Vectors are in order of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The list.
    pub list: ListName,
    /// Whether the list is new.
    pub created: bool,
    /// Entries that are new.
    pub added: Vec<Entry>,
    /// Entries that say something else now: what they said, and what they say.
    pub updated: Vec<(Entry, Entry)>,
    /// Entries that are gone, as they were.
    pub removed: Vec<Entry>,
    /// How many entries of the edit were there in the same words.
    pub unchanged: usize,
    /// Whether the list is enabled from now on, if that changes.
    pub enabled: Option<bool>,
    /// The set's generation after it.
    pub generation: u64,
    /// Whether the edit was about the list as a whole: [`Edit::Replace`], [`Edit::Clear`].
    pub whole: bool,
}

/// Why an edit cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// More entries than can be put into force.
    #[error(
        "the bypass lists are full: {needed} {family} entries are more than {capacity}; \
         delete some or join them to shorter prefixes"
    )]
    Full {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// How many entries there would have been.
        needed: usize,
        /// How many there may be.
        capacity: usize,
    },
    /// More lists than there may be.
    #[error(
        "there cannot be more than {MOST_LISTS} bypass lists; put the entries into one there is"
    )]
    TooManyLists,
    /// The list does not exist.
    #[error("there is no bypass list {name}; {}", known(.there))]
    NoSuchList {
        /// The name that was given.
        name: ListName,
        /// The names that there are.
        there: Vec<ListName>,
    },
    /// Nothing to remove.
    #[error("{key} is not in bypass list {list}; `weir bypass list` shows what is")]
    Absent {
        /// What was to be removed.
        key: Box<Key>,
        /// The list.
        list: ListName,
    },
    /// One edit says two things of one entry.
    #[error("{key} is said twice, and not the same of it; leave one of the two")]
    Contradiction {
        /// The entry's key.
        key: Box<Key>,
    },
}

fn known(there: &[ListName]) -> String {
    if there.is_empty() {
        return "there is none yet, adding an entry makes one".to_owned();
    }
    let names: Vec<&str> = there.iter().map(ListName::as_str).collect();
    format!("there are: {}", names.join(", "))
}

impl Change {
    /// Whether everything is as it was before.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.created && self.size() == 0 && self.enabled.is_none()
    }

    /// How many entries it is about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.added.len() + self.updated.len() + self.removed.len()
    }

    fn of(list: &ListName) -> Self {
        Self {
            list: list.clone(),
            created: false,
            added: Vec::new(),
            updated: Vec::new(),
            removed: Vec::new(),
            unchanged: 0,
            enabled: None,
            generation: 0,
            whole: false,
        }
    }
}

impl Set {
    /// What `edit` would change in that list. Nothing is changed; [`Set::commit`] does it.
    ///
    /// # Errors
    ///
    /// [`EditError`].
    pub fn plan(&self, list: &ListName, edit: Edit) -> Result<Change, EditError> {
        let there = self.lists.get(list);
        let makes = matches!(edit, Edit::Add(_) | Edit::Replace(_));
        if there.is_none() && makes && self.lists.len() >= MOST_LISTS {
            return Err(EditError::TooManyLists);
        }
        if there.is_none() && !makes {
            return Err(EditError::NoSuchList {
                name: list.clone(),
                there: self.lists.keys().cloned().collect(),
            });
        }
        let mut change = Change::of(list);
        change.created = there.is_none();
        change.whole = matches!(edit, Edit::Replace(_) | Edit::Clear);
        let empty = List::default();
        let there = there.unwrap_or(&empty);
        match edit {
            Edit::Add(entries) => add(there, entries, &mut change)?,
            Edit::Remove(keys) => remove(there, keys, &mut change)?,
            Edit::Replace(entries) => replace(there, entries, &mut change)?,
            Edit::Clear => change.removed = there.iter().collect(),
            Edit::Enable(enabled) => {
                change.enabled = (enabled != there.enabled).then_some(enabled);
            }
            Edit::Expire(now) => {
                let over = there.entries.iter().filter(|(_, entry)| entry.is_over(now));
                change.removed = over.map(|(key, entry)| entry_of(key, entry)).collect();
            }
        }
        self.count.after(&change).check(self.capacity)?;
        change.generation = self.generation + u64::from(!change.is_empty());
        Ok(change)
    }
}

fn add(there: &List, entries: Vec<Entry>, change: &mut Change) -> Result<(), EditError> {
    for entry in in_order(entries)? {
        match there.entries.get(entry.key()) {
            Some(old) => {
                let (key, new) = entry.into_parts();
                update(&key, old, new.keeping_notes_of(old), change);
            }
            None => change.added.push(entry),
        }
    }
    Ok(())
}

fn remove(there: &List, mut keys: Vec<Key>, change: &mut Change) -> Result<(), EditError> {
    // Before they are put in order, so that the first that was said is told.
    if let Some(key) = keys.iter().find(|key| !there.entries.contains_key(key)) {
        return Err(EditError::Absent {
            key: Box::new(*key),
            list: change.list.clone(),
        });
    }
    keys.sort_unstable();
    keys.dedup();
    change.removed = keys.iter().filter_map(|key| there.get(key)).collect();
    Ok(())
}

fn replace(there: &List, entries: Vec<Entry>, change: &mut Change) -> Result<(), EditError> {
    let mut old = there.entries.iter().peekable();
    for entry in in_order(entries)? {
        change.removed.extend(before(&mut old, Some(entry.key())));
        match old.next_if(|(key, _)| *key == entry.key()) {
            Some((_, old)) => {
                let (key, new) = entry.into_parts();
                update(&key, old, new, change);
            }
            None => change.added.push(entry),
        }
    }
    change.removed.extend(before(&mut old, None));
    Ok(())
}

/// The entries with keys before `end`, or all that are left.
fn before<'a>(
    entries: &mut Peekable<impl Iterator<Item = (&'a Key, &'a Attributes)>>,
    end: Option<&Key>,
) -> impl Iterator<Item = Entry> {
    std::iter::from_fn(move || {
        let (key, attributes) = entries.next_if(|(key, _)| end.is_none_or(|end| *key < end))?;
        Some(entry_of(key, attributes))
    })
}

fn update(key: &Key, old: &Attributes, new: Attributes, change: &mut Change) {
    if *old == new {
        change.unchanged += 1;
    } else {
        let pair = (entry_of(key, old), Entry::of(*key, new));
        change.updated.push(pair);
    }
}

fn entry_of(key: &Key, attributes: &Attributes) -> Entry {
    Entry::of(*key, attributes.clone())
}

/// The entries in order of their keys, each once.
fn in_order(mut entries: Vec<Entry>) -> Result<Vec<Entry>, EditError> {
    entries.sort_by(|one, other| one.key().cmp(other.key()));
    entries.dedup();
    match entries
        .windows(2)
        .find(|pair| pair[0].key() == pair[1].key())
    {
        Some(pair) => Err(EditError::Contradiction {
            key: Box::new(*pair[0].key()),
        }),
        None => Ok(entries),
    }
}

#[cfg(test)]
mod tests;
