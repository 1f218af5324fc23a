//! What sessions are given.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{clients::Clients, flows::Flows, watch::Patience};
use crate::{
    config,
    http::HeadLimits,
    learn::Reports,
    observe::{AccessLog, Stats},
    policy::Policy,
    upstream::{self, Names, Upstream},
};

/// What sessions need; a session keeps what it began with across a reload.
#[derive(Clone)]
pub struct Shared {
    /// Client connections of all workers together; beyond it new ones are declined.
    pub connections: usize,
    /// Connections of one client address.
    pub client_connections: usize,
    /// Whether connections beyond the limit wait to be accepted.
    pub queue: bool,
    /// At so many connections, [`pressure`](Self::pressure) is told.
    pub relief: u64,
    /// Woken when connections become many: new flows should go direct before any must be
    /// declined.
    pub pressure: Arc<Notify>,
    /// Bytes in the buffers of all sessions, beyond which each does with less.
    pub memory: u64,
    /// Bounds of a head.
    pub limits: HeadLimits,
    /// From a head's first byte to its last.
    pub head_timeout: Duration,
    /// Nothing comes from a client between requests.
    pub idle_timeout: Duration,
    /// Nothing moves in a tunnel.
    pub tunnel_idle_timeout: Duration,
    /// Within an exchange.
    pub patience: Patience,
    /// What is done to HTTP, and to what is not.
    pub http: config::Http,
    /// The rules.
    pub policy: Arc<Policy>,
    /// Whom origins see, where no rule says otherwise.
    pub source: upstream::Source,
    /// What becomes of the client's DSCP.
    pub dscp: config::Dscp,
    /// By how much less than the client's our packets' time to live is; `None`: they have this
    /// host's default.
    pub ttl: Option<u8>,
    /// The way to origins.
    pub upstream: Upstream,
    /// The resolver, for `http.host_dns`.
    pub names: Arc<Names>,
    /// Connections by client.
    pub clients: Arc<Clients>,
    /// The connections that sessions serve.
    pub flows: Arc<Flows>,
    /// Where it is told what may be learned from.
    pub reports: Arc<Reports>,
    /// Places for clients that are told why they are not served.
    pub declining: Arc<Semaphore>,
    /// Counters.
    pub stats: Arc<Stats>,
    /// The access log.
    pub log: AccessLog,
    /// Cancelled when the daemon stops: what is under way is finished, nothing more is begun.
    pub drain: CancellationToken,
    /// Cancelled at the end of the drain: what is still under way is cut.
    pub cut: CancellationToken,
    /// IPv4, IPv6: grows each time the valve opens because origins do not answer.
    pub valve: watch::Receiver<[u64; 2]>,
}
