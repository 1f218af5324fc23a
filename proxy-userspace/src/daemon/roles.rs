//! Which interface is what: from the names in the configuration to what the host has.

use proxy_ebpf::settings::{ROLE_BRIDGE, ROLE_LAN, ROLE_WAN};

use super::interfaces::{Interface, Interfaces};
use crate::{
    config::{Config, Source, SpoofSource},
    dataplane::attach::{self, Place},
    fault::Fault,
    netconf::{
        addresses::Connected,
        delivery::LOOPBACK,
        links::{Bridge, Link},
    },
};

/// The interfaces of a configuration, as they are now.
///
/// # Errors
///
/// If one is not there, or nothing that interception works on.
pub(super) fn resolve(config: &Config, links: &[Link]) -> Result<Interfaces, Fault> {
    let lan = config.intercept.lan.iter().map(|name| (name, ROLE_LAN));
    let wan = config.intercept.wan.iter().map(|name| (name, ROLE_WAN));
    let named: Vec<_> = lan.chain(wan).collect();
    let bridge = common_bridge(&named, links)?;
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
    Ok(bridge.map(|link| link.name.as_str()))
}

/// Refuses what would need an address of the bridge's own, or of somebody else, on a bridge.
///
/// # Errors
///
/// If the configuration asks for it.
pub(super) fn check_sources(config: &Config, interfaces: &Interfaces) -> Result<(), Fault> {
    let Some(bridge) = interfaces.bridge() else {
        return Ok(());
    };
    let what = if config.spoof.source == SpoofSource::Proxy {
        "spoof.source = \"proxy\"".to_owned()
    } else if let Some(rule) = config
        .rules
        .iter()
        .find(|rule| rule.source != Source::Client)
    {
        format!("the source of rule {:?}", rule.name)
    } else {
        return Ok(());
    };
    Err(Fault::HostCannot(format!(
        "{what} does not go on a bridge: frames across {} are the client's, and so are their \
         addresses",
        bridge.name
    )))
}

/// Refuses what would need an address on a host that has none, as a bridge may.
///
/// # Errors
///
/// If the configuration asks for it.
pub(super) fn check_names(config: &Config, connected: &[Connected]) -> Result<(), Fault> {
    let is_reachable = connected.iter().any(|subnet| subnet.index != LOOPBACK);
    if config.http.host_dns && !is_reachable {
        return Err(Fault::HostCannot(
            "http.host_dns asks a name server, and this host has no address to ask from: give it \
             one, or switch it off"
                .to_owned(),
        ));
    }
    Ok(())
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
            (Some(bridge), Some(name)) if bridge.name == *name && filters_vlans(bridge) => {
                Err(format!(
                    "of bridge {name}, which filters VLANs, and what weir sends has no VLAN there: \
                     switch it off (ip link set {name} type bridge vlan_filtering 0), or use a \
                     bridge for each VLAN"
                ))
            }
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

fn filters_vlans(link: &Link) -> bool {
    matches!(
        link.bridge,
        Some(Bridge::Device {
            filters_vlans: true,
            ..
        })
    )
}

#[cfg(test)]
mod tests {
    use proxy_ebpf::framing::Framing;

    use super::*;

    fn link(index: u32, name: &str, bridge: Option<Bridge>) -> Link {
        Link {
            name: name.to_owned(),
            index,
            framing: Some(Framing::Ethernet),
            kind: "ether".to_owned(),
            vrf: None,
            bridge,
            mac: [2, 0, 0, 0, 0, 9],
        }
    }

    fn network(filters_vlans: bool) -> Vec<Link> {
        let device = Bridge::Device {
            filters_vlans,
            netfilter: [4, 0],
        };
        vec![
            link(9, "br0", Some(device)),
            link(1, "p1", Some(Bridge::Port(9))),
            link(2, "p2", Some(Bridge::Port(9))),
            link(3, "eth0", None),
        ]
    }

    fn resolved(lan: &str, wan: &str, links: &[Link]) -> Result<Interfaces, String> {
        let mut config = Config::default();
        config.intercept.lan = vec![lan.to_owned()];
        config.intercept.wan = vec![wan.to_owned()];
        resolve(&config, links).map_err(|fault| fault.to_string())
    }

    #[test]
    fn ports_bring_their_bridge() {
        let interfaces = resolved("p1", "p2", &network(false)).unwrap();
        assert_eq!(interfaces.names(), ["p1", "p2", "br0"]);
        for interface in interfaces.iter() {
            let bridge = interface.place.unwrap().bridge.unwrap();
            assert_eq!((bridge.index, bridge.mac[5]), (9, 9));
        }
        // The bridge itself is an interface like others.
        let interfaces = resolved("br0", "eth0", &network(true)).unwrap();
        assert_eq!(interfaces.names(), ["br0", "eth0"]);
        assert!(
            interfaces
                .iter()
                .all(|it| it.place.unwrap().bridge.is_none())
        );
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let why = |lan, wan, filters| resolved(lan, wan, &network(filters)).err().unwrap();
        let filters = why("p1", "p2", true);
        assert!(filters.contains("p1 is of bridge br0, which filters VLANs"));
        assert!(why("p1", "eth0", false).contains("eth0 is a port of none"));
        assert!(why("p1", "eth7", false).contains("eth7"));
        assert!(why("eth0", "eth7", false).contains("no interface eth7 here"));
    }

    #[test]
    fn a_port_that_left_and_one_that_became_a_port() {
        let mut links = network(false);
        let bridged = resolved("p1", "p2", &links).unwrap();
        let routed = resolved("eth0", "br0", &links).unwrap();
        links[1].bridge = None;
        links[3].bridge = Some(Bridge::Port(9));
        let find = |interfaces: &Interfaces| interfaces.iter().next().unwrap().find(&links);
        assert!(
            find(&bridged)
                .unwrap_err()
                .contains("no port of bridge br0 any more")
        );
        assert!(find(&routed).unwrap_err().contains("restart weir"));

        let filtering = network(true);
        let now = bridged.iter().next().unwrap().find(&filtering);
        assert!(now.unwrap_err().contains("which filters VLANs"));
    }
}
