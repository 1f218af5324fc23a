//! Interfaces that are ports of a bridge.

use proxy_ebpf::settings::ROLE_BRIDGE;

use super::interfaces::{Interface, Interfaces};
use crate::{
    config::{Config, Source, SpoofSource},
    dataplane::attach,
    fault::Fault,
    netconf::{
        addresses::Connected,
        delivery::LOOPBACK,
        links::{Bridge, Link},
    },
};

/// The bridge that they are all ports of, if they are ports.
///
/// # Errors
///
/// If only some are, or of different ones.
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

impl Interface {
    /// The bridge that it is a port of, or is.
    ///
    /// # Errors
    ///
    /// If that is another than it has to be, or filters VLANs.
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
        Interfaces::new(&config, links).map_err(|fault| fault.to_string())
    }

    fn names(interfaces: &Interfaces) -> Vec<&str> {
        interfaces.iter().map(|it| it.name.as_str()).collect()
    }

    #[test]
    fn ports_bring_their_bridge() {
        let interfaces = resolved("p1", "p2", &network(false)).unwrap();
        assert_eq!(names(&interfaces), ["p1", "p2", "br0"]);
        for interface in interfaces.iter() {
            let bridge = interface.find(&network(false)).unwrap().bridge.unwrap();
            assert_eq!((bridge.index, bridge.mac[5]), (9, 9));
        }
        // The bridge itself is an interface like others.
        let interfaces = resolved("br0", "eth0", &network(true)).unwrap();
        assert_eq!(names(&interfaces), ["br0", "eth0"]);
        assert!(interfaces.iter().all(|it| it.bridge.is_none()));
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
