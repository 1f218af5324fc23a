//! Which flows would go direct.

use std::net::SocketAddr;

use super::{Lists, kernel::flow};
use crate::dataplane::Dataplane;

impl Lists {
    /// Whether the kernel would let a flow go direct from whichever LAN there is that it came from.
    pub(in crate::daemon) fn is_bypassed(
        &self,
        dataplane: &mut Dataplane,
        client: SocketAddr,
        origin: SocketAddr,
    ) -> bool {
        // If there is none, what is said of one LAN says nothing.
        let none = self.translation.lans.present().next().is_none();
        let mut lans = self.translation.lans.present().chain(none.then_some(0));
        lans.all(|lan| {
            let asked = flow(client.ip(), origin.ip(), origin.port(), lan);
            let found = dataplane.match_bypass(&asked);
            found.is_ok_and(|entry| entry.is_some_and(|entry| !entry.intercept))
        })
    }
}
