//! From the configuration to what programs and sessions are told.

use std::sync::Arc;

use proxy_ebpf::{
    abi::{MAX_PORTS, MAX_WORKERS},
    settings::{FAMILY_IPV4, FAMILY_IPV6, MODE_ENFORCE, MODE_SHADOW, Settings},
};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, AccessTarget, Config, LogFormat, LogQuery, Mode, OnOverload, SpoofSource, Ttl},
    http::HeadLimits,
    learn::Reports,
    netconf::delivery::Plan,
    observe::{AccessLog, Format, JOURNAL_SOCKET, Sink, Stats, Style},
    policy::Policy,
    session::{Clients, Flows, Patience, Shared},
    upstream::{Connects, Conntrack, Legs, Names, Pending, Source, Upstream},
};

const _: () = assert!(config::MAX_PORTS == MAX_PORTS);

/// What the programs are told while everything is well.
pub(super) fn kernel(config: &Config, families: &[u8], workers: u32) -> Settings {
    let mut settings = Settings::IDLE;
    for (slot, port) in settings.ports.iter_mut().zip(&config.intercept.ports) {
        *slot = port.to_be();
    }
    for (slot, port) in settings.followed.iter_mut().zip(settings.ports) {
        *slot = port;
    }
    let stale = config.intercept.heartbeat_stale.as_nanos();
    Settings {
        steer_mark: config.host.steer_mark,
        socket_mark: config.host.socket_mark,
        mode: match config.intercept.mode {
            Mode::Enforce => MODE_ENFORCE,
            Mode::Shadow => MODE_SHADOW,
        },
        share: config.intercept.share,
        families: bits(families),
        workers,
        probe: config.valve.probe,
        heartbeat_stale_ns: u64::try_from(stale).unwrap_or(u64::MAX),
        ..settings
    }
}

/// The families (4, 6) as the programs know them.
pub(super) fn bits(families: &[u8]) -> u32 {
    let bit = |family: &u8| match family {
        4 => FAMILY_IPV4,
        _ => FAMILY_IPV6,
    };
    families.iter().map(bit).fold(0, |all, one| all | one)
}

/// What is said if [`keep_following`] cannot.
pub(super) const TOO_MANY_PORTS: &str =
    "connections to too many different ports may be under way, restart for it: intercept.ports";

/// Follows the ports of `before` as well: connections to them may be under way. `None` if there
/// are too many by now.
pub(super) fn keep_following(mut settings: Settings, before: &Settings) -> Option<Settings> {
    for port in before.followed.into_iter().filter(|port| *port != 0) {
        if !settings.follows(port) {
            *settings.followed.iter_mut().find(|slot| **slot == 0)? = port;
        }
    }
    Some(settings)
}

/// Which table and marks.
pub(super) fn plan(config: &Config) -> Plan {
    Plan {
        table: config.host.table,
        priority: config.host.priority,
        steer_mark: config.host.steer_mark,
        socket_mark: config.host.socket_mark,
        output_mark: config.intercept.output.then_some(config.host.output_mark),
    }
}

/// How many workers: as configured, or one for each CPU that this process may use.
pub(super) fn workers(config: &Config) -> u32 {
    let wanted = match config.workers.count {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    };
    u32::try_from(wanted)
        .unwrap_or(MAX_WORKERS)
        .min(MAX_WORKERS)
}

/// Where the access log goes.
pub(super) fn sink(config: &Config) -> Sink {
    match &config.log.access {
        AccessTarget::Off => Sink::Off,
        AccessTarget::Stdout => Sink::Stdout,
        AccessTarget::Journald => {
            let socket = config.log.journal.clone();
            Sink::Journald(socket.unwrap_or_else(|| JOURNAL_SOCKET.into()))
        }
        AccessTarget::File(path) => Sink::File(path.clone()),
    }
}

/// How its lines look.
pub(super) fn style(config: &Config) -> Style {
    Style {
        format: match config.log.format {
            LogFormat::Json => Format::Json,
            LogFormat::Squid => Format::Squid,
            LogFormat::Combined => Format::Combined,
        },
        redact: config.log.query == LogQuery::Redact,
        extra: config.log.extra,
        fields: config.log.access == AccessTarget::Journald,
    }
}

