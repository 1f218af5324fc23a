//! Numbers in the text format of OpenMetrics, as Prometheus reads it.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Registry,
};

use super::histogram::Buckets;

/// `Content-Type` of what [`Exposition::text`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics at one moment, all with the prefix `weir_`.
#[derive(Debug)]
pub struct Exposition(Registry);

/// One metric with all its labels.
#[derive(Debug)]
struct Family<T> {
    kind: MetricType,
    samples: Vec<(Labels, T)>,
}

/// Names and values.
type Labels = Vec<(&'static str, String)>;

/// No exemplars are shown.
type NoExemplar = Exemplar<[(String, String); 0], u64>;

/// What a sample can be.
trait Sample: fmt::Debug + Send + Sync + 'static {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result;
}

impl Sample for f64 {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(self)
    }
}

impl Sample for u64 {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_counter(self, None::<&NoExemplar>)
    }
}

impl Sample for Buckets {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let Self {
            sum,
            count,
            buckets,
        } = self;
        encoder.encode_histogram::<[(String, String); 0]>(*sum, *count, buckets, None)
    }
}

impl<T: Sample> EncodeMetric for Family<T> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, sample) in &self.samples {
            if labels.is_empty() {
                sample.encode(&mut encoder)?;
            } else {
                sample.encode(&mut encoder.encode_family(labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

impl Default for Exposition {
    fn default() -> Self {
        Self(Registry::with_prefix("weir"))
    }
}

impl Exposition {
    /// A counter; its name gets `_total` at its end.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.add(name, help, MetricType::Counter, vec![(Vec::new(), value)]);
    }

    /// A counter for each of some words.
    pub fn counters<W: Into<String>>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (W, u64)>,
    ) {
        let samples = values.into_iter();
        let samples = samples.map(|(word, value)| (vec![(label, word.into())], value));
        self.add(name, help, MetricType::Counter, samples.collect());
    }

    /// What goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, [(Vec::new(), value)]);
    }

    /// What goes up and down, with labels.
    pub fn gauges(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let samples = values.into_iter().collect();
        self.add(name, help, MetricType::Gauge, samples);
    }

    /// How long things took.
    pub fn histogram(&mut self, name: &str, help: &str, buckets: Buckets) {
        self.add(
            name,
            help,
            MetricType::Histogram,
            vec![(Vec::new(), buckets)],
        );
    }

    fn add<T: Sample>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: Vec<(Labels, T)>,
    ) {
        self.0.register(name, help, Family { kind, samples });
    }

    /// All of them.
    ///
    /// # Errors
    ///
    /// None in practice: a string takes what is written to it.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::Histogram;

    #[test]
    fn it_is_what_prometheus_reads() {
        let mut exposition = Exposition::default();
        exposition.counter("accepts", "Accepted", 7);
        exposition.counters(
            "outcomes",
            "Ends",
            "reason",
            [("served", 3), ("tun\"nel", 0)],
        );
        exposition.gauge("memory_bytes", "Buffers", 4096.0);
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(1));
        histogram.observe(Duration::from_secs(100));
        exposition.histogram("connect_seconds", "Connects", histogram.buckets());
        let text = exposition.text().unwrap();
        for line in [
            "# HELP weir_accepts Accepted.",
            "# TYPE weir_accepts counter",
            "weir_accepts_total 7",
            "weir_outcomes_total{reason=\"served\"} 3",
            "weir_outcomes_total{reason=\"tun\\\"nel\"} 0",
            "weir_memory_bytes 4096.0",
            "weir_connect_seconds_bucket{le=\"0.0005\"} 0",
            "weir_connect_seconds_bucket{le=\"0.001\"} 1",
            "weir_connect_seconds_bucket{le=\"10.0\"} 1",
            "weir_connect_seconds_bucket{le=\"+Inf\"} 2",
            "weir_connect_seconds_count 2",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
