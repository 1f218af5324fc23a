//! What has happened in the last minute: whether interception works now, whatever was before.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use proxy_ebpf::counter::Delivery as Count;
use serde_json::{Value, json};

use super::{keeper::Keeper, valves::FAMILIES};
use crate::reason::Reason;

/// So far back.
const SPAN: Duration = Duration::from_secs(60);

/// How often counters are kept.
const STEP: Duration = Duration::from_secs(5);

/// Outcomes that tell of this host.
const TELLING: [Reason; 4] = [
    Reason::NoSourcePort,
    Reason::LocalLimit,
    Reason::AsymmetricReturn,
    Reason::OriginTimeout,
];

/// Counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sample {
    /// SYNs marked, and those of them that reached the listener, by LAN and place of the family.
    syns: BTreeMap<(String, usize), (u64, u64)>,
    accepts: u64,
    outcomes: BTreeMap<&'static str, u64>,
}

/// Counters of the last minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured(VecDeque<(Instant, Sample)>);

impl Measured {
    fn is_due(&self, now: Instant) -> bool {
        let last = self.0.back();
        last.is_none_or(|(then, _)| now.duration_since(*then) >= STEP)
    }

    fn keep(&mut self, now: Instant, sample: Sample) {
        self.0.push_back((now, sample));
        // One that is older tells where the minute began.
        while self
            .0
            .get(1)
            .is_some_and(|(then, _)| now.duration_since(*then) >= SPAN)
        {
            self.0.pop_front();
        }
    }

    /// What has come since a minute ago.
    fn since(&self, now: &Sample) -> Sample {
        let none = Sample::default();
        let then = self.0.front().map_or(&none, |(_, sample)| sample);
        // An interface that was attached again counts from 0.
        let more = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
        let of = |key, (marked, delivered): (u64, u64)| {
            let (m, d) = then.syns.get(key).copied().unwrap_or_default();
            (more(marked, m), more(delivered, d))
        };
        let outcome = |word: &str, count: u64| {
            more(count, then.outcomes.get(word).copied().unwrap_or_default())
        };
        Sample {
            syns: now
                .syns
                .iter()
                .map(|(key, counts)| (key.clone(), of(key, *counts)))
                .collect(),
            accepts: more(now.accepts, then.accepts),
            outcomes: now
                .outcomes
                .iter()
                .map(|(word, count)| (*word, outcome(word, *count)))
                .collect(),
        }
    }
}

impl Keeper {
    /// Keeps the counters if it is time.
    pub(super) fn measure(&mut self) {
        let now = Instant::now();
        if self.measured.is_due(now) {
            self.measured.keep(now, self.sample());
        }
    }

    /// From now on, what was before does not count: something may have been done about it.
    pub(super) fn measure_anew(&mut self) {
        self.measured = Measured::default();
        self.measure();
    }

    /// For `weir status`.
    pub(super) fn recent(&self) -> Value {
        let recent = self.measured.since(&self.sample());
        let syns = recent
            .syns
            .iter()
            .map(|((interface, place), (marked, delivered))| {
                json!({
                    "interface": interface,
                    "family": FAMILIES[*place].1,
                    "marked": marked,
                    "delivered": delivered,
                })
            });
        json!({
            "syns": syns.collect::<Vec<_>>(),
            "accepts": recent.accepts,
            "outcomes": recent.outcomes,
        })
    }

    fn sample(&self) -> Sample {
        let mut syns = BTreeMap::new();
        for interface in self.interfaces.entrances() {
            for (place, (family, _)) in FAMILIES.into_iter().enumerate() {
                let count = |what| self.dataplane.delivery(interface.slot, family, what);
                if let (Ok(marked), Ok(delivered)) = (count(Count::Marked), count(Count::Delivered))
                {
                    syns.insert((interface.name.clone(), place), (marked, delivered));
                }
            }
        }
        let stats = self.lasting.stats.snapshot();
        let outcome = |reason: Reason| {
            let word = reason.as_str();
            (word, stats.reasons.get(word).copied().unwrap_or_default())
        };
        Sample {
            syns,
            accepts: stats.accepts,
            outcomes: TELLING.into_iter().map(outcome).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(marked: u64, delivered: u64, accepts: u64) -> Sample {
        Sample {
            syns: BTreeMap::from([(("lan0".to_owned(), 0), (marked, delivered))]),
            accepts,
            outcomes: BTreeMap::from([("no-source-port", accepts)]),
        }
    }

    #[test]
    fn only_the_last_minute_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut measured = Measured::default();
        assert_eq!(measured.since(&sample(3, 2, 1)), sample(3, 2, 1));
        assert!(measured.is_due(start));
        measured.keep(start, sample(0, 0, 0));
        assert!(!measured.is_due(at(4)));
        for step in 1..=24 {
            assert!(measured.is_due(at(step * 5)));
            measured.keep(at(step * 5), sample(step * 10, step, step));
        }
        // Two minutes have passed, 24 steps; half of it counts.
        assert_eq!(measured.since(&sample(240, 24, 24)), sample(120, 12, 12));
        assert!(measured.0.len() <= 13, "{}", measured.0.len());
    }

    #[test]
    fn an_interface_that_counts_anew() {
        let mut measured = Measured::default();
        measured.keep(Instant::now(), sample(100, 90, 5));
        assert_eq!(
            measured.since(&sample(4, 3, 7)),
            Sample {
                syns: sample(4, 3, 0).syns,
                ..sample(0, 0, 2)
            }
        );
    }
}
