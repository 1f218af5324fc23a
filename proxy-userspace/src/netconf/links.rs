//! Network interfaces.

use futures_util::TryStreamExt as _;
use netlink_packet_route::link::{LinkAttribute, LinkLayerType, LinkMessage};
use rtnetlink::Handle;

use super::NetlinkError;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Name, as in `ip link`.
    pub name: String,
    /// Index; a link that is deleted and made again has another.
    pub index: u32,
    /// Whether frames begin with an Ethernet header.
    pub ethernet: bool,
    /// The kernel's word for the link type.
    pub kind: String,
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
            ethernet: layer == LinkLayerType::Ether,
            kind: format!("{layer:?}").to_lowercase(),
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
