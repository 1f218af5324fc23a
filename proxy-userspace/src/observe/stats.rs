//! Counters of the whole daemon.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    asymmetry::Asymmetry,
    histogram::{Buckets, Histogram},
    host::HostLabel,
};
use crate::reason::Reason;

/// What the workers have done since the start. Shared by all of them; every counter wraps at
/// 2^64 and none is ever reset.
///
/// Counters are independent of each other: a [`Snapshot`] that is taken while work goes on may
/// have one of them before and another one after a request.
#[derive(Debug, Default)]
pub struct Stats {
    accepts: AtomicU64,
    connections: AtomicU64,
    active: AtomicU64,
    requests: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    memory: AtomicU64,
    lag_ns: AtomicU64,
    reasons: Counts<{ Reason::ALL.len() }>,
    asymmetries: Counts<{ Asymmetry::ALL.len() }>,
    hosts: Counts<{ HostLabel::ALL.len() }>,
    statuses: Counts<{ STATUSES.len() }>,
    accept_to_connect: Histogram,
    connect: Histogram,
    first_byte: Histogram,
    request: Histogram,
}

/// What requests were answered with, by class; `none` had no answer.
const STATUSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// How long things took.
#[derive(Clone, Debug)]
pub struct Timings {
    /// From the accept of a client's connection to its origin's being connected: for a client
    /// that asks at once, what we add to its first answer.
    pub accept_to_connect: Buckets,
    /// From the SYN to an origin to its answer.
    pub connect: Buckets,
    /// From a request's head to the first byte of an answer.
    pub first_byte: Buckets,
    /// From a request's head to the end of its answer.
    pub request: Buckets,
}

/// One counter for each of a few words.
#[derive(Debug)]
struct Counts<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Counts<N> {
    fn count(&self, place: usize) {
        self.0[place].fetch_add(1, Relaxed);
    }

    fn get(&self, place: usize) -> u64 {
        self.0[place].load(Relaxed)
    }

    fn by_word(&self, words: impl Iterator<Item = &'static str>) -> BTreeMap<String, u64> {
        let places = words.enumerate();
        places
            .map(|(place, word)| (word.to_owned(), self.get(place)))
            .collect()
    }
}

/// A client connection that is counted as active until this is dropped.
#[derive(Debug)]
#[must_use = "the connection counts as active only while this is held"]
pub struct Active(Arc<Stats>);

/// All counters at one moment, as `weir status --json` shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Client connections.
    pub connections: Connections,
    /// Connections that the listeners took from the kernel, refused ones included.
    pub accepts: u64,
    /// Requests whose head was understood.
    pub requests: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Bytes that the buffers of all sessions hold.
    pub memory: u64,
    /// How requests, and connections that had none, ended; every reason, also those at zero.
    pub reasons: BTreeMap<String, u64>,
    /// What did not go as in the books, and was passed on all the same; every [`Asymmetry`].
    pub asymmetries: BTreeMap<String, u64>,
    /// How requests' Host went with the address that was dialled; every [`HostLabel`].
    pub hosts: BTreeMap<String, u64>,
    /// Requests by the class of the status that they were answered with.
    pub statuses: BTreeMap<String, u64>,
}

/// Client connections at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Now.
    pub active: u64,
    /// Since the start, those that are active included.
    pub total: u64,
}

impl Stats {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Counts a connection that a listener took from the kernel, whatever becomes of it.
    pub fn accepted(&self) {
        self.accepts.fetch_add(1, Relaxed);
    }

    /// Counts a client connection, which is active until the guard is dropped.
    pub fn connection(self: &Arc<Self>) -> Active {
        self.connections.fetch_add(1, Relaxed);
        self.active.fetch_add(1, Relaxed);
        Active(Arc::clone(self))
    }

