//! What a bridge needs besides its programs: the way out, and who is behind which port.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use proxy_ebpf::{
    bridge::Mac,
    settings::{ROLE_BRIDGE, ROLE_WAN},
};

use super::{
    interfaces::{Interface, Interfaces},
    keeper::Keeper,
};
use crate::netconf::{NetlinkError, stations, sysctl};

/// What the keeper knows of the bridge.
#[derive(Default)]
pub(super) struct Crossing {
    /// The stations behind its WAN ports.
    stations: BTreeSet<Mac>,
}

impl Interfaces {
    /// The bridge that the others are ports of, if they are.
    pub(super) fn bridge(&self) -> Option<&Interface> {
        self.iter().find(|interface| interface.role == ROLE_BRIDGE)
    }
}

/// The kernel parameters that have to change for this bridge, with their values.
///
/// Strict reverse-path filtering asks whether an answer came in where a packet to the origin would
/// go out. The host's own routes lead elsewhere, or nowhere; ours are found by the mark, if
/// `src_valid_mark` lets the question have it.
///
/// # Errors
///
/// If they cannot be read.
pub(super) fn sysctls(bridge: &str) -> io::Result<BTreeMap<String, String>> {
    let of = |interface: &str, key: &str| format!("net/ipv4/conf/{interface}/{key}");
    let is_on = |interface: &str, key: &str| -> io::Result<bool> {
        Ok(sysctl::read(&of(interface, key))? != "0")
    };
    let filters = is_on("all", "rp_filter")? || is_on(bridge, "rp_filter")?;
    let by_mark = is_on("all", "src_valid_mark")? || is_on(bridge, "src_valid_mark")?;
    let needed = filters && !by_mark;
    Ok(needed
        .then(|| (of(bridge, "src_valid_mark"), "1".to_owned()))
        .into_iter()
        .collect())
}

impl Keeper {
    /// Sees to the way out through the bridge, and looks who is behind it.
    ///
    /// The kernel drops routes through a bridge that goes down, and even permanent neighbours of one
    /// whose address changes, as it does with its ports.
    pub(super) async fn tend_bridge(&mut self) {
        let Some(bridge) = self.interfaces.bridge() else {
            return;
        };
        if let Some(place) = bridge.place
            && let Err(error) = self.cross(place.index).await
        {
            tracing::error!(%error, "nothing gets through the bridge");
        }
        self.look_at_stations().await;
    }

    /// Lays the way out through the bridge with this index.
    ///
    /// # Errors
    ///
    /// If netlink fails.
    async fn cross(&self, bridge: u32) -> Result<(), NetlinkError> {
        for (name, value) in self.journal.sysctls.keys().map(|name| (name, "1")) {
            if let Err(error) = sysctl::write(name, value) {
                tracing::error!(%error, "reverse-path filtering may drop what is intercepted");
            }
        }
        self.plan.cross(&self.handle, bridge, &self.families).await
    }

    /// Brings the map of stations up to date with the bridge's own.
    pub(super) async fn look_at_stations(&mut self) {
        if self.interfaces.bridge().is_none() {
            return;
        }
        let wans = self.interfaces.iter().filter(|it| it.role == ROLE_WAN);
        let wans: Vec<_> = wans.filter_map(|wan| Some(wan.place?.index)).collect();
        let now = match stations::behind(&self.handle, &wans).await {
            Ok(now) => now,
            Err(error) => return tracing::error!(%error, "stations may be out of date"),
        };
        for &mac in now.difference(&self.crossing.stations) {
            if let Err(error) = self.dataplane.add_station(mac) {
                tracing::warn!(%error, "a station is unknown: flows to it go direct");
            }
        }
        for &mac in self.crossing.stations.difference(&now) {
            if let Err(error) = self.dataplane.remove_station(mac) {
                tracing::warn!(%error, "a station stays known");
            }
        }
        self.crossing.stations = now;
    }
}
