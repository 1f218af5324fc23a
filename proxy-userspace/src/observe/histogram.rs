//! How long things take, in buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the buckets, microseconds: what a LAN and what a bad uplink take can be told
/// apart from each other by three buckets at least.
const BOUNDS: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// Counts durations. Shared by all workers.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One more than there are bounds: what is above them all.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// Seconds, all together.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
    /// Upper bound in seconds, the last one infinite, and how many were in this bucket alone.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| *bound < us);
        self.buckets[place].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn buckets(&self) -> Buckets {
        let bounds = BOUNDS.iter().map(|us| Duration::from_micros(*us));
        let bounds = bounds.map(|bound| bound.as_secs_f64());
        let counts = self.buckets.iter().map(|count| count.load(Relaxed));
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        Buckets {
            sum: Duration::from_micros(self.sum_us.load(Relaxed)).as_secs_f64(),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_it_fits_in() {
        let histogram = Histogram::default();
        for us in [0, 100, 101, 1_000_000, 10_000_000, 10_000_001] {
            histogram.observe(Duration::from_micros(us));
        }
        let seen = histogram.buckets();
        assert_eq!(seen.count, 6);
        assert!((seen.sum - 21.000_202).abs() < 1e-9, "{}", seen.sum);
        let in_bucket = |bound: f64| {
            let found = seen.buckets.iter().find(|(it, _)| *it >= bound);
            found.map(|(_, count)| *count)
        };
        assert_eq!(in_bucket(0.0001), Some(2));
        assert_eq!(in_bucket(0.00025), Some(1));
        assert_eq!(in_bucket(1.0), Some(1));
        assert_eq!(in_bucket(10.0), Some(1));
        assert_eq!(in_bucket(f64::INFINITY), Some(1));
    }
}
