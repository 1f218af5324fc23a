//! The bypass table in the kernel: edits in two steps, so that the caller can make an edit
//! durable between the step that can fail and the one that is seen.

mod table;

use std::{
    collections::{HashMap, HashSet},
    os::fd::AsFd as _,
};

use aya::{
    maps::{Array, ArrayOfMaps, MapData, MapError},
    programs::{TestRun as _, TestRunOptions},
};
use proxy_ebpf::{
    abi::{self, BYPASS_FLAGS, MAX_BYPASS, map},
    bypass::{Query, STEPS, layout::WORDS},
};

use super::{Dataplane, DataplaneError, chain, classifier, opening, take};
use crate::sys::{bpf, mapping::Mapping};
use table::{Refusal, Shape, Table};

pub use proxy_ebpf::bypass::{Query as Flow, bits::Bits, layout::Record as Entry};

/// Tables are tried in so many sizes before an edit is refused.
const ATTEMPTS: u32 = 4;

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
    /// An empty table.
    pub(super) fn new(ebpf: &mut aya::Ebpf) -> Result<Self, DataplaneError> {
        let outer = take(ebpf, map::BYPASS)?;
        let mut outer = ArrayOfMaps::try_from(outer).map_err(opening(map::BYPASS))?;
        let (inner, table) = build(&[], u64::MAX)?;
        put(&mut outer, &inner)?;
        Ok(Self {
            outer,
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

    /// How often an entry decided.
    #[must_use]
    pub fn bypass_hits(&self, entry: &Entry) -> Hits {
        let number = self.bypass.table.find(entry);
        let (count, last) = number.map_or((0, 0), |number| self.bypass.table.hits(number));
        Hits { count, last }
    }

    /// Which entry the kernel finds for a flow: the same search as for a SYN, but not counted.
    ///
    /// # Errors
    ///
    /// If the kernel does not run the program (Linux 5.2 and later do).
    pub fn match_bypass(&mut self, flow: &Flow) -> Result<Option<Entry>, DataplaneError> {
        let run = self.run_match(flow, 1)?;
        Ok((run.return_value != 0).then(|| self.bypass.table.record(run.return_value)))
    }

    /// How long the kernel takes for that, the mean of so many times.
    ///
    /// # Errors
    ///
    /// As [`match_bypass`](Self::match_bypass).
    pub fn time_bypass(
        &mut self,
        flow: &Flow,
        repeat: u32,
    ) -> Result<std::time::Duration, DataplaneError> {
        Ok(self.run_match(flow, repeat)?.duration)
    }

    fn run_match(
        &mut self,
        flow: &Flow,
        repeat: u32,
    ) -> Result<aya::programs::TestRunResult, DataplaneError> {
        let mut packet = [0; size_of::<Query>()];
        let words = [
            pair(flow.family, flow.lan),
            pair(flow.port, flow.reserved),
            flow.destination.0,
            flow.destination.1,
            flow.source.0,
            flow.source.1,
        ];
        for (octets, word) in packet.chunks_exact_mut(8).zip(words) {
            octets.copy_from_slice(&word.to_ne_bytes());
        }
        let program = classifier(&mut self.ebpf, abi::PROGRAM_MATCH)?;
        program
            .test_run(TestRunOptions {
                data_in: Some(&packet),
                repeat,
                ..TestRunOptions::new()
            })
            .map_err(|error| DataplaneError::Map {
                operation: "search",
                map: map::BYPASS,
                cause: chain(&error),
            })
    }
}

/// Two fields as they are beside each other in memory.
fn pair(first: u32, second: u32) -> u64 {
    let (first, second) = (u64::from(first), u64::from(second));
    if cfg!(target_endian = "big") {
        first << 32 | second
    } else {
        second << 32 | first
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

/// A table with these entries.
fn build(entries: &[Entry], enabled: u64) -> Result<(Inner, Table<Mapping>), DataplaneError> {
    let mut refusal = Refusal::Full;
    for attempt in 0..ATTEMPTS {
        let shape = Shape::new(entries.len(), attempt);
        let (inner, memory) = allocate(shape)?;
        let mut table = Table::new(memory, shape, rand_seed(), enabled);
        match entries
            .iter()
            .try_for_each(|entry| table.insert(entry).map(|_| ()))
        {
            Ok(()) => {
                table.publish();
                return Ok((inner, table));
            }
            Err(Refusal::Deep) if attempt > 0 => {
                refusal = Refusal::Deep;
                break;
            }
            Err(other) => refusal = other,
        }
    }
    Err(DataplaneError::Refused(match refusal {
        Refusal::Deep => format!(
            "the bypass entries have too many different pairs of destination and source prefix \
             lengths, or too many of them for the same prefixes: the kernel could need more than \
             {STEPS} steps for a connection; join entries, or give them fewer lengths"
        ),
        Refusal::Full | Refusal::Crowded => format!(
            "the bypass entries do not fit into a table of {} (of at most {MAX_BYPASS} a family)",
            entries.len()
        ),
    }))
}

fn allocate(shape: Shape) -> Result<(Inner, Mapping), DataplaneError> {
    let failed = |cause: String| DataplaneError::Map {
        operation: "create a table for",
        map: map::BYPASS,
        cause: format!("{cause} ({} KiB)", shape.lines() / 16),
    };
    let io = |error: std::io::Error| failed(error.to_string());
    let value_size = u32::try_from(size_of::<[u64; WORDS]>()).unwrap_or(64);
    let fd =
        bpf::create_array("weir_bypass", value_size, shape.lines(), BYPASS_FLAGS).map_err(io)?;
    let memory = Mapping::new(fd.as_fd(), shape.lines() as usize * WORDS).map_err(io)?;
    let data = MapData::from_fd(fd).map_err(|error| failed(chain(&error)))?;
    let inner =
        Inner::try_from(aya::maps::Map::Array(data)).map_err(|error| failed(chain(&error)))?;
    Ok((inner, memory))
}

fn put(outer: &mut ArrayOfMaps<MapData, Inner>, inner: &Inner) -> Result<(), DataplaneError> {
    outer
        .set(0, inner, 0)
        .map_err(|error: MapError| DataplaneError::Map {
            operation: "put a table into",
            map: map::BYPASS,
            cause: chain(&error),
        })
}

/// Nobody who writes a feed can know which prefixes meet in a bucket.
fn rand_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests;
