//! Which stations a bridge has seen behind which of its ports: its forwarding database.

use std::collections::BTreeSet;

use futures_util::TryStreamExt as _;
use netlink_packet_route::{
    AddressFamily,
    neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState},
};
use rtnetlink::Handle;

use super::NetlinkError;

/// The MAC addresses that are behind these ports, as the bridge itself knows it.
///
/// # Errors
///
/// If netlink fails.
pub async fn behind(handle: &Handle, ports: &[u32]) -> Result<BTreeSet<[u8; 6]>, NetlinkError> {
    let messages: Vec<_> = handle
        .neighbours()
        .get()
        .set_address_family(AddressFamily::Bridge)
        .execute()
        .try_collect()
        .await
        .map_err(|e| NetlinkError::new("list the stations of bridges", e))?;
    let learned = messages.iter().filter(|message| {
        // Permanent ones are addresses of the ports themselves.
        ports.contains(&message.header.ifindex) && message.header.state != NeighbourState::Permanent
    });
    Ok(learned.filter_map(mac).collect())
}

fn mac(message: &NeighbourMessage) -> Option<[u8; 6]> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(address) => address[..].try_into().ok(),
            _ => None,
        })
}
