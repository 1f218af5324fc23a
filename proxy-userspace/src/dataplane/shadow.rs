//! Who would have been intercepted, and to where, in shadow mode.

use std::{cmp::Reverse, net::IpAddr};

use aya::maps::{HashMap, MapData};
use proxy_ebpf::{
    abi::map,
    key::{self, AddressBits},
};

use super::{Dataplane, DataplaneError, opening, take, writing};

/// The counts of clients and destinations. There are only so many: of those that were seen last.
pub(super) struct Shadowed {
    clients: Counts,
    origins: Counts,
}

type Counts = HashMap<MapData, AddressBits, u64>;

impl Shadowed {
    pub(super) fn new(ebpf: &mut aya::Ebpf) -> Result<Self, DataplaneError> {
        let mut counts = |name| -> Result<Counts, DataplaneError> {
            take(ebpf, name)?.try_into().map_err(opening(name))
        };
        Ok(Self {
            clients: counts(map::SHADOW_CLIENTS)?,
            origins: counts(map::SHADOW_ORIGINS)?,
        })
    }
}

impl Dataplane {
    /// The `most` clients and destinations of which the most flows would have been intercepted,
    /// the most frequent first.
    #[must_use]
    pub fn shadowed(&self, most: usize) -> [Vec<(IpAddr, u64)>; 2] {
        [&self.shadow.clients, &self.shadow.origins].map(|counts| {
            // One that is evicted meanwhile is no error of anybody's.
            let all = counts.iter().filter_map(Result::ok);
            let mut all: Vec<_> = all
                .map(|(at, count)| (key::ip(u32::from_be(at.family), &at.address), count))
                .collect();
            all.sort_unstable_by_key(|(address, count)| (Reverse(*count), *address));
            all.truncate(most);
            all
        })
    }

    /// Begins to count anew.
    ///
    /// # Errors
    ///
    /// If a map cannot be written.
    pub fn forget_shadowed(&mut self) -> Result<(), DataplaneError> {
        for (counts, name) in [
            (&mut self.shadow.clients, map::SHADOW_CLIENTS),
            (&mut self.shadow.origins, map::SHADOW_ORIGINS),
        ] {
            let all: Vec<_> = counts.keys().filter_map(Result::ok).collect();
            for at in all {
                match counts.remove(&at) {
                    Err(aya::maps::MapError::KeyNotFound) => {}
                    other => other.map_err(writing(name))?,
                }
            }
        }
        Ok(())
    }
}
