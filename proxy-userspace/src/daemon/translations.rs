//! Keeping room for translated (NAT) connections.

use std::time::{Duration, Instant};

use super::keeper::Keeper;

/// How often the map is looked at, at most, while there is anything in it.
const INTERVAL: Duration = Duration::from_secs(1);

/// A look takes less than this part of the time, however many there are: no packet is received on
/// its CPU meanwhile.
const PART: u32 = 100;

/// For each connection of a client: some of ours linger in TIME_WAIT.
const ROOM: usize = 4;

/// How many there may be.
pub(super) fn capacity(connections: usize) -> u32 {
    u32::try_from(connections.saturating_mul(ROOM))
        .unwrap_or(u32::MAX)
        .clamp(1 << 12, 1 << 20)
}

/// What the keeper knows of them.
pub(super) struct Translations {
    capacity: u32,
    /// When the map is to be looked at again.
    next: Option<Instant>,
    /// How many there were at the last look.
    count: u32,
}

impl Translations {
    pub(super) const fn new(capacity: u32) -> Self {
        Self {
            capacity,
            next: None,
            count: 0,
        }
    }

    /// How many there may be.
    pub(super) const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many there were at the last look.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }
}

impl Keeper {
    /// Forgets those whose connection is over; if more than half of the room is used, those in
    /// TIME_WAIT as well.
    pub(super) fn tend_translations(&mut self) {
        let known = &mut self.translations;
        let now = Instant::now();
        if known.next.is_some_and(|next| now < next) {
            return;
        }
        let crowded = known.count > known.capacity / 2;
        let count = match self.dataplane.translates() {
            Ok(false) => Ok(0),
            Ok(true) => self.dataplane.sweep_translations(crowded),
            Err(error) => Err(error),
        };
        match count {
            Ok(count) => known.count = count,
            Err(error) => tracing::error!(%error, "translations may fill up"),
        }
        known.next = Some(now + INTERVAL.max(now.elapsed() * PART));
    }
}
