//! The settings as plain types, with their defaults.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

use super::rule::Rule;

/// All settings. [`Default`] is what an empty file gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What is intercepted.
    pub intercept: Intercept,
    /// How our side towards origins looks.
    pub spoof: Spoof,
    /// What is done to HTTP, and to what is not.
    pub http: Http,
    /// What one client, one head or one pause may cost at most.
    pub limits: Limits,
    /// When steering that leads nowhere is given up.
    pub valve: Valve,
    /// What is written down.
    pub log: Log,
    /// The bypass lists.
    pub bypass: Bypass,
    /// The endpoint for Prometheus.
    pub metrics: Metrics,
    /// Who may talk to the daemon.
    pub control: Control,
    /// What is left of its privileges.
    pub security: Security,
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
    /// Interfaces that clients come from, by name or [pattern](super::is_link_pattern). Empty by
    /// default; a one-armed router's is in `wan` as well.
    pub lan: Vec<String>,
    /// Interfaces that origins are behind, likewise. Empty by default.
    pub wan: Vec<String>,
    /// What becomes of a start without an interface that is named. Default: it is refused.
    pub missing: Missing,
    /// Watched destination ports, 1 to [`MAX_PORTS`], distinct, host order. Default: 80.
    pub ports: Vec<u16>,
    /// Address families. Default: both.
    pub families: Families,
    /// Whether flows are intercepted, or only counted. Default: they are.
    pub mode: Mode,
    /// Per cent of clients that are intercepted, by a hash of their address, 0 to 100. Default:
    /// all.
    pub share: u32,
    /// What becomes of new flows while no worker can take them. Default: they go direct.
    pub on_failure: OnFailure,
    /// LANs, by name or [pattern](super::is_link_pattern), that fail closed whatever `on_failure`
    /// is. Default: none.
    pub fail_closed: Vec<String>,
    /// What becomes of new flows at a limit. Default: they go direct.
    pub on_overload: OnOverload,
    /// How old a worker's heartbeat may be before new flows pass it by. Default: 1 s.
    pub heartbeat_stale: Duration,
    /// Whether this host's own connections are intercepted as well. Default: no.
    pub output: bool,
    /// Whether the kernel puts fragments together before routing, those of others too. Default:
    /// no.
    pub defragment: bool,
}

/// How many ports can be watched; the kernel programs compare with each of them.
pub const MAX_PORTS: usize = 8;

impl Default for Intercept {
    fn default() -> Self {
        Self {
            lan: Vec::new(),
            wan: Vec::new(),
            missing: Missing::Refuse,
            ports: vec![80],
            families: Families {
                ipv4: true,
                ipv6: true,
            },
            mode: Mode::Enforce,
            share: 100,
            on_failure: OnFailure::Open,
            fail_closed: Vec::new(),
            on_overload: OnOverload::Open,
            heartbeat_stale: Duration::from_secs(1),
            output: false,
            defragment: false,
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

/// What becomes of a start without an interface that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is refused.
    Refuse,
    /// It goes on, and the interface is attached when it comes.
    Wait,
}

/// Whether flows are intercepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    Enforce,
    /// Nothing is touched; what would be intercepted is counted.
    Shadow,
}

/// What becomes of new flows while no worker can take them: the daemon is dead, or hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// They go direct.
    Open,
    /// They are refused: the client's connect fails at once.
    Closed,
}

/// What becomes of new flows at a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOverload {
    /// They go direct.
    Open,
    /// They wait until there is room.
    Queue,
}

/// `[spoof]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoof {
    /// Our source ports towards origins, host order, both ends included. Default: 10000 to 32767,
    /// which is below what clients draw from, so that our port is not one the client itself uses.
    pub ports: RangeInclusive<u16>,
    /// Whom origins see. Default: the client, from a port of ours.
    pub source: SpoofSource,
    /// What becomes of the client's DSCP. Default: our packets carry it too.
    pub dscp: Dscp,
    /// What becomes of the client's time to live. Default: ours is what it would be if this host
    /// had forwarded the client's packets.
    pub ttl: Ttl,
}

impl Default for Spoof {
    fn default() -> Self {
        Self {
            ports: 10_000..=32_767,
            source: SpoofSource::Client,
            dscp: Dscp::Copy,
            ttl: Ttl::Copy,
        }
    }
}

/// Whom origins see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoofSource {
    /// The client's address, and a port of ours.
    Client,
    /// The client's address and port, where that can be.
    ClientPort,
    /// This host.
    Proxy,
}

