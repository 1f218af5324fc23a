//! What has been learned and is still in force.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::event::{Cause, Pair};

/// Learned entries, until each expires.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By destination, `None` for all of a client's: `None` within stands for all clients.
    entries: HashMap<Option<SocketAddr>, BTreeMap<Option<IpAddr>, Entry>>,
    expiry: BTreeSet<(Instant, Option<SocketAddr>, Option<IpAddr>)>,
    /// Entries of each client.
    clients: HashMap<IpAddr, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    until: Instant,
    cause: Cause,
}

impl Known {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.expiry.len()
    }

    /// How many entries are about this client alone.
    pub(super) fn of_client(&self, client: IpAddr) -> usize {
        self.clients.get(&client).copied().unwrap_or_default()
    }

    /// Whether an entry already makes this pair go direct.
    pub(super) fn covers(&self, pair: &Pair) -> bool {
        let has = |destination, client| {
            let of = self.entries.get(&destination);
            of.is_some_and(|of| of.contains_key(&client))
        };
        let client = Some(pair.client);
        has(Some(pair.destination), None)
            || has(Some(pair.destination), client)
            || has(None, client)
    }

    /// The pairs of this client that have an entry.
    pub(super) fn pairs_of(&self, client: IpAddr) -> Vec<Pair> {
        let of_client = self.entries.iter().filter_map(|(destination, of)| {
            of.contains_key(&Some(client)).then_some(Pair {
                client,
                destination: (*destination)?,
            })
        });
        of_client.collect()
    }

    /// The clients that have an entry of their own for the destination, and why.
    pub(super) fn holders(
        &self,
        destination: SocketAddr,
    ) -> impl Iterator<Item = (IpAddr, Cause)> + '_ {
        let of = self.entries.get(&Some(destination)).into_iter().flatten();
        of.filter_map(|(client, entry)| Some(((*client)?, entry.cause)))
    }

    pub(super) fn insert(
        &mut self,
        destination: Option<SocketAddr>,
        client: Option<IpAddr>,
        cause: Cause,
        until: Instant,
    ) {
        self.remove(destination, client);
        let of = self.entries.entry(destination).or_default();
        of.insert(client, Entry { until, cause });
        self.expiry.insert((until, destination, client));
        if let Some(client) = client {
            *self.clients.entry(client).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, destination: Option<SocketAddr>, client: Option<IpAddr>) {
        let Some(of) = self.entries.get_mut(&destination) else {
            return;
        };
        let Some(entry) = of.remove(&client) else {
            return;
        };
        if of.is_empty() {
            self.entries.remove(&destination);
        }
        self.expiry.remove(&(entry.until, destination, client));
        if let Some(client) = client
            && let Some(count) = self.clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }

    /// Forgets what has expired.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((until, destination, client)) = self.expiry.first().copied()
            && until <= now
        {
            self.remove(destination, client);
        }
    }
}
