//! Network interfaces.

use futures_util::TryStreamExt as _;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
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
