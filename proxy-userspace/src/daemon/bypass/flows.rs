//! Which flows would go direct.

use std::net::SocketAddr;

use super::{Lists, kernel::flow};
use crate::dataplane::Dataplane;

impl Lists {
    /// Whether the kernel would let a flow go direct from whichever LAN it came from.
    pub(in crate::daemon) fn is_bypassed(
        &self,
        dataplane: &mut Dataplane,
        client: SocketAddr,
        origin: SocketAddr,
    ) -> bool {
        let mut lans = self.translation.lans().values();
        lans.all(|slot| {
            let asked = flow(client.ip(), origin.ip(), origin.port(), Some(*slot));
            let found = dataplane.match_bypass(&asked);
            found.is_ok_and(|entry| entry.is_some_and(|entry| !entry.intercept))
        })
    }
}
