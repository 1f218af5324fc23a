//! The subnets that interfaces are in.

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::Handle;

use super::NetlinkError;

/// A subnet, and the index of an interface that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The interface.
    pub index: u32,
    /// The prefix, without host bits.
    pub prefix: IpNet,
}

/// The subnets of all interfaces, as their addresses have them: with a peer, the peer's. Neither
/// link-local ones nor a host's own address alone, behind which nobody is.
///
/// # Errors
///
/// If netlink fails.
pub async fn connected(handle: &Handle) -> Result<Vec<Connected>, NetlinkError> {
    let messages: Vec<_> = handle
        .address()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(|e| NetlinkError::new("list addresses", e))?;
    Ok(messages.iter().filter_map(subnet).collect())
}

fn subnet(message: &AddressMessage) -> Option<Connected> {
    let (mut address, mut local) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(value) => address = Some(*value),
            AddressAttribute::Local(value) => local = Some(*value),
            _ => {}
        }
    }
    // IPv6 tells its own address as `Address` unless there is a peer.
    let (address, local) = (address.or(local)?, local.or(address)?);
    let prefix = IpNet::new(address, message.header.prefix_len).ok()?.trunc();
    let nobody = prefix.prefix_len() == prefix.max_prefix_len() && address == local;
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    (!nobody && !link_local).then_some(Connected {
        index: message.header.index,
        prefix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: Option<&str>, local: Option<&str>, length: u8) -> Option<String> {
        let mut message = AddressMessage::default();
        message.header.prefix_len = length;
        message.header.index = 3;
        let parsed = |text: &str| text.parse().unwrap();
        message
            .attributes
            .extend(address.map(|text| AddressAttribute::Address(parsed(text))));
        message
            .attributes
            .extend(local.map(|text| AddressAttribute::Local(parsed(text))));
        subnet(&message).map(|connected| connected.prefix.to_string())
    }

    #[test]
    fn subnets_of_addresses() {
        let v4 = "10.0.0.1";
        assert_eq!(of(Some(v4), Some(v4), 24).unwrap(), "10.0.0.0/24");
        assert_eq!(of(Some("fd00::1"), None, 64).unwrap(), "fd00::/64");
        // A peer is somebody, one's own address is not.
        assert_eq!(of(Some("10.0.0.2"), Some(v4), 32).unwrap(), "10.0.0.2/32");
        assert_eq!(of(Some(v4), Some(v4), 32), None);
        assert_eq!(of(Some("fd00::1"), None, 128), None);
        // Each link has these.
        assert_eq!(of(Some("fe80::1"), None, 64), None);
        assert_eq!(of(Some("169.254.1.1"), None, 16), None);
        assert_eq!(of(None, None, 24), None);
        assert_eq!(of(Some(v4), None, 33), None);
    }
}
