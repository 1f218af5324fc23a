//! The entries in order, and edits that happen completely or not at all.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::IpNet;

use super::entry::Entry;

/// The bypass entries that are in force.
///
/// Iteration goes by destination, then by source. At most one entry exists for a prefix of
/// destinations and one for a prefix of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    entries: BTreeMap<Key, Entry>,
    generation: u64,
    capacity: usize,
}

/// What an entry is known by. Entries for destinations (no source) come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    source: Option<IpNet>,
    destination: Option<IpNet>,
}

/// What an edit did, so that the caller can do the same to the kernel, or take it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Entries that are new.
    pub added: Vec<Entry>,
    /// Entries that are gone, as they were.
    pub removed: Vec<Entry>,
    /// Entries that were to be added and were there already, as they are.
    pub present: Vec<Entry>,
    /// The set's generation after the edit.
    pub generation: u64,
}

/// Why an edit was not done. The set is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// More entries than the kernel's tables can hold.
    #[error(
        "the bypass list is full: {needed} entries are more than {capacity}; \
         delete some or join them to shorter prefixes"
    )]
    Full {
        /// How many entries there would have been.
        needed: usize,
        /// How many there may be.
        capacity: usize,
    },
    /// Nothing to remove.
    #[error("{0} is not in the bypass list; `weir bypass list` shows what is")]
    Absent(Entry),
}

impl Set {
    /// An empty set of generation 0 that takes `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            generation: 0,
            capacity,
        }
    }

    /// Adds all entries or none. One that is there already stays as it is, comment included, and
    /// is reported in [`Change::present`]. The generation rises if something changed.
    ///
    /// # Errors
    ///
    /// [`EditError::Full`].
    pub fn add(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<Change, EditError> {
        let mut added: BTreeMap<Key, Entry> = BTreeMap::new();
        let mut present = Vec::new();
        for entry in entries {
            let key = Key::of(&entry);
            if let Some(there) = self.entries.get(&key) {
                present.push(there.clone());
            } else {
                // Said twice in one request: once is enough, and the first counts.
                added.entry(key).or_insert(entry);
            }
        }
        let needed = self.entries.len() + added.len();
        if needed > self.capacity {
            return Err(EditError::Full {
                needed,
                capacity: self.capacity,
            });
        }
        let change = self.change(added.values().cloned().collect(), Vec::new(), present);
        self.entries.append(&mut added);
        Ok(change)
    }

    /// Removes all entries or none, by their prefixes; list and comment do not matter.
    ///
    /// # Errors
    ///
    /// [`EditError::Absent`] with the first entry that is not there.
    pub fn remove(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<Change, EditError> {
        let mut removed: BTreeMap<Key, Entry> = BTreeMap::new();
        for entry in entries {
            let key = Key::of(&entry);
            match self.entries.get(&key) {
                Some(there) => removed.insert(key, there.clone()),
                None => return Err(EditError::Absent(entry)),
            };
        }
        for key in removed.keys() {
            self.entries.remove(key);
        }
        Ok(self.change(Vec::new(), removed.into_values().collect(), Vec::new()))
    }

    /// Takes back `change`, which must be the last one. The generation rises once more, so that
    /// no two contents ever share a number.
    pub fn revert(&mut self, change: &Change) -> Change {
        debug_assert_eq!(change.generation, self.generation, "only the last change");
        let inverse = change.inverse();
        for entry in &inverse.removed {
            self.entries.remove(&Key::of(entry));
        }
        for entry in &inverse.added {
            self.entries.insert(Key::of(entry), entry.clone());
        }
        self.change(inverse.added, inverse.removed, Vec::new())
    }

    /// The entry that a connection is bypassed by: the longest prefix that covers its
    /// destination, else the longest that covers its source.
    #[must_use]
    pub fn covering(&self, destination: IpAddr, source: IpAddr) -> Option<&Entry> {
        let by_destination = prefixes_of(destination).find_map(|prefix| {
            self.entries.get(&Key {
                source: None,
                destination: Some(prefix),
            })
        });
        by_destination.or_else(|| {
            prefixes_of(source).find_map(|prefix| {
                self.entries.get(&Key {
                    source: Some(prefix),
                    destination: None,
                })
            })
        })
    }

    /// All entries: those for destinations, then those for sources, each in order of address.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.values()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is bypassed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A number that rises with every change and is kept across restarts.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The set that a file says; generation and all.
    pub(super) fn restored(
        capacity: usize,
        generation: u64,
        entries: Vec<Entry>,
    ) -> Result<Self, EditError> {
        let mut set = Self::new(capacity);
        set.add(entries)?;
        set.generation = generation;
        Ok(set)
    }

    fn change(&mut self, added: Vec<Entry>, removed: Vec<Entry>, present: Vec<Entry>) -> Change {
        if !(added.is_empty() && removed.is_empty()) {
            self.generation += 1;
        }
        Change {
            added,
            removed,
            present,
            generation: self.generation,
        }
    }
}

impl Change {
    /// Whether the set is as it was before.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// The change that takes this one back in the kernel: removes what was added and adds what
    /// was removed. [`Set::revert`] does it to the set.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self {
            added: self.removed.clone(),
            removed: self.added.clone(),
            present: Vec::new(),
            generation: self.generation,
        }
    }
}

impl Key {
    fn of(entry: &Entry) -> Self {
        Self {
            source: entry.source(),
            destination: entry.destination(),
        }
    }
}

/// Every prefix that covers `address`, the longest first.
fn prefixes_of(address: IpAddr) -> impl Iterator<Item = IpNet> {
    // An accepting socket of both families tells IPv4 addresses as mapped ones.
    let address = match address {
        IpAddr::V6(v6) => Ipv6Addr::to_canonical(&v6),
        IpAddr::V4(_) => address,
    };
    let longest = IpNet::from(address);
    std::iter::successors(Some(longest), IpNet::supernet)
}

#[cfg(test)]
mod tests;
