//! The lists in memory.

use std::collections::BTreeMap;

use super::{
    entry::{Attributes, Entry},
    key::{Family, Key},
    name::ListName,
    plan::{Change, EditError},
};

/// Most lists of a set.
pub(super) const MOST_LISTS: usize = 64;

/// All lists, in order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub(super) lists: BTreeMap<ListName, List>,
    pub(super) generation: u64,
    pub(super) capacity: usize,
    pub(super) count: Count,
}

/// One list: its entries in order of their keys, at most one for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    pub(super) enabled: bool,
    pub(super) entries: BTreeMap<Key, Attributes>,
}

/// How many entries each family has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) v4: usize,
    pub(super) v6: usize,
}

impl Set {
    /// An empty set of generation 0 that takes `capacity` entries of each family.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            lists: BTreeMap::new(),
            generation: 0,
            capacity,
            count: Count::default(),
        }
    }

    /// Does what [`Set::plan`] planned; nothing may have been committed in between.
    pub fn commit(&mut self, change: &Change) {
        if change.is_empty() {
            return;
        }
        debug_assert_eq!(change.generation, self.generation + 1, "a stale plan");
        self.count = self.count.after(change);
        self.generation = change.generation;
        self.lists
            .entry(change.list.clone())
            .or_default()
            .apply(change);
    }

    /// The lists with their names, in order of these.
    pub fn lists(&self) -> impl ExactSizeIterator<Item = (&ListName, &List)> {
        self.lists.iter()
    }

    /// The list of that name.
    #[must_use]
    pub fn list(&self, name: &ListName) -> Option<&List> {
        self.lists.get(name)
    }

    /// All entries with their list, by the lists' names and then by key.
    pub fn iter(&self) -> impl Iterator<Item = (&ListName, Entry)> {
        self.lists
            .iter()
            .flat_map(|(name, list)| list.iter().map(move |entry| (name, entry)))
    }

    /// How many entries there are, those of disabled lists included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lists.values().map(List::len).sum()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.values().all(List::is_empty)
    }

    /// How many entries match connections of `family`, those of disabled lists included. An entry
    /// that matches both families counts in both.
    #[must_use]
    pub fn count(&self, family: Family) -> usize {
        match family {
            Family::V4 => self.count.v4,
            Family::V6 => self.count.v6,
        }
    }

    /// How many entries of each family there may be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// A number that rises by one with every change and is kept across restarts.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The set of these lists, the last change to which was of that generation.
    pub(super) fn restored(
        capacity: usize,
        generation: u64,
        lists: BTreeMap<ListName, List>,
    ) -> Result<Self, EditError> {
        let mut count = Count::default();
        for key in lists.values().flat_map(|list| list.entries.keys()) {
            count.add(key);
        }
        count.check(capacity)?;
        if lists.len() > MOST_LISTS {
            return Err(EditError::TooManyLists);
        }
        Ok(Self {
            lists,
            generation,
            capacity,
            count,
        })
    }
}

impl Default for List {
    fn default() -> Self {
        Self {
            enabled: true,
            entries: BTreeMap::new(),
        }
    }
}

impl List {
    /// Whether its entries count.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Its entries in order of their keys: destination, source, port, interface, each first those
    /// that say nothing, then IPv4 before IPv6.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry> {
        self.entries
            .iter()
            .map(|(key, attributes)| Entry::of(*key, attributes.clone()))
    }

    /// The entry of that key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Entry> {
        let attributes = self.entries.get(key)?;
        Some(Entry::of(*key, attributes.clone()))
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn apply(&mut self, change: &Change) {
        if change.removed.len() == self.entries.len() {
            self.entries.clear();
        }
        for entry in &change.removed {
            self.entries.remove(entry.key());
        }
        for (_, entry) in &change.updated {
            self.entries
                .insert(*entry.key(), entry.attributes().clone());
        }
        let added = change
            .added
            .iter()
            .map(|entry| (*entry.key(), entry.attributes().clone()));
        if self.entries.is_empty() {
            // Packed nodes, which insertion in order would leave half empty.
            self.entries = added.collect();
        } else {
            self.entries.extend(added);
        }
        self.enabled = change.enabled.unwrap_or(self.enabled);
    }
}

impl Count {
    pub(super) fn add(&mut self, key: &Key) {
        let (v4, v6) = Self::of(key);
        self.v4 += v4;
        self.v6 += v6;
    }

    /// The numbers after a change.
    pub(super) fn after(mut self, change: &Change) -> Self {
        for entry in &change.added {
            self.add(entry.key());
        }
        for entry in &change.removed {
            let (v4, v6) = Self::of(entry.key());
            self.v4 -= v4;
            self.v6 -= v6;
        }
        self
    }

    pub(super) fn check(self, capacity: usize) -> Result<(), EditError> {
        for (family, needed) in [("IPv4", self.v4), ("IPv6", self.v6)] {
            if needed > capacity {
                return Err(EditError::Full {
                    family,
                    needed,
                    capacity,
                });
            }
        }
        Ok(())
    }

    fn of(key: &Key) -> (usize, usize) {
        match key.family() {
            Some(Family::V4) => (1, 0),
            Some(Family::V6) => (0, 1),
            None => (1, 1),
        }
    }
}

#[cfg(test)]
mod tests;
