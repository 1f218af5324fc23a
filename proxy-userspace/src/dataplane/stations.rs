//! The stations behind the WAN ports of a bridge.

use aya::maps::MapError;
use proxy_ebpf::{abi::map, bridge::Mac};

use super::{Dataplane, DataplaneError, writing};

impl Dataplane {
    /// Flows to this station may be intercepted.
    ///
    /// # Errors
    ///
    /// If the map refuses: it is full.
    pub fn add_station(&mut self, mac: Mac) -> Result<(), DataplaneError> {
        let added = self.stations.insert(mac, 1, 0);
        added.map_err(writing(map::STATIONS))
    }

    /// No more.
    ///
    /// # Errors
    ///
    /// If the map refuses.
    pub fn remove_station(&mut self, mac: Mac) -> Result<(), DataplaneError> {
        match self.stations.remove(&mac) {
            Err(MapError::KeyNotFound) => Ok(()),
            other => other.map_err(writing(map::STATIONS)),
        }
    }
}