/// Client connections from which on new flows go direct.
pub(super) fn pressure(connections: usize) -> u64 {
    (connections as u64 * 7 / 8).max(1)
}

/// What outlives a reload.
#[derive(Clone)]
pub(super) struct Lasting {
    pub(super) stats: Arc<Stats>,
    pub(super) log: AccessLog,
    pub(super) drain: CancellationToken,
    pub(super) cut: CancellationToken,
    pub(super) valve: watch::Sender<[u64; 2]>,
    pub(super) pressure: Arc<Notify>,
    pub(super) pending: Arc<Pending>,
    pub(super) connects: Arc<Connects>,
    pub(super) legs: Arc<Legs>,
    pub(super) conntrack: Arc<Conntrack>,
    pub(super) names: Arc<Names>,
    pub(super) clients: Arc<Clients>,
    pub(super) flows: Arc<Flows>,
    pub(super) reports: Arc<Reports>,
    pub(super) declining: Arc<Semaphore>,
    /// How much forwarding takes off the time to live: nothing on a bridge.
    pub(super) hops: u8,
}

/// So many clients at once are told why they are not served; the others are reset.
pub(super) const DECLINING: usize = 64;

impl Lasting {
    /// What sessions that begin from now on are given.
    pub(super) fn shared(
        &self,
        config: &Config,
        policy: Policy,
        connections: usize,
    ) -> Arc<Shared> {
        let rate = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::new(Shared {
            connections,
            queue: config.intercept.on_overload == OnOverload::Queue,
            client_connections: config.limits.client_connections,
            memory: config.limits.memory as u64,
            relief: pressure(connections),
            pressure: Arc::clone(&self.pressure),
            limits: HeadLimits {
                head_bytes: config.limits.head,
                fields: config.limits.fields,
            },
            head_timeout: config.limits.head_timeout,
            idle_timeout: config.limits.idle_timeout,
            tunnel_idle_timeout: config.limits.tunnel_idle_timeout,
            patience: Patience {
                client: config.limits.client_timeout,
                origin: config.limits.origin_timeout,
                send_rate: rate(config.limits.min_send_rate),
                receive_rate: rate(config.limits.min_receive_rate),
                grace: config.limits.rate_grace,
            },
            http: config.http.clone(),
            policy: Arc::new(policy),
            names: Arc::clone(&self.names),
            clients: Arc::clone(&self.clients),
            flows: Arc::clone(&self.flows),
            reports: Arc::clone(&self.reports),
            declining: Arc::clone(&self.declining),
            source: match config.spoof.source {
                SpoofSource::Client => Source::Client,
                SpoofSource::ClientPort => Source::ClientPort,
                SpoofSource::Proxy => Source::Own,
            },
            dscp: config.spoof.dscp,
            ttl: match config.spoof.ttl {
                Ttl::Copy => Some(self.hops),
                Ttl::Own => None,
            },
            upstream: Upstream {
                ports: config.spoof.ports.clone(),
                mark: config.host.socket_mark,
                timeout: config.limits.connect_timeout,
                legs: Arc::clone(&self.legs),
                pending: Arc::clone(&self.pending),
                conntrack: Arc::clone(&self.conntrack),
                connects: Arc::clone(&self.connects),
            },
            stats: Arc::clone(&self.stats),
            log: self.log.clone(),
            drain: self.drain.clone(),
            cut: self.cut.clone(),
            valve: self.valve.subscribe(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_were_watched_are_followed_on() {
        let with = |ports: &[u16]| {
            let mut config = Config::default();
            config.intercept.ports = ports.to_vec();
            kernel(&config, &[4, 6], 1)
        };
        let before = with(&[80, 8000]);
        let after = keep_following(with(&[81]), &before).unwrap();
        assert!(after.watches(81u16.to_be()) && !after.watches(80u16.to_be()));
        for port in [80u16, 81, 8000] {
            assert!(after.follows(port.to_be()));
        }
        let full = with(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let full = keep_following(full, &with(&[11, 12, 13, 14, 15, 16, 17, 18])).unwrap();
        assert!(keep_following(with(&[21]), &full).is_none());
    }
}
