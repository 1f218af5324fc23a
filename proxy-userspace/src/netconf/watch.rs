//! Changes of the host's network that concern us, as they happen.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use futures_util::StreamExt as _;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::LinkAttribute,
    route::{RouteMessage, RouteType},
};
use rtnetlink::MulticastGroup;
use tokio::sync::Notify;

use super::NetlinkError;

/// What has changed. It does not say how: whoever is woken looks at the whole, and so misses
/// nothing where the kernel had to drop messages.
#[derive(Debug, Default)]
pub struct Changes {
    /// An interface has come, gone or changed.
    pub links: Notify,
    /// One of them has moved to another network namespace, or may have.
    pub moved: AtomicBool,
    /// So has a route of type local. With each address comes such a route; addresses themselves are
    /// not watched, since IPv6's change with every router advertisement. Nor are other routes; a
    /// router may have a million.
    pub own: Notify,
    /// So has an interface, a policy rule or a route of type local.
    pub network: Notify,
    /// A bridge has learned of a station, or forgotten one.
    pub stations: Notify,
}

impl Changes {
    fn take_in(&self, message: &NetlinkPayload<RouteNetlinkMessage>) {
        let is_local = |route: &RouteMessage| route.header.kind == RouteType::Local;
        let NetlinkPayload::InnerMessage(message) = message else {
            // The kernel's word that it had to drop messages.
            self.moved.store(true, Relaxed);
            self.links.notify_one();
            self.own.notify_one();
            self.stations.notify_one();
            return self.network.notify_one();
        };
        match message {
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route)
                if is_local(route) =>
            {
                self.own.notify_one();
                self.network.notify_one();
            }
            RouteNetlinkMessage::NewRoute(_) | RouteNetlinkMessage::DelRoute(_) => {}
            RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => {
                let elsewhere = |it: &LinkAttribute| matches!(it, LinkAttribute::NewNetnsId(_));
                if link.attributes.iter().any(elsewhere) {
                    self.moved.store(true, Relaxed);
                }
                self.links.notify_one();
                self.network.notify_one();
            }
            RouteNetlinkMessage::NewNeighbour(neighbour)
            | RouteNetlinkMessage::DelNeighbour(neighbour) => {
                if neighbour.header.family == AddressFamily::Bridge {
                    self.stations.notify_one();
                }
            }
            _ => self.network.notify_one(),
        }
    }
}

/// Watches the network namespace of the calling thread, from a task on the current runtime, for
/// bridges' `stations` too if that is asked for.
///
/// # Errors
///
/// If the netlink socket cannot be opened.
pub fn spawn(changes: Arc<Changes>, stations: bool) -> Result<(), NetlinkError> {
    let mut groups = vec![
        MulticastGroup::Link,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Ipv6Rule,
    ];
    // A router's neighbours change all the time; they are for bridges alone.
    groups.extend(stations.then_some(MulticastGroup::Neigh));
    let (connection, handle, mut messages) = rtnetlink::new_multicast_connection(&groups)
        .map_err(|e| NetlinkError::new("watch the network", e))?;
    tokio::spawn(connection);
    tokio::spawn(async move {
        // The connection ends when its last handle does.
        let _handle = handle;
        while let Some((message, _)) = messages.next().await {
            changes.take_in(&message.payload);
        }
    });
    Ok(())
}
