//! Clients to which answers come by ways that do not pass us.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{candidate::within, recent::Recent};

/// Clients remembered at once.
pub(super) const CAPACITY: usize = 4096;

/// Destinations that it takes at least: a client to which one or two answer by another way may
/// well be at one with us about the rest of the world.
pub(super) const DESTINATIONS: usize = 3;

/// Which destinations of a client answered around us, and whose connects succeed.
#[derive(Debug, Default)]
pub(super) struct Strays {
    clients: HashMap<IpAddr, Vec<(IpAddr, Instant)>>,
    /// Clients that could be connected for, as addresses with port 0.
    connected: Recent,
}

impl Strays {
    /// A connect for this client has succeeded.
    pub(super) fn connected(&mut self, client: IpAddr, now: Instant, window: Duration) {
        self.clients.remove(&client);
        self.connected.note(SocketAddr::new(client, 0), now, window);
    }

    /// The answer to a connect for this client has gone around us. How many destinations have
    /// answered like that within the window, if they are `enough` and no connect for it has
    /// succeeded.
    pub(super) fn went_around(
        &mut self,
        client: IpAddr,
        destination: IpAddr,
        now: Instant,
        window: Duration,
        enough: usize,
    ) -> Option<usize> {
        if self.clients.len() >= CAPACITY && !self.clients.contains_key(&client) {
            self.clients.retain(|_, seen| {
                seen.last()
                    .is_some_and(|(_, time)| within(*time, now, window))
            });
            if self.clients.len() >= CAPACITY {
                return None;
            }
        }
        let enough = enough.max(DESTINATIONS);
        let seen = self.clients.entry(client).or_default();
        seen.retain(|(other, time)| *other != destination && within(*time, now, window));
        if seen.len() >= enough {
            seen.remove(0);
        }
        seen.push((destination, now));
        let count = seen.len();
        let works = self
            .connected
            .may_work(SocketAddr::new(client, 0), now, window);
        (count >= enough && !works).then_some(count)
    }

    /// What it has shown is learned.
    pub(super) fn forget(&mut self, client: IpAddr) {
        self.clients.remove(&client);
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.clients.len(), self.connected.len())
    }
}
