//! Reading what the programs count.

use aya::{
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use proxy_ebpf::{
    abi::map,
    counter::{self, Delivery, Event},
    key::{IPV4, IPV6},
    verdict::Reason,
};

use super::{Dataplane, DataplaneError, reading, writing};

/// Sums over all CPUs, since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    flows: [u64; Reason::COUNT as usize],
    events: [u64; Event::COUNT as usize],
}

impl Counters {
    /// Flows that this happened to.
    #[must_use]
    pub const fn flow(&self, reason: Reason) -> u64 {
        self.flows[reason as usize]
    }

    /// How often this happened.
    #[must_use]
    pub const fn event(&self, event: Event) -> u64 {
        self.events[event as usize]
    }
}

impl Dataplane {
    /// How many SYNs of `family` ([`IPV4`](proxy_ebpf::key::IPV4) or
    /// [`IPV6`](proxy_ebpf::key::IPV6)) from the interface with this slot were marked, or
    /// delivered.
    ///
    /// # Errors
    ///
    /// If the map cannot be read.
    pub fn delivery(&self, slot: u32, family: u32, what: Delivery) -> Result<u64, DataplaneError> {
        let slot = counter::delivery(slot, family, what);
        total(&self.deliveries, slot, map::DELIVERIES)
    }

    /// Counts the deliveries from the interface with this slot from 0 again.
    ///
    /// # Errors
    ///
    /// If the map cannot be written.
    pub fn reset_deliveries(&mut self, slot: u32) -> Result<(), DataplaneError> {
        let cpus = nr_cpus().map_err(|(_, error)| DataplaneError::Map {
            operation: "write",
            map: map::DELIVERIES,
            cause: error.to_string(),
        })?;
        for family in [IPV4, IPV6] {
            for what in [Delivery::Marked, Delivery::Delivered] {
                let place = counter::delivery(slot, family, what);
                let zeros = PerCpuValues::try_from(vec![0; cpus]);
                let zeros = zeros.map_err(|error| writing(map::DELIVERIES)(error.into()))?;
                self.deliveries
                    .set(place, zeros, 0)
                    .map_err(writing(map::DELIVERIES))?;
            }
        }
        Ok(())
    }

    /// Reads all counters.
    ///
    /// # Errors
    ///
    /// If a map cannot be read.
    pub fn counters(&self) -> Result<Counters, DataplaneError> {
        let mut counters = Counters::default();
        for (slot, sum) in (0..).zip(&mut counters.flows) {
            *sum = total(&self.flows, slot, map::FLOWS)?;
        }
        for (slot, sum) in (0..).zip(&mut counters.events) {
            *sum = total(&self.events, slot, map::EVENTS)?;
        }
        Ok(counters)
    }
}

fn total(
    counters: &PerCpuArray<MapData, u64>,
    slot: u32,
    name: &'static str,
) -> Result<u64, DataplaneError> {
    Ok(counters.get(&slot, 0).map_err(reading(name))?.iter().sum())
}
