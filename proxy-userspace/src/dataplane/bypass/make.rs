//! Makes tables.

use std::os::fd::AsFd as _;

use aya::maps::{ArrayOfMaps, MapData, MapError};
use proxy_ebpf::{
    abi::{BYPASS_FLAGS, MAX_BYPASS, map},
    bypass::{STEPS, layout::WORDS},
};

use super::{
    Entry, Inner,
    table::{Refusal, Shape, Table},
};
use crate::{
    dataplane::{DataplaneError, chain},
    sys::{bpf, mapping::Mapping},
};

/// Tables are tried in so many sizes before an edit is refused.
const ATTEMPTS: u32 = 4;

/// A table with these entries.
pub(super) fn build(
    entries: &[Entry],
    enabled: u64,
) -> Result<(Inner, Table<Mapping>), DataplaneError> {
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

pub(super) fn put(
    outer: &mut ArrayOfMaps<MapData, Inner>,
    inner: &Inner,
) -> Result<(), DataplaneError> {
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
