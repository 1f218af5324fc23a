//! From the configuration to what programs and sessions are told.

use std::sync::Arc;

use proxy_ebpf::{
    abi::{ABI_VERSION, MAX_PORTS, MAX_WORKERS},
    settings::{FAMILY_IPV4, FAMILY_IPV6, MODE_ENFORCE, Settings},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, AccessTarget, Config},
    http::HeadLimits,
    netconf::delivery::Plan,
    observe::{AccessLog, Sink, Stats},
    session::Shared,
    upstream::{Legs, Pending, Upstream},
};

const _: () = assert!(config::MAX_PORTS == MAX_PORTS);

/// What the programs are told while everything is well.
pub(super) fn kernel(config: &Config, families: &[u8], workers: u32) -> Settings {
    let mut ports = [0; MAX_PORTS];
    for (slot, port) in ports.iter_mut().zip(&config.intercept.ports) {
        *slot = port.to_be();
    }
    let mut bits = 0;
    for family in families {
        bits |= if *family == 4 {
            FAMILY_IPV4
        } else {
            FAMILY_IPV6
        };
    }
    let stale = config.intercept.heartbeat_stale.as_nanos();
    Settings {
        abi_version: ABI_VERSION,
        steer_mark: config.host.steer_mark,
        mode: MODE_ENFORCE,
        families: bits,
        workers,
        valve: 0,
        probe: config.valve.probe,
        overload: 0,
        heartbeat_stale_ns: u64::try_from(stale).unwrap_or(u64::MAX),
        ports,
    }
}

/// Which table and marks.
pub(super) const fn plan(config: &Config) -> Plan {
    Plan {
        table: config.host.table,
        priority: config.host.priority,
        steer_mark: config.host.steer_mark,
        socket_mark: config.host.socket_mark,
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
        AccessTarget::File(path) => Sink::File(path.clone()),
    }
}

/// What outlives a reload.
pub(super) struct Lasting {
    pub(super) stats: Arc<Stats>,
    pub(super) log: AccessLog,
    pub(super) drain: CancellationToken,
    pub(super) cut: CancellationToken,
    pub(super) valve: watch::Sender<u64>,
    pub(super) pending: Arc<Pending>,
    pub(super) legs: Arc<Legs>,
}

impl Lasting {
    /// What sessions that begin from now on are given.
    pub(super) fn shared(&self, config: &Config, connections: usize) -> Arc<Shared> {
        Arc::new(Shared {
            connections,
            limits: HeadLimits {
                head_bytes: config.limits.head,
                fields: config.limits.fields,
            },
            head_timeout: config.limits.head_timeout,
            idle_timeout: config.limits.idle_timeout,
            tunnel_idle_timeout: config.limits.tunnel_idle_timeout,
            upstream: Upstream {
                ports: config.spoof.ports.clone(),
                mark: config.host.socket_mark,
                timeout: config.limits.connect_timeout,
                legs: Arc::clone(&self.legs),
                pending: Arc::clone(&self.pending),
            },
            stats: Arc::clone(&self.stats),
            log: self.log.clone(),
            drain: self.drain.clone(),
            cut: self.cut.clone(),
            valve: self.valve.subscribe(),
        })
    }
}
