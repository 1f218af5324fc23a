//! Interfaces that are ports of a bridge.

use proxy_ebpf::settings::ROLE_BRIDGE;

use super::interfaces::Interface;
use crate::{
    dataplane::attach,
    fault::Fault,
    netconf::links::{Bridge, Link},
};

/// The bridge that they are all ports of, if they are ports.
///
/// # Errors
///
/// If only some are, or of different ones, or of one that filters VLANs.
pub(super) fn common_bridge<'a>(
    meant: &[&Link],
    links: &'a [Link],
) -> Result<Option<&'a str>, Fault> {
    let bridge_of = |link: &Link| match link.bridge? {
        Bridge::Port(index) => links.iter().find(|link| link.index == index),
        Bridge::Device { .. } => None,
    };
    let mut bridges = meant
        .iter()
        .map(|link| (link.name.as_str(), bridge_of(link)));
    let Some((first, bridge)) = bridges.next() else {
        return Ok(None);
    };
    for (other, its) in bridges {
        if its.map(|link| link.index) != bridge.map(|link| link.index) {
            let shown = |name: &str, bridge: Option<&Link>| match bridge {
                Some(bridge) => format!("{name} is a port of bridge {}", bridge.name),
                None => format!("{name} is a port of none"),
            };
            return Err(Fault::HostCannot(format!(
                "{}, and {}: all interfaces of an instance are ports of one bridge, or none is \
                 (to route between a bridge and something else, name the bridge itself)",
                shown(first, bridge),
                shown(other, its)
            )));
        }
    }
    match bridge {
        Some(Link {
            name,
            bridge: Some(Bridge::Device {
                filters_vlans: true,
            }),
            ..
        }) => Err(Fault::HostCannot(format!(
            "bridge {name} filters VLANs, and what weir sends has no VLAN there: switch it off (ip \
             link set {name} type bridge vlan_filtering 0), or use a bridge for each VLAN"
        ))),
        other => Ok(other.map(|link| link.name.as_str())),
    }
}

impl Interface {
    /// The bridge that it is a port of, or is.
    ///
    /// # Errors
    ///
    /// If that is another than it has to be.
    pub(super) fn find_bridge(
        &self,
        link: &Link,
        links: &[Link],
    ) -> Result<Option<attach::Bridge>, String> {
        let bridge = match link.bridge {
            Some(Bridge::Port(index)) => links.iter().find(|link| link.index == index),
            Some(Bridge::Device { .. }) if self.role == ROLE_BRIDGE => Some(link),
            _ => None,
        };
        match (bridge, &self.bridge) {
            (None, None) => Ok(None),
            (Some(bridge), Some(name)) if bridge.name == *name => Ok(Some(attach::Bridge {
                index: bridge.index,
                mac: bridge.mac,
            })),
            (Some(bridge), None) => Err(format!(
                "a port of bridge {}, and was none: restart weir for it",
                bridge.name
            )),
            (_, Some(name)) => Err(format!("no port of bridge {name} any more")),
        }
    }
}
