//! Which interface is what: from the names in the configuration to what the host has.

use proxy_ebpf::settings::{ROLE_BRIDGE, ROLE_LAN, ROLE_WAN};

use super::interfaces::{Interface, Interfaces, ONE_ARMED};
use crate::{
    config::Config,
    dataplane::attach::{self, Place},
    fault::Fault,
    netconf::links::{Bridge, Link},
};

/// The interfaces of a configuration, as they are now.
///
/// # Errors
///
/// If one is not there, or nothing that interception works on.
pub(super) fn resolve(config: &Config, links: &[Link]) -> Result<Interfaces, Fault> {
    let lan = config.intercept.lan.iter().map(|name| (name, ROLE_LAN));
    let wan = config.intercept.wan.iter().map(|name| (name, ROLE_WAN));
    let mut named: Vec<(&String, u32)> = Vec::new();
    for (name, role) in lan.chain(wan) {
        match named.iter_mut().find(|(before, _)| *before == name) {
            Some((_, roles)) => *roles |= role,
            None => named.push((name, role)),
        }
    }
    let bridge = common_bridge(&named, links)?;
    if bridge.is_some()
        && let Some((name, _)) = named.iter().find(|(_, role)| *role == ONE_ARMED)
    {
        return Err(Fault::HostCannot(format!(
            "{name} is both LAN and WAN, and a port of a bridge: what comes in by a port goes out by \
             another, so leave it in one of them, or name the bridge itself"
        )));
    }
    let names = named.into_iter().map(|(name, role)| (name.as_str(), role));
    let names = names.chain(bridge.map(|bridge| (bridge, ROLE_BRIDGE)));
    let mut interfaces = Vec::new();
    for (slot, (name, role)) in (0..).zip(names) {
        let mut interface = Interface {
            name: name.to_owned(),
            role,
            slot,
            kind: String::new(),
            bridge: bridge.map(str::to_owned),
            place: None,
        };
        let place = interface.find(links).map_err(|why| {
            if why == GONE {
                let there: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
                return Fault::Usage(format!(
                    "no interface {name} here (there are {}): check the name, or --netns",
                    there.join(", ")
                ));
            }
            Fault::HostCannot(format!("interface {name} is {why}"))
        })?;
        interface.place = Some(place);
        interfaces.push(interface);
    }
    Ok(Interfaces::new(interfaces))
}

/// The bridge that they are all ports of, if they are ports.
fn common_bridge<'a>(
    named: &[(&String, u32)],
    links: &'a [Link],
) -> Result<Option<&'a str>, Fault> {
    let bridge_of = |name: &str| {
        let link = links.iter().find(|link| link.name == name)?;
        match link.bridge? {
            Bridge::Port(index) => links.iter().find(|link| link.index == index),
            Bridge::Device { .. } => None,
        }
    };
    let mut bridges = named.iter().map(|(name, _)| (*name, bridge_of(name)));
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

/// Why an interface has no place: it does not exist.
const GONE: &str = "gone";

impl Interface {
    /// Where it is now.
    ///
    /// # Errors
    ///
    /// What it is instead.
    pub(super) fn find(&self, links: &[Link]) -> Result<Place, String> {
        let Some(link) = links.iter().find(|link| link.name == self.name) else {
            return Err(GONE.to_owned());
        };
        let Some(framing) = link.framing else {
            return Err(format!(
                "of link type {}: weir intercepts on Ethernet interfaces and on those without a \
                 link-layer header (ppp, tun, wireguard, ipip, sit, gre)",
                link.kind
            ));
        };
        Ok(Place {
            index: link.index,
            framing,
            role: self.role,
            slot: self.slot,
            bridge: self.find_bridge(link, links)?,
        })
    }

    fn find_bridge(&self, link: &Link, links: &[Link]) -> Result<Option<attach::Bridge>, String> {
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
