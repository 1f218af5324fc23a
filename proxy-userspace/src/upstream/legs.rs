//! The clients' ends of live connections, as far as they could clash with ports of ours.

use std::{
    collections::HashMap,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use crate::addr::{ClientAddr, OriginAddr, SpoofedAddr};

/// One end of a connection as the network between us and the origin sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leg {
    near: SocketAddr,
    origin: SocketAddr,
}

impl Leg {
    /// Our leg.
    #[must_use]
    pub fn new(spoofed: SpoofedAddr, origin: OriginAddr) -> Self {
        Self {
            near: spoofed.0,
            origin: origin.0,
        }
    }
}

/// The registry, shared by all workers.
#[derive(Debug)]
pub struct Legs {
    ours: RangeInclusive<u16>,
    live: Mutex<HashMap<Leg, usize>>,
}

/// Keeps a leg in the registry.
pub struct Registered {
    legs: Arc<Legs>,
    leg: Leg,
}

impl Legs {
    /// A registry for clashes with the ports `ours`.
    #[must_use]
    pub fn new(ours: RangeInclusive<u16>) -> Self {
        Self {
            ours,
            live: Mutex::default(),
        }
    }

    /// Registers a client's connection while the result lives. `None` where it cannot clash
    /// with us: most clients' ports are outside of our range.
    #[must_use]
    pub fn register(
        self: &Arc<Self>,
        client: ClientAddr,
        origin: OriginAddr,
    ) -> Option<Registered> {
        if !self.ours.contains(&client.0.port()) {
            return None;
        }
        let leg = Leg {
            near: client.0,
            origin: origin.0,
        };
        *self.live().entry(leg).or_default() += 1;
        Some(Registered {
            legs: Arc::clone(self),
            leg,
        })
    }

    /// Whether a client is using this leg itself.
    #[must_use]
    pub fn contains(&self, leg: &Leg) -> bool {
        self.live().contains_key(leg)
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashMap<Leg, usize>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut live = self.legs.live();
        if let Some(count) = live.get_mut(&self.leg) {
            *count -= 1;
            if *count == 0 {
                live.remove(&self.leg);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_leg_is_known_while_it_lives() {
        let legs = Arc::new(Legs::new(10_000..=20_000));
        let client = ClientAddr("10.0.0.2:15000".parse().unwrap());
        let origin = OriginAddr("203.0.113.7:80".parse().unwrap());
        let leg = Leg::new(SpoofedAddr(client.0), origin);
        let first = legs.register(client, origin);
        let second = legs.register(client, origin);
        assert!(legs.contains(&leg));
        drop(first);
        assert!(legs.contains(&leg));
        drop(second);
        assert!(!legs.contains(&leg));
    }

    #[test]
    fn ports_outside_of_our_range_cannot_clash() {
        let legs = Arc::new(Legs::new(10_000..=20_000));
        let client = ClientAddr("10.0.0.2:40000".parse().unwrap());
        assert!(
            legs.register(client, OriginAddr("203.0.113.7:80".parse().unwrap()))
                .is_none()
        );
    }
}
