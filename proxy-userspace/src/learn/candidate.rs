//! What is known of one pair so far.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::event::Cause;

/// The events of a pair.
#[derive(Debug)]
pub(super) struct Candidate {
    /// For each cause, in the order of [`Cause::ALL`].
    counted: [VecDeque<Instant>; Cause::ALL.len()],
    /// How many connects to anywhere had succeeded when a failed one counted last.
    pub(super) successes: u64,
    /// When a failed connect did not count, last.
    pub(super) uncounted: Option<Instant>,
    /// When anything of it was seen.
    pub(super) seen: Instant,
}

impl Candidate {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            counted: Default::default(),
            successes: 0,
            uncounted: None,
            seen: now,
        }
    }

    /// An event that counts. No more than `events` are kept.
    pub(super) fn count(&mut self, cause: Cause, now: Instant, events: u32) {
        let times = &mut self.counted[cause as usize];
        while times.len() >= events.max(1) as usize {
            times.pop_front();
        }
        times.push_back(now);
    }

    /// How many events of that kind count within the `window` up to now.
    pub(super) fn counted(&self, cause: Cause, now: Instant, window: Duration) -> u32 {
        let times = &self.counted[cause as usize];
        let counted = times
            .iter()
            .rev()
            .take_while(|time| within(**time, now, window));
        u32::try_from(counted.count()).unwrap_or(u32::MAX)
    }
}

/// Whether `time` is at most `window` ago.
pub(super) fn within(time: Instant, now: Instant, window: Duration) -> bool {
    now.saturating_duration_since(time) <= window
}
