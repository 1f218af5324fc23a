//! Network interfaces.

use futures_util::TryStreamExt as _;
use netlink_packet_route::link::{InfoKind, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage};
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
        })
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

    fn link(attributes: Vec<LinkAttribute>) -> Option<Vrf> {
        let mut message = LinkMessage::default();
        message.attributes = attributes;
        message
            .attributes
            .push(LinkAttribute::IfName("lan0".to_owned()));
        Link::from_message(&message).unwrap().vrf
    }

    #[test]
    fn parts_in_a_vrf() {
        let port = |kind| LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(kind)]);
        let controller = LinkAttribute::Controller(7);
        assert_eq!(link(Vec::new()), None);
        assert_eq!(
            link(vec![port(InfoPortKind::Bridge), controller.clone()]),
            None
        );
        assert_eq!(
            link(vec![controller, port(InfoPortKind::Vrf)]),
            Some(Vrf::Member(7))
        );
        let device = LinkInfo::Kind(InfoKind::Vrf);
        assert_eq!(
            link(vec![LinkAttribute::LinkInfo(vec![device])]),
            Some(Vrf::Device)
        );
    }
}
