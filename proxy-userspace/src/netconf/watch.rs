//! Changes of the host's network that concern us, as they happen.

use futures_util::StreamExt as _;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::MulticastGroup;
use tokio::sync::mpsc;

use super::{NetlinkError, links::Link};

/// What changed.
#[derive(Debug)]
pub enum Change {
    /// A route came or went: own addresses may have changed.
    Routes,
    /// An interface appeared, or something about it changed.
    LinkUp(Link),
    /// An interface is gone.
    LinkGone(Link),
}

/// Reports changes from now on to `changes`, from a task on the current runtime, in the network
/// namespace of the calling thread. When the receiver cannot keep up, changes are dropped; a
/// full queue already says that something changed.
///
/// # Errors
///
/// If the netlink socket cannot be opened.
pub fn spawn(changes: mpsc::Sender<Change>) -> Result<(), NetlinkError> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ];
    let (connection, handle, mut messages) = rtnetlink::new_multicast_connection(&groups)
        .map_err(|e| NetlinkError::new("watch the network", e))?;
    tokio::spawn(connection);
    tokio::spawn(async move {
        // The connection ends when its last handle does.
        let _handle = handle;
        while let Some((message, _)) = messages.next().await {
            let NetlinkPayload::InnerMessage(message) = message.payload else {
                continue;
            };
            let change = match message {
                RouteNetlinkMessage::NewRoute(_) | RouteNetlinkMessage::DelRoute(_) => {
                    Some(Change::Routes)
                }
                RouteNetlinkMessage::NewLink(link) => Link::from_message(&link).map(Change::LinkUp),
                RouteNetlinkMessage::DelLink(link) => {
                    Link::from_message(&link).map(Change::LinkGone)
                }
                _ => None,
            };
            if let Some(change) = change
                && let Err(mpsc::error::TrySendError::Closed(_)) = changes.try_send(change)
            {
                return;
            }
        }
    });
    Ok(())
}
