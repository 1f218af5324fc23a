//! Decisions as the programs make them, for who watches.

use aya::{
    maps::{Array, MapData, PerCpuArray, PerCpuValues, RingBuf},
    util::nr_cpus,
};
use proxy_ebpf::{
    abi::{MAX_WATCHES, map},
    watch::{Decision, Watch, Watched},
};

use super::{Dataplane, DataplaneError, monotonic_ns, opening, reading, take, writing};

/// What is wanted, what has come of it, and the decisions themselves.
pub(super) struct Watching {
    watches: Array<MapData, Watch>,
    watched: PerCpuArray<MapData, Watched>,
    decisions: RingBuf<MapData>,
}

impl Watching {
    pub(super) fn new(ebpf: &mut aya::Ebpf) -> Result<Self, DataplaneError> {
        Ok(Self {
            watches: take(ebpf, map::WATCHES)?
                .try_into()
                .map_err(opening(map::WATCHES))?,
            watched: take(ebpf, map::WATCHED)?
                .try_into()
                .map_err(opening(map::WATCHED))?,
            decisions: take(ebpf, map::DECISIONS)?
                .try_into()
                .map_err(opening(map::DECISIONS))?,
        })
    }
}

/// How many decisions that are wanted were not told, since their watch began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// By [`Watch::sample`].
    pub sampled: u64,
    /// By [`Watch::rate`].
    pub limited: u64,
    /// For want of room.
    pub lost: u64,
}

impl Dataplane {
    /// What is wanted at this place, below [`MAX_WATCHES`]. Nothing is told as long as
    /// [`Settings::watch`](proxy_ebpf::settings::Settings::watch) is 0.
    ///
    /// # Errors
    ///
    /// If the map cannot be written.
    pub fn set_watch(&mut self, place: u32, watch: Watch) -> Result<(), DataplaneError> {
        let watches = &mut self.watching.watches;
        watches.set(place, watch, 0).map_err(writing(map::WATCHES))
    }

    /// Counts at this place from 0 again.
    ///
    /// # Errors
    ///
    /// If the map cannot be written.
    pub fn reset_watch(&mut self, place: u32) -> Result<(), DataplaneError> {
        let cpus = nr_cpus().map_err(|(_, error)| DataplaneError::Map {
            operation: "write",
            map: map::WATCHED,
            cause: error.to_string(),
        })?;
        let zeros = PerCpuValues::try_from(vec![Watched::default(); cpus]);
        let zeros = zeros.map_err(|error| writing(map::WATCHED)(error.into()))?;
        let watched = &mut self.watching.watched;
        watched.set(place, zeros, 0).map_err(writing(map::WATCHED))
    }

    /// What was not told of what is wanted at this place.
    ///
    /// # Errors
    ///
    /// If the map cannot be read.
    pub fn untold(&self, place: u32) -> Result<Untold, DataplaneError> {
        let watched = self.watching.watched.get(&(place % MAX_WATCHES), 0);
        let watched = watched.map_err(reading(map::WATCHED))?;
        let sum = |of: fn(&Watched) -> u64| watched.iter().map(of).sum();
        Ok(Untold {
            sampled: sum(|it| it.sampled),
            limited: sum(|it| it.limited),
            lost: sum(|it| it.lost),
        })
    }

    /// The next decision that a program has told of. Without a system call.
    pub fn next_decision(&mut self) -> Option<Decision> {
        let record = self.watching.decisions.next()?;
        record.first_chunk().map(Decision::from_memory)
    }
}

/// The clock of [`Decision::time`] and [`Watch::until`], now.
#[must_use]
pub fn now() -> u64 {
    monotonic_ns()
}
