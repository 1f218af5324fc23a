//! The candidates, no more than there is room for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    candidate::{Candidate, within},
    event::Pair,
};

/// Candidates in total.
pub(super) const CAPACITY: usize = 64 * 1024;

/// Candidates of one client.
pub(super) const PER_CLIENT: usize = 512;

/// How many that are too old go with each event: more than one, so that they do go.
const EXPIRED_AT_ONCE: usize = 4;

/// Candidates by pair. Where there is no room, a client's own go first, then whoever was not seen
/// for longest.
#[derive(Debug, Default)]
pub(super) struct Table {
    pairs: HashMap<Pair, Numbered>,
    /// From the one that was seen longest ago.
    order: BTreeMap<u64, Pair>,
    /// The same for each client.
    clients: HashMap<IpAddr, BTreeSet<(u64, SocketAddr)>>,
    next: u64,
}

#[derive(Debug)]
struct Numbered {
    number: u64,
    candidate: Candidate,
}

impl Table {
    /// The candidate, seen now. It is made, and room for it, if there is none.
    pub(super) fn see(&mut self, pair: Pair, now: Instant) -> &mut Candidate {
        let mut candidate = match self.remove(&pair) {
            Some(candidate) => candidate,
            None => {
                self.make_room(pair.client);
                Candidate::new(now)
            }
        };
        candidate.seen = now;
        let number = self.next;
        self.next += 1;
        self.order.insert(number, pair);
        let own = self.clients.entry(pair.client).or_default();
        own.insert((number, pair.destination));
        let numbered = Numbered { number, candidate };
        &mut self
            .pairs
            .entry(pair)
            .insert_entry(numbered)
            .into_mut()
            .candidate
    }

    pub(super) fn get(&self, pair: &Pair) -> Option<&Candidate> {
        self.pairs.get(pair).map(|numbered| &numbered.candidate)
    }

    pub(super) fn remove(&mut self, pair: &Pair) -> Option<Candidate> {
        let Numbered { number, candidate } = self.pairs.remove(pair)?;
        self.order.remove(&number);
        if let Some(own) = self.clients.get_mut(&pair.client) {
            own.remove(&(number, pair.destination));
            if own.is_empty() {
                self.clients.remove(&pair.client);
            }
        }
        Some(candidate)
    }

    /// Lets go of what a client has shown.
    pub(super) fn remove_all_of(&mut self, client: IpAddr) {
        for (_, destination) in self.clients.get(&client).cloned().unwrap_or_default() {
            self.remove(&Pair {
                client,
                destination,
            });
        }
    }

    /// Lets go of what was not seen within the window, a few at a time.
    pub(super) fn expire(&mut self, now: Instant, window: Duration) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(pair) = self.order.first_key_value().map(|(_, pair)| *pair) else {
                return;
            };
            if self
                .get(&pair)
                .is_some_and(|candidate| within(candidate.seen, now, window))
            {
                return;
            }
            self.remove(&pair);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Pair, &Candidate)> {
        self.pairs
            .iter()
            .map(|(pair, numbered)| (pair, &numbered.candidate))
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 3] {
        let own = self.clients.values().map(BTreeSet::len).sum();
        [self.pairs.len(), self.order.len(), own]
    }

    fn make_room(&mut self, client: IpAddr) {
        let own = self.clients.get(&client);
        let own = own
            .filter(|own| own.len() >= PER_CLIENT)
            .and_then(BTreeSet::first);
        let victim = match own {
            Some((_, destination)) => Some(Pair {
                client,
                destination: *destination,
            }),
            None if self.pairs.len() >= CAPACITY => self.order.values().next().copied(),
            None => None,
        };
        if let Some(victim) = victim {
            self.remove(&victim);
        }
    }
}
