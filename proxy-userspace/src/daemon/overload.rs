//! When new flows had better go direct: what is measured, and what it is compared with.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::keeper::Keeper;
use crate::{config::OnOverload, sys::socket};

/// What can reach its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Measure {
    /// `limits.connections`
    Connections,
    /// `limits.memory`
    Memory,
    /// Room for translated connections.
    Translations,
    /// `limits.accept_queue`
    AcceptQueue,
    /// `limits.worker_lag`, in milliseconds.
    WorkerLag,
}

impl Measure {
    /// The key, or what comes nearest to it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Memory => "memory",
            Self::Translations => "translations",
            Self::AcceptQueue => "accept-queue",
            Self::WorkerLag => "worker-lag",
        }
    }

    /// Whether it is time: for what grows while new flows are on their way here, that is a part of
    /// the limit.
    const fn is_reached(self, value: u64, limit: u64) -> bool {
        match self {
            Self::Connections | Self::Memory | Self::Translations => value >= eighths(limit, 7),
            Self::AcceptQueue | Self::WorkerLag => value >= limit,
        }
    }

    /// Whether it is over, once it was reached: well below, or it would flap.
    const fn is_over(self, value: u64, limit: u64) -> bool {
        match self {
            Self::Connections | Self::Memory | Self::Translations => value <= eighths(limit, 6),
            Self::AcceptQueue | Self::WorkerLag => value <= limit / 2,
        }
    }
}

/// At least 1: a limit of 1 is reached by the first.
const fn eighths(limit: u64, eighths: u64) -> u64 {
    let part = limit / 8 * eighths + limit % 8 * eighths / 8;
    if part == 0 && eighths == 7 { 1 } else { part }
}

/// Clients can cause an overload as often as they like; it is told no oftener than this.
const QUIET: Duration = Duration::from_secs(10);

/// What a worker was late by counts for so long: it says so five times in `heartbeat_stale`.
const REMEMBERED: Duration = Duration::from_secs(1);

/// What is beyond its limit.
#[derive(Default)]
pub(super) struct Overload {
    reached: BTreeSet<Measure>,
    told: Option<Instant>,
    lag: Option<(Instant, Duration)>,
    /// With the limits.
    measured: BTreeMap<Measure, (u64, u64)>,
}

impl Overload {
    /// Looks at all measures with their limits. Whether any is beyond its limit.
    fn look(&mut self, measures: &BTreeMap<Measure, (u64, u64)>) -> bool {
        for (&measure, &(value, limit)) in measures {
            if self.reached.contains(&measure) {
                if measure.is_over(value, limit) {
                    self.reached.remove(&measure);
                }
            } else if measure.is_reached(value, limit) {
                self.reached.insert(measure);
            }
        }
        !self.reached.is_empty()
    }

    /// What was measured last, and its limit.
    pub(super) fn measured(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        let all = self.measured.iter();
        all.map(|(measure, (value, limit))| (measure.as_str(), *value, *limit))
    }

    /// What is beyond its limit.
    pub(super) fn reached(&self) -> impl Iterator<Item = &'static str> {
        self.reached.iter().map(|measure| measure.as_str())
    }

    /// The most that a worker was late by of late.
    fn lag(&mut self, now: Instant, lag: Duration) -> Duration {
        match self.lag {
            Some((then, before)) if before > lag && now - then < REMEMBERED => before,
            _ => {
                self.lag = Some((now, lag));
                lag
            }
        }
    }
}

impl Keeper {
    /// Whether new flows should go direct.
    pub(super) fn overloaded(&mut self) -> bool {
        let before = !self.overload.reached.is_empty();
        let measures = self.measures();
        let reached = self.overload.look(&measures);
        let quiet = self
            .overload
            .told
            .is_some_and(|then| then.elapsed() < QUIET);
        if reached && !before && !quiet {
            let reached: Vec<_> = self.overload.reached().collect();
            let queue = self.options.config.intercept.on_overload == OnOverload::Queue;
            tracing::warn!(
                reached = reached.join(","),
                ?measures,
                "overloaded: new flows {}",
                if queue { "wait" } else { "go direct" }
            );
            self.overload.told = Some(Instant::now());
        }
        self.overload.measured = measures;
        reached && self.options.config.intercept.on_overload == OnOverload::Open
    }

    fn measures(&mut self) -> BTreeMap<Measure, (u64, u64)> {
        let limits = &self.options.config.limits;
        let stats = &self.lasting.stats;
        let waiting = self.listeners.iter().flatten().map(|(_, listener)| {
            // One that cannot be asked tells nothing.
            socket::accept_queue(listener).unwrap_or_default()
        });
        let waiting = u64::from(waiting.max().unwrap_or_default());
        let lag = self.overload.lag(Instant::now(), stats.take_lag());
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        BTreeMap::from([
            (
                Measure::Connections,
                (stats.active(), self.connections as u64),
            ),
            (Measure::Memory, (stats.memory(), limits.memory as u64)),
            (
                Measure::Translations,
                (
                    u64::from(self.translations.count()),
                    u64::from(self.translations.capacity()),
                ),
            ),
            (Measure::AcceptQueue, (waiting, limits.accept_queue as u64)),
            (Measure::WorkerLag, (ms(lag), ms(limits.worker_lag))),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(overload: &mut Overload, measure: Measure, value: u64, limit: u64) -> bool {
        overload.look(&BTreeMap::from([(measure, (value, limit))]))
    }

    #[test]
    fn what_is_reached_is_over_well_below() {
        for (measure, on, off) in [
            (Measure::Connections, 875, 750),
            (Measure::Memory, 875, 750),
            (Measure::Translations, 875, 750),
            (Measure::AcceptQueue, 1000, 500),
            (Measure::WorkerLag, 1000, 500),
        ] {
            let mut overload = Overload::default();
            assert!(!look(&mut overload, measure, on - 1, 1000), "{measure:?}");
            assert!(look(&mut overload, measure, on, 1000), "{measure:?}");
            assert!(look(&mut overload, measure, off + 1, 1000), "{measure:?}");
            assert!(!look(&mut overload, measure, off, 1000), "{measure:?}");
            assert!(!look(&mut overload, measure, on - 1, 1000), "{measure:?}");
        }
    }

    #[test]
    fn small_limits_are_limits() {
        for limit in 1..8 {
            let mut overload = Overload::default();
            assert!(!look(&mut overload, Measure::Connections, 0, limit));
            assert!(look(&mut overload, Measure::Connections, limit, limit));
            assert!(!look(&mut overload, Measure::Connections, 0, limit));
        }
    }

    #[test]
    fn one_that_is_over_does_not_end_another() {
        let mut overload = Overload::default();
        assert!(look(&mut overload, Measure::Memory, 1000, 1000));
        assert!(look(&mut overload, Measure::WorkerLag, 5000, 1000));
        assert!(look(&mut overload, Measure::Memory, 0, 1000));
        assert_eq!(overload.reached().collect::<Vec<_>>(), ["worker-lag"]);
        assert!(!look(&mut overload, Measure::WorkerLag, 0, 1000));
    }

    #[test]
    fn a_worker_that_was_late_is_remembered_for_a_while() {
        let mut overload = Overload::default();
        let (now, late) = (Instant::now(), Duration::from_millis(700));
        assert_eq!(overload.lag(now, late), late);
        let soon = now + Duration::from_millis(900);
        assert_eq!(overload.lag(soon, Duration::ZERO), late);
        let later = now + Duration::from_millis(1100);
        assert_eq!(overload.lag(later, Duration::ZERO), Duration::ZERO);
    }
}
