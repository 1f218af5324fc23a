//! What `weir top` shows: rates made of two looks, their past, and the flows by what they share.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use serde_json::Value;

use crate::cli::flows::{Flow, Sample, Sort, per_second, sort};

/// So many looks are remembered: wider than any terminal.
const PAST: usize = 512;

/// What the table lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    #[default]
    Flows,
    Clients,
    Hosts,
    /// What was decided about new flows, and how requests ended.
    Reasons,
}

impl View {
    pub(super) const ALL: [Self; 4] = [Self::Flows, Self::Clients, Self::Hosts, Self::Reasons];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Flows => "Flows",
            Self::Clients => "Clients",
            Self::Hosts => "Hosts",
            Self::Reasons => "Reasons",
        }
    }
}

/// A number that is counted, and how it grew.
#[derive(Debug, Default)]
pub(super) struct Series {
    last: Option<u64>,
    /// Per second, the latest last.
    pub(super) past: VecDeque<u64>,
}

impl Series {
    fn take(&mut self, now: u64, seconds: Option<f64>) {
        if let (Some(last), Some(seconds)) = (self.last, seconds) {
            // A daemon that has taken over counts from 0.
            let more = if now < last { now } else { now - last };
            self.past.push_back(per_second(more, seconds));
            if self.past.len() > PAST {
                self.past.pop_front();
            }
        }
        self.last = Some(now);
    }

    pub(super) fn now(&self) -> u64 {
        self.past.back().copied().unwrap_or_default()
    }
}

/// Flows that share something.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) flows: u64,
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) rate: u64,
}

/// Everything that is shown.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) status: Value,
    looked: Option<Instant>,
    sample: Option<Sample>,
    /// New flows that were intercepted; requests; octets to clients.
    pub(super) intercepted: Series,
    pub(super) requests: Series,
    pub(super) bytes: Series,
    /// By kind and reason: in total, and per second.
    pub(super) reasons: BTreeMap<(&'static str, String), Series>,
    pub(super) view: View,
    pub(super) sort: usize,
    /// What is looked for in clients, origins and hosts.
    pub(super) filter: String,
    /// Whether the filter is being typed.
    pub(super) typing: bool,
    pub(super) selected: usize,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The flow that is to be killed, if that is confirmed.
    pub(super) doomed: Option<u64>,
    pub(super) message: Option<String>,
}

/// The orders that the keys go through.
pub(super) const SORTS: [(Sort, &str); 6] = [
    (Sort::Rate, "rate"),
    (Sort::Bytes, "bytes"),
    (Sort::Age, "age"),
    (Sort::Requests, "requests"),
    (Sort::Client, "client"),
    (Sort::Host, "host"),
];

impl Model {
    /// Another look.
    pub(super) fn take(&mut self, status: Value, sample: Sample, now: Instant) {
        let seconds = self.looked.map(|then| (now - then).as_secs_f64().max(1e-3));
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        self.intercepted
            .take(number(&status["flows"]["intercepted"]), seconds);
        self.requests.take(number(&status["requests"]), seconds);
        self.bytes.take(number(&status["bytes_out"]), seconds);
        for kind in ["flows", "outcomes"] {
            for (reason, count) in status[kind].as_object().into_iter().flatten() {
                let series = self.reasons.entry((kind, reason.clone())).or_default();
                series.take(number(count), seconds);
            }
        }
        self.sample = Some(match &self.sample {
            Some(before) => sample.since(before),
            None => sample,
        });
        self.status = status;
        self.looked = Some(now);
    }

    /// The flows that the filter lets through, in the order that is chosen.
    pub(super) fn flows(&self) -> Vec<Flow> {
        let wanted = self.filter.to_lowercase();
        let shown = |flow: &&Flow| {
            let host = flow.host.as_deref().unwrap_or_default().to_lowercase();
            host.contains(&wanted)
                || flow.client.to_string().contains(&wanted)
                || flow.origin.to_string().contains(&wanted)
        };
        let all = self.sample.iter().flat_map(|sample| &sample.flows);
        let mut flows: Vec<_> = all.filter(shown).cloned().collect();
        sort(&mut flows, SORTS[self.sort % SORTS.len()].0);
        flows
    }

    /// The same by client or host, the largest first.
    pub(super) fn groups(&self) -> Vec<Group> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for flow in self.flows() {
            let name = match self.view {
                View::Hosts => flow.host.clone().unwrap_or_else(|| "-".to_owned()),
                _ => flow.client.ip().to_string(),
            };
            let group = groups.entry(name.clone()).or_default();
            group.name = name;
            group.flows += 1;
            group.requests += flow.requests;
            group.bytes += flow.bytes();
            group.rate += flow.rate_in.unwrap_or(0) + flow.rate_out.unwrap_or(0);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse((group.rate, group.bytes, group.flows)));
        groups
    }

    /// Reasons that have ever counted: kind, word, in total, per second; the busiest first.
    pub(super) fn counted(&self) -> Vec<(&'static str, &str, u64, u64)> {
        let all = self.reasons.iter();
        let mut counted: Vec<_> = all
            .map(|((kind, word), it)| (*kind, word.as_str(), it.last.unwrap_or(0), it.now()))
            .filter(|(_, _, total, _)| *total > 0)
            .collect();
        counted.sort_by_key(|(kind, _, total, rate)| (*kind, std::cmp::Reverse((*rate, *total))));
        counted
    }

    /// Rows of the table.
    pub(super) fn rows(&self) -> usize {
        match self.view {
            View::Flows => self.flows().len(),
            View::Clients | View::Hosts => self.groups().len(),
            View::Reasons => self.counted().len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::cli::flows::sample_of;

    fn status(requests: u64) -> Value {
        json!({ "requests": requests, "bytes_out": requests * 1000,
                "flows": { "intercepted": requests, "canary": 0 },
                "outcomes": { "served": requests } })
    }

    #[test]
    fn rates_are_what_came_between_two_looks() {
        let (mut model, start) = (Model::default(), Instant::now());
        model.take(status(100), sample_of(start, &[(1, "a", 0)]), start);
        assert_eq!(model.requests.past.len(), 0);
        let later = start + Duration::from_secs(2);
        model.take(status(150), sample_of(later, &[(1, "a", 4000)]), later);
        assert_eq!(model.requests.now(), 25);
        assert_eq!(model.bytes.now(), 25_000);
        assert_eq!(model.flows()[0].rate_out, Some(2000));
        assert_eq!(model.counted().len(), 2, "what is 0 is left out");
        // Another process counts from 0.
        let last = later + Duration::from_secs(1);
        model.take(status(10), sample_of(last, &[]), last);
        assert_eq!(model.requests.now(), 10);
    }

    #[test]
    fn flows_are_filtered_and_grouped() {
        let (mut model, now) = (Model::default(), Instant::now());
        let flows = [
            (1, "one.example", 10),
            (2, "two.example", 20),
            (3, "one.example", 30),
        ];
        model.take(status(1), sample_of(now, &flows), now);
        model.view = View::Hosts;
        let groups = model.groups();
        assert_eq!(
            (groups[0].name.as_str(), groups[0].flows),
            ("one.example", 2)
        );
        assert_eq!(groups[0].bytes, 40);
        model.filter = "TWO".to_owned();
        assert_eq!(model.groups().len(), 1);
        model.view = View::Flows;
        assert_eq!(model.rows(), 1);
    }
}
