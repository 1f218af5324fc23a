//! What a bridge needs besides its programs: the way out, and who is behind which port.

use std::{collections::BTreeSet, io};

use proxy_ebpf::{
    bridge::Mac,
    settings::{ROLE_BRIDGE, ROLE_WAN, Settings},
};

use super::{
    interfaces::{Interface, Interfaces},
    keeper::Keeper,
    settings,
    surroundings::Warning,
};
use crate::netconf::{
    NetlinkError,
    links::{Bridge, Link},
    stations, sysctl,
};

/// What the keeper knows of the bridge.
pub(super) struct Crossing {
    /// The families that are intercepted if the bridge takes them in.
    families: Vec<u8>,
    /// The stations behind its WAN ports.
    stations: BTreeSet<Mac>,
}

impl Crossing {
    /// `stations` are those that the programs know already.
    pub(super) fn new(families: &[u8], stations: impl IntoIterator<Item = Mac>) -> Self {
        Self {
            families: families.to_vec(),
            stations: stations.into_iter().collect(),
        }
    }

    /// The families that there are listeners for.
    pub(super) fn families(&self) -> &[u8] {
        &self.families
    }

    pub(super) const fn stations(&self) -> &BTreeSet<Mac> {
        &self.stations
    }
}

impl Interfaces {
    /// The bridge that the others are ports of, if they are.
    pub(super) fn bridge(&self) -> Option<&Interface> {
        self.iter().find(|interface| interface.role == ROLE_BRIDGE)
    }
}

/// The kernel parameter that has to be 1 for this bridge, if it is not.
///
/// Strict reverse-path filtering asks whether an answer came in where a packet to the origin would
/// go out. The host's own routes lead elsewhere, or nowhere; ours are found by the mark, if
/// `src_valid_mark` lets the question have it.
///
/// # Errors
///
/// If they cannot be read.
pub(super) fn sysctl(bridge: &str) -> io::Result<Option<String>> {
    let of = |interface: &str, key: &str| format!("net/ipv4/conf/{interface}/{key}");
    let is_on = |interface: &str, key: &str| -> io::Result<bool> {
        Ok(sysctl::read(&of(interface, key))? != "0")
    };
    let filters = is_on("all", "rp_filter")? || is_on(bridge, "rp_filter")?;
    let by_mark = is_on("all", "src_valid_mark")? || is_on(bridge, "src_valid_mark")?;
    Ok((filters && !by_mark).then(|| of(bridge, "src_valid_mark")))
}

/// Whether the bridge takes in what is passed up to it. One with IPv6 switched off drops that.
fn takes_in(bridge: &str, family: u8) -> bool {
    family != 6 || !is_on(&format!("net/ipv6/conf/{bridge}/disable_ipv6"))
}

/// Whether a kernel parameter is there, and not 0.
fn is_on(name: &str) -> bool {
    sysctl::read(name).is_ok_and(|value| value != "0")
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
        let (name, place) = (bridge.name.clone(), bridge.place);
        self.follow_families(&name);
        if let Some(place) = place
            && let Err(error) = self.cross(place.index).await
        {
            tracing::error!(%error, "nothing gets through the bridge");
        }
        self.look_at_stations().await;
    }

    /// Lets a family that the bridge does not take in go direct.
    fn follow_families(&mut self, bridge: &str) {
        self.families.clone_from(&self.crossing.families);
        self.families.retain(|&family| takes_in(bridge, family));
        let settings = Settings {
            families: settings::bits(&self.families),
            ..*self.dataplane.settings()
        };
        if settings != *self.dataplane.settings()
            && let Err(error) = self.dataplane.set_settings(settings)
        {
            tracing::error!(%error, "cannot tell the kernel");
        }
    }

    /// What of the bridge's own settings makes a difference.
    pub(super) fn warnings_of_bridge(&self, links: &[Link]) -> Vec<Warning> {
        let Some(Interface { name, .. }) = self.interfaces.bridge() else {
            return Vec::new();
        };
        let mut warnings = Vec::new();
        if self.crossing.families.contains(&6) && !takes_in(name, 6) {
            warnings.push(format!(
                "IPv6 is switched off on bridge {name} (net.ipv6.conf.{name}.disable_ipv6), which \
                 then drops what is passed up to it: IPv6 goes direct. It needs no address: with \
                 net.ipv6.conf.{name}.addr_gen_mode = 1 it has none"
            ));
        }
        for (family, key) in [
            (4, "bridge-nf-call-iptables"),
            (6, "bridge-nf-call-ip6tables"),
        ] {
            let of_itself = links.iter().any(|link| {
                link.name == *name
                    && matches!(link.bridge, Some(Bridge::Device { netfilter, .. })
                        if netfilter.contains(&family))
            });
            let on = of_itself || is_on(&format!("net/bridge/{key}"));
            if on && self.families.contains(&family) {
                warnings.push(format!(
                    "frames across bridge {name} pass the firewall's rules for IPv{family} \
                     (net.bridge.{key}, or the bridge's own): what is intercepted passes PREROUTING \
                     and INPUT there, and not FORWARD"
                ));
            }
        }
        warnings.into_iter().map(Warning::Different).collect()
    }

    /// Lays the way out through the bridge with this index.
    ///
    /// # Errors
    ///
    /// If netlink fails.
    async fn cross(&self, bridge: u32) -> Result<(), NetlinkError> {
        for name in self.journal.sysctls.keys() {
            if let Err(error) = sysctl::write(name, "1") {
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
