//! The bypass table in the kernel: edits in two steps, so that the caller can make an edit
//! durable between the step that can fail and the one that is seen.

mod ask;
mod make;
mod table;

use std::collections::{HashMap, HashSet};

use aya::maps::{Array, ArrayOfMaps, MapData};
use proxy_ebpf::{abi::map, bypass::layout::WORDS};

use super::{Dataplane, DataplaneError, opening, take};
use crate::sys::mapping::Mapping;
use make::{build, put};
use table::{Refusal, Table};

pub use proxy_ebpf::bypass::{Query as Flow, bits::Bits, layout::Record as Entry};

/// How often an entry decided, and when the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// How often.
    pub count: u64,
    /// When, `CLOCK_BOOTTIME` nanoseconds; 0 is never.
    pub last: u64,
}

/// The table, and the edit that is prepared.
pub(super) struct Bypass {
    outer: ArrayOfMaps<MapData, Inner>,
    /// The map that the table is in.
    inner: Inner,
    table: Table<Mapping>,
    enabled: u64,
    prepared: Prepared,
}

type Inner = Array<MapData, [u64; WORDS]>;

enum Prepared {
    Nothing,
    /// In place; old and new records of entries that stay, for their hits.
    InPlace(Vec<(u32, u32)>),
    /// A new table.
    Aside(Box<(Inner, Table<Mapping>)>),
}

impl Bypass {
    /// An empty table. If the maps are `adopted`, packets see the one that is there until
    /// [`show`](Self::show).
    pub(super) fn new(ebpf: &mut aya::Ebpf, adopted: bool) -> Result<Self, DataplaneError> {
        let outer = take(ebpf, map::BYPASS)?;
        let mut outer = ArrayOfMaps::try_from(outer).map_err(opening(map::BYPASS))?;
        let (inner, table) = build(&[], u64::MAX)?;
        if !adopted {
            put(&mut outer, &inner)?;
        }
        Ok(Self {
            outer,
            inner,
            table,
            enabled: u64::MAX,
            prepared: Prepared::Nothing,
        })
    }

    fn prepare(&mut self, removed: &[Entry], added: &[Entry]) -> Result<(), DataplaneError> {
        self.abandon();
        let in_place = removed.len() + added.len() < 64.max(self.table.live_records() / 2)
            && !self.table.is_worn();
        if in_place {
            match self.edit(removed, added) {
                Ok(carried) => {
                    self.prepared = Prepared::InPlace(carried);
                    return Ok(());
                }
                Err(_) => self.table.abandon(),
            }
        }
        let gone: HashSet<u32> = removed
            .iter()
            .filter_map(|entry| self.table.find(entry))
            .collect();
        let staying = self
            .table
            .live()
            .filter(|(number, _)| !gone.contains(number));
        let entries: Vec<Entry> = staying
            .map(|(_, entry)| entry)
            .chain(added.iter().copied())
            .collect();
        self.prepared = Prepared::Aside(Box::new(build(&entries, self.enabled)?));
        Ok(())
    }

    fn edit(&mut self, removed: &[Entry], added: &[Entry]) -> Result<Vec<(u32, u32)>, Refusal> {
        let mut gone = HashMap::new();
        for entry in removed {
            if let Some(number) = self.table.find(entry) {
                gone.insert(identity(entry), number);
                self.table.retire(number);
            }
        }
        let mut carried = Vec::new();
        for entry in added {
            let number = self.table.insert(entry)?;
            if let Some(old) = gone.get(&identity(entry)) {
                carried.push((*old, number));
            }
        }
        Ok(carried)
    }

