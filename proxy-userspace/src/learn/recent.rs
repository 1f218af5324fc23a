//! Destinations at which something has worked of late.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::candidate::within;

/// Destinations of one generation.
pub(super) const GENERATION: usize = 16 * 1024;

/// Two generations: what is not in them has not been noted for the window.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: HashMap<SocketAddr, Instant>,
    old: HashMap<SocketAddr, Instant>,
    turned: Option<Instant>,
    /// When one had to make room before its time.
    forgot: Option<Instant>,
}

impl Recent {
    /// It works there.
    pub(super) fn note(&mut self, destination: SocketAddr, now: Instant, window: Duration) {
        let full = self.young.len() >= GENERATION && !self.young.contains_key(&destination);
        let aged = !self
            .turned
            .is_some_and(|turned| within(turned, now, window));
        if full || aged {
            if full && !aged {
                self.forgot = Some(now);
            }
            self.old = std::mem::take(&mut self.young);
            self.turned = Some(now);
        }
        self.young.insert(destination, now);
    }

    /// Whether it has worked there within the window; yes, if that is not known any more.
    pub(super) fn may_work(&self, destination: SocketAddr, now: Instant, window: Duration) -> bool {
        let noted = self
            .young
            .get(&destination)
            .or_else(|| self.old.get(&destination));
        noted
            .into_iter()
            .chain(&self.forgot)
            .any(|time| within(*time, now, window))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
