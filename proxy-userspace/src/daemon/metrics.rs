//! What Prometheus is told; `docs/METRICS.md` has every name.

use anyhow::Result;
use proxy_ebpf::{counter::Event, verdict::Reason};
use serde_json::Value;

use super::keeper::Keeper;
use crate::{config::Config, control::Answer, observe::Exposition};

impl Keeper {
    /// Listens for Prometheus where that configuration says.
    pub(super) fn export(&mut self, config: &Config) -> Result<()> {
        let Some(exporter) = &mut self.exporter else {
            return Ok(());
        };
        let address = config.metrics.listen;
        exporter.listen(address).map_err(|error| {
            let at = address.map(|at| at.to_string()).unwrap_or_default();
            anyhow::anyhow!("metrics.listen: cannot listen at {at}: {error}")
        })
    }

    pub(super) fn metrics(&self) -> Answer {
        match self.exposition() {
            Ok(text) => Answer::Done(Value::String(text)),
            Err(error) => Answer::failed(error),
        }
    }

    fn exposition(&self) -> Result<String> {
        let mut it = Exposition::default();
        self.expose_daemon(&mut it);
        self.expose_kernel(&mut it)?;
        self.expose_sessions(&mut it);
        self.expose_lists(&mut it);
        Ok(it.text()?)
    }

    fn expose_daemon(&self, it: &mut Exposition) {
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        it.gauges("build_info", "This daemon's version", [(version, 1.0)]);
        let uptime = self.started.elapsed().as_secs_f64();
        it.gauge("uptime_seconds", "Since the daemon's start", uptime);
        it.gauge("workers", "Worker threads", self.workers.into());
        let draining = u8::from(self.stopping.is_some());
        it.gauge("draining", "1 while the daemon stops", draining.into());
        let generations = self.generations.streams().count();
        it.gauge(
            "generations",
            "Earlier daemons whose connections have not ended yet",
            float(generations as u64),
        );
        let earlier = self.generations.active();
        it.gauge(
            "generations_connections",
            "Connections that they have",
            float(earlier),
        );
        let valves = self.open_valves().len();
        it.gauge("valves_open", "Valves that are open", float(valves as u64));
        let warnings = self.warnings.len();
        it.gauge(
            "warnings",
            "Warnings of weir status",
            float(warnings as u64),
        );
        let labels = |name: &str| vec![("measure", name.to_owned())];
        let load = || self.overload.measured();
        it.gauges(
            "load",
            "What can reach a limit, in the limit's unit",
            load().map(|(name, value, _)| (labels(name), float(value))),
        );
        it.gauges(
            "load_limit",
            "The limit, beyond which new flows go direct",
            load().map(|(name, _, limit)| (labels(name), float(limit))),
        );
        it.gauges(
            "interface_attached",
            "1 if the interface is there and its program attached",
            self.interfaces.iter().map(|interface| {
                let labels = vec![
                    ("interface", interface.name.clone()),
                    ("role", interface.role_name().to_owned()),
                ];
                (labels, if interface.place.is_some() { 1.0 } else { 0.0 })
            }),
        );
    }

    fn expose_kernel(&self, it: &mut Exposition) -> Result<()> {
        let counters = self.dataplane.counters()?;
        let flows = Reason::ALL.map(|reason| (reason.as_str(), counters.flow(reason)));
        it.counters(
            "flows",
            "New flows of clients, by what was decided",
            "reason",
            flows,
        );
        let packets = Event::ALL.map(|event| (event.as_str(), counters.event(event)));
        it.counters("packets", "Packets, by event", "event", packets);
        Ok(())
    }

    fn expose_sessions(&self, it: &mut Exposition) {
        let stats = self.lasting.stats.snapshot();
        it.counter("accepts", "Connections accepted", stats.accepts);
        let connections = stats.connections;
        it.counter("connections", "Connections served", connections.total);
        let active = float(connections.active);
        it.gauge("connections_active", "Connections now", active);
        it.counters(
            "requests",
            "Requests that have ended, by class of the status",
            "status",
            stats.statuses,
        );
        it.counters(
            "outcomes",
            "How requests, and connections without one, ended",
            "reason",
            stats.reasons,
        );
        it.counters(
            "asymmetries",
            "What did not go as in the books and was passed on",
            "kind",
            stats.asymmetries,
        );
        it.counters(
            "host_checks",
            "How Host went with the address dialled",
            "result",
            stats.hosts,
        );
        let bytes = [("in", stats.bytes_in), ("out", stats.bytes_out)];
        it.counters(
            "client_bytes",
            "Bytes from (in) and to (out) clients",
            "direction",
            bytes,
        );
        it.gauge(
            "buffer_bytes",
            "In the buffers of all sessions",
            float(stats.memory),
        );
        let timings = self.lasting.stats.timings();
        for (name, help, buckets) in [
            (
                "accept_to_connect_seconds",
                "From a client's accept to its first origin's being connected",
                timings.accept_to_connect,
            ),
            (
                "origin_connect_seconds",
                "From the SYN to an origin to its answer",
                timings.connect,
            ),
            (
                "first_byte_seconds",
                "From a request's head to the first byte of its answer",
                timings.first_byte,
            ),
            (
                "request_seconds",
                "From a request's head to the end of its answer",
                timings.request,
            ),
        ] {
            it.histogram(name, help, buckets);
        }
        let lost = self.lasting.log.lost();
        it.counter(
            "log_lines_lost",
            "Lines of the access log that were lost",
            lost,
        );
    }

    fn expose_lists(&self, it: &mut Exposition) {
        let entries = self.lists.len();
        it.gauge(
            "bypass_entries",
            "Entries of the bypass lists",
            float(entries as u64),
        );
        let lessons = self.learner.lessons();
        it.gauge(
            "learned_entries",
            "Of these, learned",
            float(lessons as u64),
        );
        let lost = self.lasting.reports.lost();
        it.counter("learn_events_lost", "Events that the learner missed", lost);
    }
}

/// Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no gauge comes near 2^53")]
const fn float(value: u64) -> f64 {
    value as f64
}