    /// Client connections that are active now.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.active.load(Relaxed)
    }

    /// Connections that the listeners took from the kernel.
    #[must_use]
    pub fn accepts(&self) -> u64 {
        self.accepts.load(Relaxed)
    }

    /// Counts a request whose head was understood.
    pub fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Counts how a request, or a connection that had none, ended.
    pub fn ended(&self, reason: Reason) {
        self.reasons.count(reason as usize);
    }

    /// Counts something that did not go as in the books.
    pub fn asymmetry(&self, asymmetry: Asymmetry) {
        self.asymmetries.count(asymmetry as usize);
    }

    /// Counts how a request's Host went with the address that was dialled.
    pub fn host(&self, label: HostLabel) {
        self.hosts.count(label as usize);
    }

    /// Buffers have grown by so many bytes, or shrunk by as many if negative; how much they hold
    /// now.
    pub fn memory_changed(&self, by: i64) -> u64 {
        // Two's complement: adding a negative number wraps to less.
        let by = by.cast_unsigned();
        self.memory.fetch_add(by, Relaxed).wrapping_add(by)
    }

    /// Bytes that the buffers of all sessions hold.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// A worker was so late with what it does at regular intervals.
    pub fn late(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.lag_ns.fetch_max(by, Relaxed);
    }

    /// The most that any was late by since this was asked the last time.
    #[must_use]
    pub fn take_lag(&self) -> Duration {
        Duration::from_nanos(self.lag_ns.swap(0, Relaxed))
    }

    /// How often `reason` has been the end.
    #[must_use]
    pub fn count(&self, reason: Reason) -> u64 {
        self.reasons.get(reason as usize)
    }

    /// A request has ended that was answered with `status`, so long after its head.
    pub fn answered(&self, status: Option<u16>, after: Duration) {
        let class = status.map_or(0, |status| usize::from(status / 100));
        self.statuses
            .count(if class < STATUSES.len() { class } else { 0 });
        self.request.observe(after);
    }

    /// An origin was connected, and how long that took; so long after the client was accepted, if
    /// it is the first of this client's connection.
    pub fn connected(&self, took: Duration, since_accept: Option<Duration>) {
        self.connect.observe(took);
        if let Some(since_accept) = since_accept {
            self.accept_to_connect.observe(since_accept);
        }
    }

    /// The first byte of an answer came, so long after the request's head.
    pub fn first_byte(&self, after: Duration) {
        self.first_byte.observe(after);
    }

    /// How long things took so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        Timings {
            accept_to_connect: self.accept_to_connect.buckets(),
            connect: self.connect.buckets(),
            first_byte: self.first_byte.buckets(),
            request: self.request.buckets(),
        }
    }

    /// Adds bytes from and to a client.
    pub fn bytes(&self, from_client: u64, to_client: u64) {
        self.bytes_in.fetch_add(from_client, Relaxed);
        self.bytes_out.fetch_add(to_client, Relaxed);
    }

    /// All counters.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            connections: Connections {
                active: self.active(),
                total: self.connections.load(Relaxed),
            },
            accepts: self.accepts(),
            requests: self.requests.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            memory: self.memory(),
            reasons: self.reasons.by_word(Reason::ALL.iter().map(|r| r.as_str())),
            asymmetries: self
                .asymmetries
                .by_word(Asymmetry::ALL.iter().map(|a| a.as_str())),
            hosts: self
                .hosts
                .by_word(HostLabel::ALL.iter().map(|h| h.as_str())),
            statuses: self.statuses.by_word(STATUSES.into_iter()),
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn every_reason_has_the_slot_of_its_position() {
        for (position, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, position, "{reason}");
        }
    }

    #[test]
    fn a_connection_is_active_while_its_guard_lives() {
        let stats = Stats::new();
        let first = stats.connection();
        let second = stats.connection();
        assert_eq!(stats.active(), 2);
        drop(first);
        assert_eq!(
            stats.snapshot().connections,
            Connections {
                active: 1,
                total: 2
            }
        );
        drop(second);
        assert_eq!(
            stats.snapshot().connections,
            Connections {
                active: 0,
                total: 2
            }
        );
    }

    #[test]
    fn counters_count_what_they_say() {
        let stats = Stats::new();
        stats.accepted();
        stats.request();
        stats.request();
        stats.bytes(3, 5);
        stats.bytes(7, 11);
        stats.ended(Reason::Served);
        stats.ended(Reason::Served);
        stats.ended(Reason::NoReturnPath);
        let snapshot = stats.snapshot();
        assert_eq!((snapshot.accepts, snapshot.requests), (1, 2));
        assert_eq!((snapshot.bytes_in, snapshot.bytes_out), (10, 16));
        assert_eq!(snapshot.reasons.len(), Reason::ALL.len());
        assert_eq!(snapshot.reasons["served"], 2);
        assert_eq!(snapshot.reasons["no-return-path"], 1);
        assert_eq!(snapshot.reasons.values().sum::<u64>(), 3);
        assert_eq!(stats.count(Reason::Served), 2);
    }

    #[test]
    fn answers_are_counted_by_class() {
        let stats = Stats::new();
        for status in [
            Some(101),
            Some(200),
            Some(206),
            Some(404),
            Some(599),
            Some(699),
            None,
        ] {
            stats.answered(status, Duration::from_millis(3));
        }
        let statuses = stats.snapshot().statuses;
        let counts: Vec<_> = STATUSES.map(|class| statuses[class]).into();
        assert_eq!(counts, [2, 1, 2, 0, 1, 1], "{statuses:?}");
        assert_eq!(stats.timings().request.count, 7);
    }

    #[test]
    fn threads_lose_nothing() {
        let stats = Stats::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let _active = stats.connection();
                        stats.bytes(1, 2);
                    }
                });
            }
        });
        let snapshot = stats.snapshot();
        assert_eq!(
            snapshot.connections,
            Connections {
                active: 0,
                total: 4000
            }
        );
        assert_eq!((snapshot.bytes_in, snapshot.bytes_out), (4000, 8000));
    }

    #[test]
    fn memory_goes_up_and_down() {
        let stats = Stats::new();
        assert_eq!(stats.memory_changed(4096), 4096);
        assert_eq!(stats.memory_changed(-96), 4000);
        assert_eq!(stats.snapshot().memory, 4000);
    }

    #[test]
    fn words_count_apart() {
        let stats = Stats::new();
        stats.asymmetry(Asymmetry::Retried);
        stats.host(HostLabel::Mismatch);
        let snapshot = stats.snapshot();
        assert_eq!(snapshot.asymmetries["retried"], 1);
        assert_eq!(snapshot.asymmetries.values().sum::<u64>(), 1);
        assert_eq!(snapshot.hosts["mismatch"], 1);
        assert_eq!(snapshot.hosts["verified"], 0);
    }

    #[test]
    fn a_snapshot_travels_as_json() {
        let stats = Stats::new();
        stats.ended(Reason::Overload);
        let snapshot = stats.snapshot();
        let json = serde_json::to_value(&snapshot).unwrap();
        assert_eq!(
            json["connections"],
            serde_json::json!({"active": 0, "total": 0})
        );
        assert_eq!(json["reasons"]["overload"], 1);
        assert_eq!(serde_json::from_value::<Snapshot>(json).unwrap(), snapshot);
    }
}
