//! Changes of the host's network that concern us, as they happen.

use std::sync::Arc;

use futures_util::StreamExt as _;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, route::RouteType};
use rtnetlink::MulticastGroup;
use tokio::sync::Notify;

use super::NetlinkError;

/// Wakes `changed` whenever an interface, a policy rule or a route of type local has come, gone or
/// changed, from a task on the current runtime, in the network namespace of the calling thread.
/// With each address comes such a route; addresses themselves are not watched, since IPv6's
/// change with every router advertisement.
///
/// It does not say what: whoever is woken looks at the whole, and so misses nothing where the
/// kernel had to drop messages. Other routes do not wake it; a router may have a million.
///
/// With `stations`, that one is woken whenever a bridge has learned of a station, or forgotten one.
///
/// # Errors
///
/// If the netlink socket cannot be opened.
pub fn spawn(changed: Arc<Notify>, stations: Option<Arc<Notify>>) -> Result<(), NetlinkError> {
    let mut groups = vec![
        MulticastGroup::Link,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Ipv6Rule,
    ];
    // A router's neighbours change all the time; they are for bridges alone.
    groups.extend(stations.is_some().then_some(MulticastGroup::Neigh));
    let (connection, handle, mut messages) = rtnetlink::new_multicast_connection(&groups)
        .map_err(|e| NetlinkError::new("watch the network", e))?;
    tokio::spawn(connection);
    tokio::spawn(async move {
        // The connection ends when its last handle does.
        let _handle = handle;
        while let Some((message, _)) = messages.next().await {
            let concerns_us = match message.payload {
                NetlinkPayload::InnerMessage(
                    RouteNetlinkMessage::NewNeighbour(neighbour)
                    | RouteNetlinkMessage::DelNeighbour(neighbour),
                ) => {
                    if neighbour.header.family == AddressFamily::Bridge
                        && let Some(stations) = &stations
                    {
                        stations.notify_one();
                    }
                    false
                }
                NetlinkPayload::InnerMessage(
                    RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
                ) => route.header.kind == RouteType::Local,
                // Links, rules, and the kernel's word that it had to drop messages.
                _ => true,
            };
            if concerns_us {
                changed.notify_one();
            }
        }
    });
    Ok(())
}
