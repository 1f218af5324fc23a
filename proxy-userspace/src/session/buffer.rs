//! Read buffers whose memory is counted.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use bytes::BytesMut;

use crate::observe::Stats;

/// What all sessions may hold together.
#[derive(Clone)]
pub(super) struct Meter {
    stats: Arc<Stats>,
    limit: u64,
}

impl Meter {
    pub(super) fn new(stats: Arc<Stats>, limit: u64) -> Self {
        Self { stats, limit }
    }

    /// Is the limit reached? Then whoever can do with less does.
    pub(super) fn is_full(&self) -> bool {
        self.stats.memory() >= self.limit
    }

    /// Counts `bytes` that outlive their buffer, such as a head that is still needed.
    pub(super) fn hold(&self, bytes: usize) -> Held {
        let mut held = Held {
            meter: self.clone(),
            bytes: 0,
        };
        held.set(bytes);
        held
    }
}

/// Counted memory.
pub(super) struct Held {
    meter: Meter,
    bytes: usize,
}

impl Held {
    fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            let change = signed(bytes) - signed(self.bytes);
            self.meter.stats.memory_changed(change);
            self.bytes = bytes;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Bytes that were read and not used yet.
pub(super) struct Buffer {
    bytes: BytesMut,
    held: Held,
}

impl Buffer {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            bytes: BytesMut::new(),
            held: meter.hold(0),
        }
    }

    /// Makes room for `size` bytes more; for `least` if memory is short.
    pub(super) fn make_room(&mut self, size: usize, least: usize) {
        let size = if self.held.meter.is_full() {
            least
        } else {
            size
        };
        self.bytes.reserve(size);
        self.held.set(self.bytes.capacity());
    }

    /// Gives an empty buffer's memory back.
    pub(super) fn release(&mut self) {
        if self.bytes.is_empty() && self.held.bytes > 0 {
            self.bytes = BytesMut::new();
            self.held.set(0);
        }
    }

    /// Does it hold more than a small head although memory is short?
    pub(super) fn is_too_much(&self, small: usize) -> bool {
        self.bytes.len() > small && self.held.meter.is_full()
    }
}

impl Deref for Buffer {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_and_given_back() {
        let stats = Stats::new();
        let meter = Meter::new(Arc::clone(&stats), 10_000);
        let mut buffer = Buffer::new(&meter);
        buffer.make_room(4096, 512);
        assert!(stats.memory() >= 4096);
        let held = meter.hold(8000);
        assert!(meter.is_full());
        buffer.extend_from_slice(&[0; 2000]);
        assert!(buffer.is_too_much(1000) && !buffer.is_too_much(2000));
        drop(held);
        assert!(!meter.is_full() && !buffer.is_too_much(1000));
        buffer.release();
        assert!(stats.memory() > 0, "it is not empty");
        buffer.clear();
        buffer.release();
        assert_eq!(stats.memory(), 0);
        buffer.make_room(100, 100);
        drop(buffer);
        assert_eq!(stats.memory(), 0);
    }

    #[test]
    fn short_memory_makes_small_rooms() {
        let meter = Meter::new(Stats::new(), 0);
        let mut buffer = Buffer::new(&meter);
        buffer.make_room(65_536, 512);
        assert!(buffer.capacity() < 65_536);
    }
}
