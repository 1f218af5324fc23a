//! How many connections each client has.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Apart, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// Live connections by client address, of all workers together.
#[derive(Debug, Default)]
pub struct Clients {
    shards: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
}

/// A connection that counts while this lives.
#[derive(Debug)]
pub(super) struct Guest {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Clients {
    /// One more connection of `address`; `None` if it has `limit` already.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, limit: usize) -> Option<Guest> {
        let mut shard = self.shard(address);
        let count = shard.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Guest {
            clients: Arc::clone(self),
            address,
        })
    }

    fn shard(&self, address: IpAddr) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        let last = match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        self.shards[usize::from(last) % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.clients.shard(self.address).entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_limit() {
        let clients = Arc::new(Clients::default());
        let [one, other] = ["10.0.0.2", "10.0.0.18"].map(|address| address.parse().unwrap());
        let first = clients.enter(one, 2);
        let second = clients.enter(one, 2);
        assert!(first.is_some() && second.is_some());
        assert!(clients.enter(one, 2).is_none());
        assert!(clients.enter(other, 2).is_some());
        drop(first);
        let third = clients.enter(one, 2);
        assert!(third.is_some());
        drop((second, third));
        assert!(clients.shards.iter().all(|s| s.lock().unwrap().is_empty()));
    }
}