    fn publish(&mut self) -> Result<(), DataplaneError> {
        match std::mem::replace(&mut self.prepared, Prepared::Nothing) {
            Prepared::Nothing => {}
            Prepared::InPlace(carried) => {
                self.table.publish();
                for (old, new) in carried {
                    self.table.add_hits(new, self.table.hits(old));
                }
            }
            Prepared::Aside(aside) => {
                let (inner, table) = *aside;
                // Returns when no program looks at the old table any more: its hits are final.
                put(&mut self.outer, &inner)?;
                self.inner = inner;
                let old = std::mem::replace(&mut self.table, table);
                for (number, entry) in self.table.live() {
                    if let Some(before) = old.find(&entry) {
                        self.table.add_hits(number, old.hits(before));
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets packets see this process's table, whichever they saw before.
    fn show(&mut self) -> Result<(), DataplaneError> {
        put(&mut self.outer, &self.inner)
    }

    fn abandon(&mut self) {
        if let Prepared::InPlace(_) = std::mem::replace(&mut self.prepared, Prepared::Nothing) {
            self.table.abandon();
        }
    }
}

impl Dataplane {
    /// Prepares an edit of the bypass table, all or nothing, that nothing sees yet:
    /// [`publish_bypass`](Self::publish_bypass) lets every packet from then on see all of it,
    /// [`abandon_bypass`](Self::abandon_bypass) takes it back. An entry that is removed and added
    /// keeps its hits; what is removed and is not there is fine.
    ///
    /// # Errors
    ///
    /// [`DataplaneError::Refused`] if the entries cannot be put so that a search is short enough,
    /// [`DataplaneError::Map`] if there is no memory for them.
    pub fn prepare_bypass(
        &mut self,
        removed: &[Entry],
        added: &[Entry],
    ) -> Result<(), DataplaneError> {
        self.bypass.prepare(removed, added)
    }

    /// Lets the prepared edit be seen.
    ///
    /// # Errors
    ///
    /// If the map cannot be written; then the old entries hold.
    pub fn publish_bypass(&mut self) -> Result<(), DataplaneError> {
        self.bypass.publish()
    }

    /// Lets packets see this process's table, where another's may have been put in its place.
    ///
    /// # Errors
    ///
    /// If the map cannot be written.
    pub fn show_bypass(&mut self) -> Result<(), DataplaneError> {
        self.bypass.show()
    }

    /// Takes the prepared edit back.
    pub fn abandon_bypass(&mut self) {
        self.bypass.abandon();
    }

    /// Which lists hold, a bit for each: from the next packet on, or from when an edit that is
    /// prepared as a new table is published.
    pub fn set_bypass_lists(&mut self, enabled: u64) {
        self.bypass.enabled = enabled;
        match &self.bypass.prepared {
            Prepared::Aside(aside) => aside.1.set_enabled(enabled),
            Prepared::Nothing | Prepared::InPlace(_) => self.bypass.table.set_enabled(enabled),
        }
    }

    /// From when on an entry does not hold (`CLOCK_BOOTTIME` nanoseconds, 0 for never), from the
    /// next packet on. What is not there is fine.
    pub fn set_bypass_expiry(&mut self, entry: &Entry, expires: u64) {
        if let Some(number) = self.bypass.table.find(entry) {
            self.bypass.table.set_expiry(number, expires);
        }
    }

    /// Counts on from what another table has counted of an entry. What is not there is fine.
    pub fn add_bypass_hits(&mut self, entry: &Entry, hits: Hits) {
        if let Some(number) = self.bypass.table.find(entry) {
            self.bypass.table.add_hits(number, (hits.count, hits.last));
        }
    }

    /// How often an entry decided.
    #[must_use]
    pub fn bypass_hits(&self, entry: &Entry) -> Hits {
        let number = self.bypass.table.find(entry);
        let (count, last) = number.map_or((0, 0), |number| self.bypass.table.hits(number));
        Hits { count, last }
    }
}

/// What stays the same when an entry's action or expiry changes.
fn identity(entry: &Entry) -> (u32, Bits, u32, Bits, u32, u16, u32, u8) {
    (
        entry.family,
        entry.destination,
        entry.destination_length,
        entry.source,
        entry.source_length,
        entry.port,
        entry.lan,
        entry.list,
    )
}

#[cfg(test)]
mod tests;
