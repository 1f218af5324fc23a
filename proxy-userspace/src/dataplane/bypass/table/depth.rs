//! How long a search may take.

use std::collections::{HashMap, HashSet};

use proxy_ebpf::{
    bypass::{STEPS, layout::Record},
    key::{IPV4, IPV6},
};

/// How many steps a search may take.
#[derive(Debug, Default)]
pub(super) struct Depth {
    /// The longest chain for each family and pair of lengths.
    pub(super) chains: HashMap<(u32, u32, u32), u32>,
    /// The longest run of full buckets.
    run: u32,
}

impl Depth {
    /// Takes an entry in whose chain has so many records then, and around whose bucket so many in
    /// a row are full. False if a search could take more than [`STEPS`].
    pub(super) fn add(&mut self, entry: &Record, chain: u32, run: u32) -> bool {
        let key = (entry.family, entry.destination_length, entry.source_length);
        let longest = self.chains.get(&key).copied().unwrap_or(0);
        if chain <= longest && run <= self.run {
            return true;
        }
        self.chains.insert(key, longest.max(chain));
        self.run = self.run.max(run);
        [IPV4, IPV6]
            .into_iter()
            .all(|family| self.steps(family) <= STEPS)
    }

    /// At most, in a family: for each pair of lengths a step for each bucket and each record;
    /// where there are sources at all, one to choose each destination length; and the last.
    fn steps(&self, family: u32) -> u32 {
        let of_family = || {
            self.chains
                .iter()
                .filter(move |((of, _, _), _)| *of == family)
        };
        let sources = u32::from(of_family().any(|((_, _, source), _)| *source != 0));
        let mut destinations = HashSet::new();
        let mut steps = 1;
        for ((_, destination, _), chain) in of_family() {
            if destinations.insert(destination) {
                steps += sources;
            }
            steps += (1 + self.run) + chain;
        }
        steps
    }
}