/// What becomes of the DSCP of a client's packets on the way to its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dscp {
    /// Ours carry that of the client's handshake.
    Copy,
    /// Ours carry none.
    Clear,
}

/// What becomes of the time to live (hop limit) of a client's packets on the way to its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// Ours have that of the client's handshake, less one.
    Copy,
    /// Ours have this host's default (`net.ipv4.ip_default_ttl`, `net.ipv6.conf.*.hop_limit`).
    Own,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Whether messages get a Via of ours (RFC 9110 §7.6.3). Default: no.
    pub via: bool,
    /// How origins are told the client's address. Default: they are not, they see it.
    pub forwarded: Forwarded,
    /// What becomes of connections that cannot begin a request. Default: a tunnel.
    pub not_http: Unknown,
    /// What becomes of HTTP/2 with prior knowledge (RFC 9113 §3.4). Default: a tunnel.
    pub http2_preface: Unknown,
    /// After how much silence of a new client its origin is connected, so that a server that
    /// speaks first is heard; zero: never. Default: 300 ms.
    pub silence: Duration,
    /// What is done about a Host that does not name the address that was dialled. Default: label.
    pub host_check: HostCheck,
    /// The clients that `strict` is for; all if empty, which is the default.
    pub host_strict_clients: Vec<IpNet>,
    /// Whether names in Host are resolved to check them. Default: no.
    pub host_dns: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            via: false,
            forwarded: Forwarded::Off,
            not_http: Unknown::Tunnel,
            http2_preface: Unknown::Tunnel,
            silence: Duration::from_millis(300),
            host_check: HostCheck::Label,
            host_strict_clients: Vec::new(),
            host_dns: false,
        }
    }
}

/// How origins are told the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// Not at all: our connection comes from it.
    Off,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

/// What becomes of what we do not speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is relayed as it is.
    Tunnel,
    /// It is answered with an error and closed.
    Reject,
}

/// What is done about a Host that does not name the address that was dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostCheck {
    /// The access log and a counter tell.
    Label,
    /// The request is refused with 403: 421 is not for an intermediary to say (RFC 9110 §15.5.20).
    Strict,
    /// Nothing, not even told.
    Off,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at once; beyond it new flows go direct. Default: 16,000.
    pub connections: usize,
    /// Connections of one client address at once; beyond it: 503. Default: 4,000.
    pub client_connections: usize,
    /// Connections that wait to be accepted by one listener; beyond it new flows go direct.
    /// Default: 1,024.
    pub accept_queue: usize,
    /// How late a worker may be with what it does at regular intervals; beyond it new flows go
    /// direct. Default: 1 s.
    pub worker_lag: Duration,
    /// Buffers of all sessions together, bytes; beyond it new flows go direct. Default: 512 MiB.
    pub memory: usize,
    /// The head of a request or response, bytes. Default: 64 KiB.
    pub head: usize,
    /// Fields in a head. Default: 128.
    pub fields: usize,
    /// From the first byte of a head to its end. Default: 30 s.
    pub head_timeout: Duration,
    /// Bytes per second that a client has to send at least while we wait for a head or a body;
    /// 0: as slow as it likes. Default: 64.
    pub min_send_rate: usize,
    /// Bytes per second that a client has to take at least while we have some for it; 0: as slow
    /// as it likes, which is the default: a paused download is legitimate.
    pub min_receive_rate: usize,
    /// How long we wait in total before the rates count. Default: 10 s.
    pub rate_grace: Duration,
    /// How long a client may be silent between requests. Default: 120 s.
    pub idle_timeout: Duration,
    /// How long a client may neither send nor take anything of an exchange. Default: 120 s.
    pub client_timeout: Duration,
    /// How long an origin may neither send nor take anything of an exchange. Default: 300 s.
    pub origin_timeout: Duration,
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
            client_connections: 4_000,
            accept_queue: 1024,
            worker_lag: Duration::from_secs(1),
            memory: 512 * 1024 * 1024,
            head: 64 * 1024,
            fields: 128,
            head_timeout: Duration::from_secs(30),
            min_send_rate: 64,
            min_receive_rate: 0,
            rate_grace: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            client_timeout: Duration::from_secs(120),
            origin_timeout: Duration::from_secs(300),
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
    /// Where one line per request goes. Default: nowhere.
    pub access: AccessTarget,
    /// Which line. Default: JSON.
    pub format: LogFormat,
    /// What becomes of the queries of URLs. Default: they are kept.
    pub query: LogQuery,
    /// Whether Squid's and the combined line end with the ports and the reason. Default: yes.
    pub extra: bool,
    /// The journal's socket, an absolute path. Default: systemd's.
    pub journal: Option<PathBuf>,
    /// Filter of the daemon's own messages, in `tracing`'s syntax. Default: `info`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            access: AccessTarget::Off,
            format: LogFormat::Json,
            query: LogQuery::Keep,
            extra: true,
            journal: None,
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
    /// To the journal of systemd.
    Journald,
    /// Appended to this file; an absolute path.
    File(PathBuf),
}

