//! The state machine: events in, lessons out.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    candidate::{Candidate, within},
    event::{Cause, Event, Kind, Lesson, Pair},
    known::Known,
    prefixes::Prefixes,
    recent::Recent,
    strays::Strays,
    table::Table,
    view::Obstacle,
};

/// What part of the room for lessons one client may fill.
const SHARE: usize = 4;

/// What it takes to learn something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether lessons come at all; what is seen is counted in any case.
    pub enabled: bool,
    /// So many events of one kind, of one client and destination, within the window.
    pub events: u32,
    /// How long an event counts, and how long what works is remembered.
    pub window: Duration,
    /// How long a lesson holds.
    pub lifetime: Duration,
    /// So many clients make a lesson for all.
    pub clients: usize,
    /// Lessons in force at once.
    pub limit: usize,
    /// Destinations and clients that are never learned.
    pub never: Prefixes,
    /// Destinations that a rule names. Learning would go around the rule.
    pub named: Prefixes,
}

/// Counts events, and says what follows from them.
#[derive(Debug)]
pub struct Learner {
    pub(super) terms: Terms,
    pub(super) table: Table,
    pub(super) known: Known,
    /// Connects to anywhere that succeeded, and when one did last.
    successes: u64,
    succeeded: Option<Instant>,
    /// Where connects succeed.
    connected: Recent,
    /// Where HTTP is spoken.
    served: Recent,
    /// Whom answers reach by other ways.
    strays: Strays,
}

