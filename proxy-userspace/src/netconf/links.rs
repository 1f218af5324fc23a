//! Network interfaces.

use futures_util::TryStreamExt as _;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage,
};
use proxy_ebpf::framing::Framing;
use rtnetlink::Handle;

use super::NetlinkError;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Name, as in `ip link`.
    pub name: String,
    /// Index; a link that is deleted and made again has another.
    pub index: u32,
    /// What its packets begin with; `None` for link types that we do not know.
    pub framing: Option<Framing>,
    /// The kernel's word for the link type.
    pub kind: String,
    /// Its part in a VRF, if it has one.
    pub vrf: Option<Vrf>,
    /// Its part in a bridge, if it has one.
    pub bridge: Option<Bridge>,
    /// MAC address; 0 for links without.
    pub mac: [u8; 6],
}

/// An interface's part in a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bridge {
    /// It is the bridge.
    Device {
        /// `vlan_filtering`.
        filters_vlans: bool,
        /// 4 and 6, or 0: the families whose packets it takes through the firewall by itself
        /// (`nf_call_iptables`, `nf_call_ip6tables`).
        netfilter: [u8; 2],
    },
    /// It is a port of the one with that index.
    Port(u32),
}

impl Bridge {
    fn from_message(message: &LinkMessage) -> Option<Self> {
        let (mut device, mut port, mut controller) = (false, false, 0);
        let (mut filters_vlans, mut netfilter) = (false, [0; 2]);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::LinkInfo(infos) => {
                    device = infos.contains(&LinkInfo::Kind(InfoKind::Bridge));
                    port = infos.contains(&LinkInfo::PortKind(InfoPortKind::Bridge));
                    let of_bridge = infos.iter().filter_map(|info| match info {
                        LinkInfo::Data(InfoData::Bridge(data)) => Some(data),
                        _ => None,
                    });
                    for info in of_bridge.flatten() {
                        match info {
                            InfoBridge::VlanFiltering(on) => filters_vlans = *on,
                            InfoBridge::NfCallIpTables(true) => netfilter[0] = 4,
                            InfoBridge::NfCallIp6Tables(true) => netfilter[1] = 6,
                            _ => {}
                        }
                    }
                }
                LinkAttribute::Controller(index) => controller = *index,
                _ => {}
            }
        }
        match (device, port) {
            (true, _) => Some(Self::Device {
                filters_vlans,
                netfilter,
            }),
            (_, true) => Some(Self::Port(controller)),
            _ => None,
        }
    }
}

/// An interface's part in a VRF (virtual routing and forwarding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vrf {
    /// It is the VRF's device.
    Device,
    /// It belongs to the one with that device's index.
    Member(u32),
}

impl Vrf {
    fn from_message(message: &LinkMessage) -> Option<Self> {
        let (mut device, mut member, mut controller) = (false, false, 0);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::LinkInfo(infos) => {
                    device = infos.contains(&LinkInfo::Kind(InfoKind::Vrf));
                    member = infos.contains(&LinkInfo::PortKind(InfoPortKind::Vrf));
                }
                LinkAttribute::Controller(index) => controller = *index,
                _ => {}
            }
        }
        match (device, member) {
            (true, _) => Some(Self::Device),
            (_, true) => Some(Self::Member(controller)),
            _ => None,
        }
    }
}

impl Link {
    pub(super) fn from_message(message: &LinkMessage) -> Option<Self> {
        let name = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            })?;
        let layer = message.header.link_layer_type;
        Some(Self {
            name,
            index: message.header.index,
            framing: Framing::of(layer.into()),
            kind: format!("{layer:?}").to_lowercase(),
            vrf: Vrf::from_message(message),
            bridge: Bridge::from_message(message),
            mac: mac(message),
        })
    }
}

fn mac(message: &LinkMessage) -> [u8; 6] {
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(address) => <[u8; 6]>::try_from(&address[..]).ok(),
            _ => None,
        });
    address.unwrap_or_default()
}

/// Name and index of the interface by which this host's IP layer sees what goes through the one
/// called `name`: itself, or the bridge that it is a port of. 0 if it is not there.
#[must_use]
pub fn upper<'a>(links: &'a [Link], name: &'a str) -> (&'a str, u32) {
    let Some(link) = links.iter().find(|link| link.name == name) else {
        return (name, 0);
    };
    match link.bridge {
        Some(Bridge::Port(index)) => links
            .iter()
            .find(|bridge| bridge.index == index)
            .map_or((name, 0), |bridge| (bridge.name.as_str(), index)),
        _ => (link.name.as_str(), link.index),
    }
}

/// All interfaces of the namespace.
///
/// # Errors
///
/// If netlink fails.
pub async fn list(handle: &Handle) -> Result<Vec<Link>, NetlinkError> {
    let messages: Vec<_> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(|e| NetlinkError::new("list interfaces", e))?;
    Ok(messages.iter().filter_map(Link::from_message).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vrf(attributes: Vec<LinkAttribute>) -> Option<Vrf> {
        link(attributes).vrf
    }

    fn link(attributes: Vec<LinkAttribute>) -> Link {
        let mut message = LinkMessage::default();
        message.attributes = attributes;
        message
            .attributes
            .push(LinkAttribute::IfName("lan0".to_owned()));
        Link::from_message(&message).unwrap()
    }

    #[test]
    fn parts_in_a_vrf() {
        let port = |kind| LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(kind)]);
        let controller = LinkAttribute::Controller(7);
        assert_eq!(vrf(Vec::new()), None);
        assert_eq!(
            vrf(vec![port(InfoPortKind::Bridge), controller.clone()]),
            None
        );
        assert_eq!(
            vrf(vec![controller, port(InfoPortKind::Vrf)]),
            Some(Vrf::Member(7))
        );
        let device = LinkInfo::Kind(InfoKind::Vrf);
        assert_eq!(
            vrf(vec![LinkAttribute::LinkInfo(vec![device])]),
            Some(Vrf::Device)
        );
    }

    #[test]
    fn parts_in_a_bridge() {
        let info = |infos| vec![LinkAttribute::LinkInfo(infos)];
        let port = LinkInfo::PortKind(InfoPortKind::Bridge);
        let mut attributes = info(vec![port]);
        attributes.push(LinkAttribute::Controller(7));
        attributes.push(LinkAttribute::Address(vec![2, 0, 0, 0, 0, 9]));
        let it = link(attributes);
        assert_eq!((it.bridge, it.mac[5]), (Some(Bridge::Port(7)), 9));
        let data = LinkInfo::Data(InfoData::Bridge(vec![
            InfoBridge::VlanFiltering(true),
            InfoBridge::NfCallIp6Tables(true),
        ]));
        assert_eq!(
            link(info(vec![LinkInfo::Kind(InfoKind::Bridge), data])).bridge,
            Some(Bridge::Device {
                filters_vlans: true,
                netfilter: [0, 6],
            })
        );
        assert_eq!(link(Vec::new()).bridge, None);
    }
}