/// Which line the access log has for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object.
    Json,
    /// Squid's native format.
    Squid,
    /// The combined format of Apache and NCSA.
    Combined,
}

/// What becomes of the queries of URLs in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogQuery {
    /// They are written as they came.
    Keep,
    /// Nothing behind the `?` is written, nor a user in front of a host.
    Redact,
}

/// `[bypass]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypass {
    /// Where the lists are kept, an absolute path. Default: [`Bypass::path`] of the instance.
    pub directory: Option<PathBuf>,
    /// Entries of each family at most. Default: 2²⁰.
    pub entries: usize,
    /// What becomes of a start whose lists cannot be read. Default: it is refused.
    pub damaged: Damaged,
    /// Files that are lists, each of another [name](Bypass::list_of). Default: none.
    pub feeds: Vec<PathBuf>,
    /// What is bypassed after a while without anybody's word.
    pub learn: Learn,
}

/// What becomes of a start whose bypass lists cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// It is refused.
    Refuse,
    /// Everything goes direct until the lists are mended.
    Direct,
}

/// `[bypass.learn]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learn {
    /// Whether entries are added; what would be is seen in any case. Default: no.
    pub enabled: bool,
    /// So many events of one client and destination make an entry. Default: 3.
    pub events: u32,
    /// How long an event counts. Default: 10 min.
    pub window: Duration,
    /// How long a learned entry holds (`for`). Default: 24 h.
    pub lifetime: Duration,
    /// So many clients make an entry for all. Default: 3.
    pub clients: usize,
    /// Learned entries at once. Default: 10,000.
    pub limit: usize,
    /// Destinations and clients that nothing is learned about. Default: none.
    pub never: Vec<IpNet>,
}

impl Default for Learn {
    fn default() -> Self {
        Self {
            enabled: false,
            events: 3,
            window: Duration::from_secs(600),
            lifetime: Duration::from_secs(24 * 3600),
            clients: 3,
            limit: 10_000,
            never: Vec::new(),
        }
    }
}

impl Default for Bypass {
    fn default() -> Self {
        Self {
            directory: None,
            entries: 1 << 20,
            damaged: Damaged::Refuse,
            feeds: Vec::new(),
            learn: Learn::default(),
        }
    }
}

impl Bypass {
    /// The lists' directory for a daemon called `instance`.
    #[must_use]
    pub fn path(&self, instance: &str) -> PathBuf {
        self.directory
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("/var/lib/weir/{instance}/bypass")))
    }

    /// The list that a feed is: the file's name up to its first dot. `None` if no list can be
    /// called that, or one of ours is.
    #[must_use]
    pub fn list_of(feed: &Path) -> Option<String> {
        let name = feed.file_name()?.to_str()?.split('.').next()?;
        let first = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
        let fine = name.len() <= 32
            && name.bytes().next().is_some_and(first)
            && name
                .bytes()
                .all(|octet| first(octet) || b"_-".contains(&octet))
            && !["manual", "learned"].contains(&name);
        fine.then(|| name.to_owned())
    }
}

/// `[control]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// A group whose members may read, and edit bypass lists. Default: none.
    pub group: Option<String>,
    /// A group whose members may read. Default: none.
    pub read_group: Option<String>,
}

/// `[security]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// The user that the daemon becomes. Default: `weir`, if there is that user.
    pub user: Option<String>,
    /// Whether it is confined to the files that it needs. Default: it is.
    pub landlock: bool,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            user: None,
            landlock: true,
        }
    }
}

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Where Prometheus is answered. Default: nowhere.
    pub listen: Option<SocketAddr>,
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
    /// The bit on sockets of this host's that are intercepted, equal to neither. Default:
    /// `0x08000000`.
    pub output_mark: u32,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            table: 8780,
            priority: 87,
            steer_mark: 0x1000_0000,
            socket_mark: 0x2000_0000,
            output_mark: 0x0800_0000,
        }
    }
}

/// `[workers]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workers {
    /// Worker threads; 0, the default, is one per CPU.
    pub count: usize,
}
