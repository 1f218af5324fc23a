//! What can be seen of a flow from outside while its session serves it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::observe::Stats;

/// Bytes of a long transfer are added to the daemon's counters in portions of this size, rather
/// than all at its end.
const PORTION: u64 = 256 * 1024;

/// Longer names are cut: anybody can ask for anything.
const LONGEST_HOST: usize = 256;

/// What a session is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waiting for a request, or reading its head.
    Request,
    /// Connecting the origin.
    Connecting,
    /// Within an exchange.
    Exchange,
    /// A tunnel.
    Tunnel,
    /// Ending.
    Closing,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Request,
        Self::Connecting,
        Self::Exchange,
        Self::Tunnel,
        Self::Closing,
    ];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Connecting => "connecting",
            Self::Exchange => "exchange",
            Self::Tunnel => "tunnel",
            Self::Closing => "closing",
        }
    }
}

/// One worker writes them, others may read at any time.
#[derive(Debug)]
pub(super) struct Vitals {
    pub(super) began: Instant,
    was_connected: AtomicBool,
    state: AtomicU8,
    requests: AtomicU32,
    up: Bytes,
    down: Bytes,
    host: Mutex<Option<Box<str>>>,
}

/// Bytes of one direction.
#[derive(Debug, Default)]
struct Bytes {
    moved: AtomicU64,
    /// Of the request under way, those that the daemon's counters have already.
    counted: AtomicU64,
    /// Those that they do not have yet.
    pending: AtomicU64,
}

impl Bytes {
    /// So many more; a portion of them when it is full.
    fn add(&self, bytes: u64) -> Option<u64> {
        // Nobody else writes.
        let add = |to: &AtomicU64, more| {
            let sum = to.load(Relaxed).wrapping_add(more);
            to.store(sum, Relaxed);
            sum
        };
        add(&self.moved, bytes);
        let pending = add(&self.pending, bytes);
        (pending >= PORTION).then(|| {
            self.pending.store(0, Relaxed);
            add(&self.counted, pending);
            pending
        })
    }

    /// What is left to count of a request that moved `total`.
    fn settle(&self, total: u64) -> u64 {
        self.pending.store(0, Relaxed);
        let counted = self.counted.load(Relaxed);
        // More may have been counted than came to be the request's: bytes that were read and
        // belong to the next one. They are taken off that one.
        self.counted.store(counted.saturating_sub(total), Relaxed);
        total.saturating_sub(counted)
    }
}

impl Vitals {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            was_connected: AtomicBool::new(false),
            state: AtomicU8::new(State::Request as u8),
            requests: AtomicU32::new(0),
            up: Bytes::default(),
            down: Bytes::default(),
            host: Mutex::new(None),
        }
    }

    /// An origin is connected: the age of the flow, if it is the first.
    pub(super) fn first_connect(&self) -> Option<Duration> {
        let first = !self.was_connected.swap(true, Relaxed);
        first.then(|| self.began.elapsed())
    }

    pub(super) fn enter(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    pub(super) fn state(&self) -> State {
        State::ALL[usize::from(self.state.load(Relaxed))]
    }

    /// A request for this host has come.
    pub(super) fn request(&self, host: Option<&str>) {
        self.requests.fetch_add(1, Relaxed);
        self.named(host);
    }

    /// The origin goes by this name.
    pub(super) fn named(&self, host: Option<&str>) {
        let mut named = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        // Mostly it is the same again.
        if named.as_deref() != host {
            *named = host.map(|host| host[..host.floor_char_boundary(LONGEST_HOST)].into());
        }
    }

    /// The client has sent so many bytes.
    pub(super) fn sent(&self, bytes: usize, stats: &Stats) {
        if let Some(portion) = self.up.add(bytes as u64) {
            stats.bytes(portion, 0);
        }
    }

    /// It was sent so many.
    pub(super) fn received(&self, bytes: usize, stats: &Stats) {
        if let Some(portion) = self.down.add(bytes as u64) {
            stats.bytes(0, portion);
        }
    }

    /// A request is over that moved so many in all: what is left to count of them.
    pub(super) fn settle(&self, up: u64, down: u64) -> (u64, u64) {
        (self.up.settle(up), self.down.settle(down))
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// From the client, to the client.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.up.moved.load(Relaxed), self.down.moved.load(Relaxed))
    }

    pub(super) fn host(&self) -> Option<Box<str>> {
        let named = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        named.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_the_place_of_its_position() {
        for (position, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, position);
        }
    }

    #[test]
    fn a_long_transfer_is_counted_as_it_goes_and_only_once() {
        let (stats, vitals) = (Stats::new(), Vitals::new());
        for _ in 0..10 {
            vitals.received(100_000, &stats);
            vitals.sent(10, &stats);
        }
        let early = stats.snapshot();
        assert!(early.bytes_out >= 700_000, "{}", early.bytes_out);
        assert!(early.bytes_out <= 1_000_000, "{}", early.bytes_out);
        assert_eq!(early.bytes_in, 0);
        let (up, down) = vitals.settle(100, 1_000_000);
        stats.bytes(up, down);
        let end = stats.snapshot();
        assert_eq!((end.bytes_in, end.bytes_out), (100, 1_000_000));
        assert_eq!(vitals.moved(), (100, 1_000_000));
        // The next one begins anew.
        assert_eq!(vitals.settle(5, 7), (5, 7));
    }

    #[test]
    fn what_was_read_for_the_next_request_counts_there() {
        let (stats, vitals) = (Stats::new(), Vitals::new());
        vitals.sent(1_000_000, &stats);
        assert_eq!(vitals.settle(400_000, 0), (0, 0));
        assert_eq!(vitals.settle(600_000, 0), (0, 0));
        assert_eq!(stats.snapshot().bytes_in, 1_000_000);
    }

    #[test]
    fn a_name_is_cut_at_a_character() {
        let vitals = Vitals::new();
        vitals.request(Some(&"ä".repeat(200)));
        assert_eq!(vitals.host().unwrap().chars().count(), 128);
        assert_eq!(vitals.requests(), 1);
        vitals.request(None);
        assert_eq!(vitals.host(), None);
    }
}
