//! The settings as plain types, with their defaults.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use super::rule::Rule;

/// All settings. [`Default`] is what an empty file gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What is intercepted.
    pub intercept: Intercept,
    /// How our side towards origins looks.
    pub spoof: Spoof,
    /// What one client, one head or one pause may cost at most.
    pub limits: Limits,
    /// When steering that leads nowhere is given up.
    pub valve: Valve,
    /// What is written down.
    pub log: Log,
    /// Where the bypass list lives.
    pub bypass: Bypass,
    /// The numbers that we occupy in the host's routing.
    pub host: Host,
    /// How the work is spread.
    pub workers: Workers,
    /// What is done with which requests: the first rule that holds decides.
    pub rules: Vec<Rule>,
}

/// `[intercept]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intercept {
    /// Interfaces that clients come from. Empty by default; no name is in `wan` as well.
    pub lan: Vec<String>,
    /// Interfaces that origins are behind. Empty by default.
    pub wan: Vec<String>,
    /// Watched destination ports, 1 to [`MAX_PORTS`], distinct, host order. Default: 80.
    pub ports: Vec<u16>,
    /// Address families. Default: both.
    pub families: Families,
    /// What becomes of new flows while no worker can take them. Default: they go direct.
    pub on_failure: OnFailure,
    /// How old a worker's heartbeat may be before new flows pass it by. Default: 1 s.
    pub heartbeat_stale: Duration,
}

/// How many ports can be watched; the kernel programs compare with each of them.
pub const MAX_PORTS: usize = 8;

impl Default for Intercept {
    fn default() -> Self {
        Self {
            lan: Vec::new(),
            wan: Vec::new(),
            ports: vec![80],
            families: Families {
                ipv4: true,
                ipv6: true,
            },
            on_failure: OnFailure::Open,
            heartbeat_stale: Duration::from_secs(1),
        }
    }
}

/// The address families that are intercepted, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

/// What becomes of new flows while no worker can take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// They go direct.
    Open,
}

/// `[spoof]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoof {
    /// Our source ports towards origins, host order, both ends included. Default: 10000 to 32767,
    /// which is below what clients draw from, so that our port is not one the client itself uses.
    pub ports: RangeInclusive<u16>,
}

impl Default for Spoof {
    fn default() -> Self {
        Self {
            ports: 10_000..=32_767,
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at once; beyond it new flows go direct. Default: 16,000.
    pub connections: usize,
    /// The head of a request or response, bytes. Default: 64 KiB.
    pub head: usize,
    /// Fields in a head. Default: 128.
    pub fields: usize,
    /// From the first byte of a head to its end. Default: 30 s.
    pub head_timeout: Duration,
    /// How long nothing may move, in a body or between requests. Default: 120 s.
    pub idle_timeout: Duration,
    /// How long nothing may move in a tunnel. Default: 1 h.
    pub tunnel_idle_timeout: Duration,
    /// How long an origin may take to answer our connect. Default: 10 s.
    pub connect_timeout: Duration,
    /// How long a stop waits for live exchanges; zero does not wait. Default: 10 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_000,
            head: 64 * 1024,
            fields: 128,
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            tunnel_idle_timeout: Duration::from_secs(3600),
            connect_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// `[valve]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valve {
    /// Whether steering that leads nowhere is given up at all. Default: yes.
    pub enabled: bool,
    /// How long unanswered steering is tolerated before the valve opens. Default: 1 s.
    pub window: Duration,
    /// While open, one SYN in so many is steered to see whether it works again. Default: 100.
    pub probe: u32,
}

impl Default for Valve {
    fn default() -> Self {
        Self {
            enabled: true,
            window: Duration::from_secs(1),
            probe: 100,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where one JSON line per request goes. Default: nowhere.
    pub access: AccessTarget,
    /// Filter of the daemon's own messages, in `tracing`'s syntax. Default: `info`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            access: AccessTarget::Off,
            level: "info".to_owned(),
        }
    }
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessTarget {
    /// Nowhere.
    Off,
    /// To the daemon's standard output.
    Stdout,
    /// Appended to this file; an absolute path.
    File(PathBuf),
}

/// `[bypass]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bypass {
    /// The durable list, an absolute path. Default: [`Bypass::path`] of the instance.
    pub file: Option<PathBuf>,
}

impl Bypass {
    /// The durable list's path for a daemon called `instance`.
    #[must_use]
    pub fn path(&self, instance: &str) -> PathBuf {
        self.file
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("/var/lib/weir/{instance}/bypass.json")))
    }
}

/// `[host]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Number of the routing table that delivers marked packets locally. Default: 8780.
    pub table: u32,
    /// Priority of our `ip rule`s, before the main table's. Default: 87.
    pub priority: u32,
    /// The bit of a packet's mark that says "deliver locally". Default: `0x10000000`.
    pub steer_mark: u32,
    /// The bit by which our own sockets are known, never equal to `steer_mark`. Default:
    /// `0x20000000`.
    pub socket_mark: u32,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            table: 8780,
            priority: 87,
            steer_mark: 0x1000_0000,
            socket_mark: 0x2000_0000,
        }
    }
}

/// `[workers]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workers {
    /// Worker threads; 0, the default, is one per CPU.
    pub count: usize,
}