impl Learner {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            table: Table::default(),
            known: Known::default(),
            successes: 0,
            succeeded: None,
            connected: Recent::default(),
            served: Recent::default(),
            strays: Strays::default(),
        }
    }

    /// Other terms from now on; what has been seen and learned stays.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// How many lessons are in force.
    #[must_use]
    pub fn lessons(&self) -> usize {
        self.known.len()
    }

    /// Takes an event in. `now` must not go back. A lesson counts as learned; [`forget`] it if
    /// nothing comes of it.
    ///
    /// [`forget`]: Self::forget
    pub fn observe(&mut self, event: &Event, now: Instant) -> Option<Lesson> {
        let window = self.terms.window;
        self.known.expire(now);
        self.table.expire(now, window);
        let pair = event.pair();
        let cause = match event.kind {
            Kind::NotHttp => Cause::NotHttp,
            Kind::ConnectFailed => Cause::ConnectFailed,
            Kind::WentAround => Cause::AsymmetricReturn,
            Kind::Connected => {
                self.strays.connected(pair.client, now, window);
                self.successes += 1;
                self.succeeded = Some(now);
                self.connected.note(pair.destination, now, window);
                return None;
            }
            Kind::Served => {
                self.served.note(pair.destination, now, window);
                return None;
            }
        };
        if self.known.covers(&pair) {
            // It had begun before that held.
            return None;
        }
        let others_work = self.succeeded.is_some_and(|last| within(last, now, window));
        let successes = self.successes;
        let candidate = self.table.see(pair, now);
        if cause == Cause::ConnectFailed {
            if !others_work || candidate.successes >= successes {
                candidate.uncounted = Some(now);
                return None;
            }
            candidate.successes = successes;
        }
        candidate.count(cause, now, self.terms.events);
        if cause == Cause::AsymmetricReturn
            && let Some(lesson) = self.stray(&pair, now)
        {
            return Some(lesson);
        }
        let (cause, events) = self.judge(&pair, now).ok()?;
        Some(self.learn(pair, cause, events, now))
    }

    /// A lesson is in force until then, learned before this learner began.
    pub fn remember(
        &mut self,
        destination: Option<SocketAddr>,
        source: Option<IpAddr>,
        reason: Cause,
        until: Instant,
    ) {
        self.known.insert(destination, source, reason, until);
    }

    /// A lesson is not in force, or not any more: what it was about may be learned again.
    pub fn forget(&mut self, destination: Option<SocketAddr>, source: Option<IpAddr>) {
        self.known.remove(destination, source);
    }

    /// Whether the pair is ripe: why, and by how many events.
    pub(super) fn judge(&self, pair: &Pair, now: Instant) -> Result<(Cause, u32), Obstacle> {
        let Terms { never, named, .. } = &self.terms;
        let destination = pair.destination.ip();
        if never.contains(destination) || never.contains(pair.client) {
            return Err(Obstacle::NeverList);
        }
        if named.contains(destination) {
            return Err(Obstacle::NamedByRule);
        }
        let Some(candidate) = self.table.get(pair) else {
            return Err(Obstacle::FewEvents);
        };
        let ripe = self.ripe(candidate, now)?;
        if !self.terms.enabled {
            return Err(Obstacle::Disabled);
        }
        // What all clients share costs less than it replaces.
        if self.widened(pair, ripe.0, now).is_none() {
            if self.known.len() >= self.terms.limit {
                return Err(Obstacle::Limit);
            }
            if self.known.of_client(pair.client) >= (self.terms.limit / SHARE).max(1) {
                return Err(Obstacle::ClientLimit);
            }
        }
        Ok(ripe)
    }

    fn ripe(&self, candidate: &Candidate, now: Instant) -> Result<(Cause, u32), Obstacle> {
        let Terms { events, window, .. } = self.terms;
        for cause in Cause::ALL {
            let counted = candidate.counted(cause, now, window);
            if counted >= events {
                return Ok((cause, counted));
            }
        }
        Err(match candidate.uncounted {
            Some(last) if within(last, now, window) => Obstacle::NoConnectWorks,
            _ => Obstacle::FewEvents,
        })
    }

    fn learn(&mut self, pair: Pair, cause: Cause, events: u32, now: Instant) -> Lesson {
        let Pair {
            client,
            destination,
        } = pair;
        let replaces = self.widened(&pair, cause, now);
        let source = replaces.is_none().then_some(client);
        let replaces = replaces.unwrap_or_default();
        for other in &replaces {
            self.known.remove(Some(destination), Some(other.client));
        }
        self.table.remove(&pair);
        let lifetime = self.terms.lifetime;
        self.known
            .insert(Some(destination), source, cause, now + lifetime);
        Lesson {
            destination: Some(destination),
            source,
            reason: cause,
            clients: replaces.len() + 1,
            events,
            lifetime,
            replaces,
        }
    }

    /// Nothing that comes back to this client passes us: an entry for all that it connects to, in
    /// place of those it has. A rule that names a destination would be gone around by it.
    fn stray(&mut self, pair: &Pair, now: Instant) -> Option<Lesson> {
        let Terms {
            enabled,
            events,
            window,
            lifetime,
            limit,
            ref never,
            ref named,
            ..
        } = self.terms;
        let Pair {
            client,
            destination,
        } = *pair;
        if never.contains(client) || never.contains(destination.ip()) {
            return None;
        }
        let enough = events as usize;
        let shown = self
            .strays
            .went_around(client, destination.ip(), now, window, enough)?;
        if !enabled || !named.is_empty() {
            return None;
        }
        let replaces = self.known.pairs_of(client);
        if replaces.is_empty() && self.known.len() >= limit {
            return None;
        }
        for other in &replaces {
            self.known.remove(Some(other.destination), Some(client));
        }
        self.table.remove_all_of(client);
        self.strays.forget(client);
        let cause = Cause::AsymmetricReturn;
        self.known.insert(None, Some(client), cause, now + lifetime);
        Some(Lesson {
            destination: None,
            source: Some(client),
            reason: cause,
            clients: 1,
            events: u32::try_from(shown).unwrap_or(u32::MAX),
            lifetime,
            replaces,
        })
    }

    /// The entries that one for all clients would stand for, if this pair is what was missing.
    fn widened(&self, pair: &Pair, cause: Cause, now: Instant) -> Option<Vec<Pair>> {
        let destination = pair.destination;
        let mut replaces = Vec::new();
        let mut works = self.works_for_somebody(destination, cause, now);
        for (client, cause) in self.known.holders(destination) {
            works |= self.works_for_somebody(destination, cause, now);
            replaces.push(Pair {
                client,
                destination,
            });
        }
        (!works && replaces.len() + 1 >= self.terms.clients.max(2)).then_some(replaces)
    }

    /// Whether somebody has had lately what others miss.
    pub(super) fn works_for_somebody(
        &self,
        destination: SocketAddr,
        cause: Cause,
        now: Instant,
    ) -> bool {
        let works = match cause {
            Cause::NotHttp => &self.served,
            Cause::ConnectFailed | Cause::AsymmetricReturn => &self.connected,
        };
        works.may_work(destination, now, self.terms.window)
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> ([usize; 3], usize, usize) {
        (
            self.table.sizes(),
            self.connected.len() + self.served.len() + self.strays.sizes().1,
            self.known.len(),
        )
    }
}
