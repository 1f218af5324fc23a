//! This host's own addresses, as the routing tables have them.

use std::{collections::BTreeSet, net::IpAddr};

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily,
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
};
use rtnetlink::Handle;

use super::{NetlinkError, PROTOCOL};

/// Every prefix that a route of type local delivers here: addresses, `127.0.0.0/8`, any-IP
/// ranges. Not the default routes of type local that transparent proxies (we too) put into
/// tables of their own.
///
/// The `strict` connection ([`super::connect_strictly`]) has the kernel leave all other routes out;
/// a router may have a million.
///
/// # Errors
///
/// If netlink fails.
pub async fn prefixes(strict: &Handle) -> Result<BTreeSet<IpNet>, NetlinkError> {
    let mut prefixes = BTreeSet::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut query = RouteMessage::default();
        query.header.address_family = family;
        query.header.kind = RouteType::Local;
        let mut routes = strict.route().get(query).execute();
        while let Some(route) = routes
            .try_next()
            .await
            .map_err(|e| NetlinkError::new("list local routes", e))?
        {
            prefixes.extend(local_prefix(&route));
        }
    }
    Ok(prefixes)
}

fn local_prefix(route: &RouteMessage) -> Option<IpNet> {
    let header = &route.header;
    if header.kind != RouteType::Local
        || header.destination_prefix_length == 0
        || u8::from(header.protocol) == PROTOCOL
    {
        return None;
    }
    let address = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
            RouteAttribute::Destination(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
            _ => None,
        })?;
    IpNet::new(address, header.destination_prefix_length).ok()
}
