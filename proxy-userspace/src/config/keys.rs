//! The one table of keys.

use std::{fmt::Write as _, time::Duration};

use super::{
    document::{Fault, Value},
    format, rule,
    settings::Config,
};

/// A key of the file: how it is read, written, explained and whether a reload may change it.
pub(super) struct Key {
    /// `section.key`; a section within another is `outer.inner.key`.
    pub(super) path: &'static str,
    /// Whether a running daemon can take a new value.
    pub(super) live: bool,
    /// Comment of the sample.
    doc: &'static str,
    /// Puts the file's value into the configuration.
    pub(super) set: fn(&mut Config, &Value<'_>) -> Result<(), Fault>,
    /// The configuration's value as TOML.
    pub(super) show: fn(&Config) -> String,
}

/// The sections in the order of the sample, with their comments.
pub(super) const SECTIONS: [(&str, &str); 13] = [
    ("intercept", "What is intercepted."),
    (
        "spoof",
        "How our connections to origins look: they come from the client's address.",
    ),
    ("http", "What is done to HTTP, and to what is not."),
    (
        "limits",
        "What one client, one head or one pause may cost at most.",
    ),
    (
        "valve",
        "Gives up steering that leads nowhere, e.g. because a firewall eats it.",
    ),
    ("log", "What is written down."),
    (
        "bypass",
        "Destinations and sources that are never intercepted (`weir bypass`).",
    ),
    (
        "bypass.learn",
        "What is not HTTP, or cannot be connected, is bypassed after a while.",
    ),
    ("metrics", "The endpoint for Prometheus."),
    ("control", "Who may talk to the daemon besides root."),
    (
        "security",
        "What is left of the daemon's privileges once it intercepts.",
    ),
    (
        "host",
        "The numbers that weir occupies in this host's routing.",
    ),
    ("workers", "How the work is spread."),
];

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const TIB: usize = 1024 * 1024 * MIB;
const INSTANT: Duration = Duration::from_millis(1);
/// Shorter ones would be mistaken for the jitter of a busy router.
const BLINK: Duration = Duration::from_millis(100);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

/// `key!(section.field: format(bounds), live or fixed, comment)`; the field's name is the key's,
/// unless `as "section.key"` says otherwise.
macro_rules! key {
    ($section:ident $(.$name:ident)+: $format:ident($($bounds:expr)?), $live:ident, $doc:literal) => {
        key!(@at (concat!(stringify!($section), $(".", stringify!($name)),+))
            $section $(.$name)+: $format($($bounds)?), $live, $doc)
    };
    ($section:ident $(.$name:ident)+ as $path:literal:
        $format:ident($($bounds:expr)?), $live:ident, $doc:literal) => {
        key!(@at ($path) $section $(.$name)+: $format($($bounds)?), $live, $doc)
    };
    (@at ($path:expr) $section:ident $(.$name:ident)+:
        $format:ident($($bounds:expr)?), $live:ident, $doc:literal) => {
        Key {
            path: $path,
            live: key!(@$live),
            doc: $doc,
            set: |config, value| {
                config.$section $(.$name)+ = format::$format::read(value $(, $bounds)?)?;
                Ok(())
            },
            show: |config| format::$format::show(&config.$section $(.$name)+),
        }
    };
    (@live) => { true };
    (@fixed) => { false };
}

/// Every key, grouped by section in the order of [`SECTIONS`].
#[rustfmt::skip]
pub(super) static KEYS: [Key; 73] = [
    key!(intercept.lan: interfaces(), fixed,
        "Interfaces that clients come from, by name, or by pattern such as \"ppp*\" for links that\n\
         come and go. `--lan` replaces the list."),
    key!(intercept.wan: interfaces(), fixed,
        "Interfaces that origins are behind, likewise. `--wan` replaces the list."),
    key!(intercept.missing: word(), live,
        "An interface that is named and not there at the start: \"refuse\" does not start, \"wait\"\n\
         attaches it when it comes. What patterns stand for need never be there."),
    key!(intercept.ports: ports(), live,
        "Destination ports that are watched, 1 to 8 of them."),
    key!(intercept.families: families(), fixed,
        "\"ipv4\", \"ipv6\" or both."),
    key!(intercept.mode: word(), live,
        "\"enforce\" intercepts; \"shadow\" touches nothing and counts what would be, by reason,\n\
         client and destination (`weir status`)."),
    key!(intercept.share: number(0..=100), live,
        "Per cent of clients that are intercepted, by a hash of their address: a larger share\n\
         only adds some (0 to 100)."),
    key!(intercept.on_failure: word(), live,
        "New flows while the daemon is dead or hangs: \"open\" lets them go direct, \"closed\"\n\
         refuses them at once. A stop lets everything go direct."),
    key!(intercept.fail_closed: interfaces(), live,
        "LANs, by name or pattern, that are \"closed\" whatever on_failure says."),
    key!(intercept.on_overload: word(), live,
        "New flows beyond a limit of [limits]: \"open\" lets them go direct, \"queue\" has them\n\
         wait until there is room."),
    key!(intercept.heartbeat_stale: duration(BLINK..=MINUTE), fixed,
        "A worker that has given no sign of life for so long is passed by (100ms to 1m)."),
    key!(intercept.output: boolean(), fixed,
        "Whether this host's own connections are intercepted as well, as by `--output`."),
    key!(intercept.defragment: boolean(), live,
        "Whether the kernel puts all fragments together before it routes them, so that those of\n\
         intercepted flows may come in any order. Conntrack does so by itself."),
    key!(spoof.ports: port_range(), fixed,
        "Source ports, from 1024. Keep them below the range that clients draw from."),
    key!(spoof.source: word(), live,
        "Whom origins see: \"client\", its address and a port of ours; \"client-port\", both its own\n\
         where conntrack does not track the client's connection; \"proxy\", this host."),
    key!(spoof.dscp: word(), live,
        "The DSCP of the client's packets: \"copy\" puts it on ours to the origin, \"clear\" does\n\
         not. The tos of a [[rule]] comes before it."),
    key!(spoof.ttl: word(), live,
        "The time to live (hop limit) of packets to the origin: \"copy\" is the client's less one,\n\
         as behind any router, \"own\" this host's default."),
    key!(http.via: boolean(), live,
        "Whether messages get a Via of ours. Neither side is told of weir without it."),
    key!(http.forwarded: word(), live,
        "How origins are told the client's address, which they see anyway: \"off\",\n\
         \"x-forwarded-for\" or \"forwarded\" (RFC 7239)."),
    key!(http.not_http: word(), live,
        "What cannot begin an HTTP request: \"tunnel\" relays it, \"reject\" answers 400."),
    key!(http.http2_preface: word(), live,
        "HTTP/2 with prior knowledge: \"tunnel\" relays it, \"reject\" answers 505."),
    key!(http.silence: duration(Duration::ZERO..=MINUTE), live,
        "A client that says nothing for so long gets its origin connected, so that a server\n\
         that speaks first is heard (up to 1m; 0s: never)."),
    key!(http.host_check: word(), live,
        "A Host that does not name the address that was dialled: \"label\" says so in the access\n\
         log, \"strict\" refuses it (403), \"off\" does not look."),
    key!(http.host_strict_clients: prefixes(), live,
        "Whom \"strict\" is for, such as [\"10.0.0.0/8\"]; everybody if empty."),
    key!(http.host_dns: boolean(), live,
        "Whether names in Host are looked up to check them; address literals always are."),
    key!(limits.connections: count(1..=1_000_000), live,
        "Client connections at once; beyond it new flows go direct (1 to 1000000)."),
    key!(limits.client_connections: count(1..=1_000_000), live,
        "Connections of one client address at once; beyond it: 503 (1 to 1000000)."),
    key!(limits.accept_queue: count(1..=4096), live,
        "Connections that wait for one listener to be accepted; beyond it new flows go direct\n\
         (1 to 4096)."),
    key!(limits.worker_lag: duration(INSTANT..=MINUTE), live,
        "How late a worker may be; beyond it new flows go direct (up to 1m)."),
    key!(limits.memory: size(MIB..=TIB), live,
        "Buffers of all connections together; beyond it new flows go direct (from 1MiB)."),
    key!(limits.head: size(KIB..=MIB), live,
        "The head of a request or response (1KiB to 1MiB)."),
    key!(limits.fields: count(1..=4096), live,
        "Fields in a head (1 to 4096)."),
    key!(limits.head_timeout: duration(INSTANT..=HOUR), live,
        "From the first byte of a head to its end (up to 1h)."),
    key!(limits.min_send_rate: size(0..=MIB), live,
        "Bytes per second that a client has to send while we wait for it; 0B: any."),
    key!(limits.min_receive_rate: size(0..=MIB), live,
        "Bytes per second that a client has to take while we have some; 0B: any."),
    key!(limits.rate_grace: duration(BLINK..=HOUR), live,
        "How long is waited, all in all, before the rates count (100ms to 1h)."),
    key!(limits.idle_timeout: duration(INSTANT..=WEEK), live,
        "The pause of a client between two requests (up to 168h)."),
    key!(limits.client_timeout: duration(INSTANT..=WEEK), live,
        "Within an exchange, nothing comes from the client, or is taken by it (up to 168h)."),
    key!(limits.origin_timeout: duration(INSTANT..=WEEK), live,
        "Within an exchange, nothing comes from the origin, or is taken by it (up to 168h)."),
    key!(limits.tunnel_idle_timeout: duration(INSTANT..=WEEK), live,
        "Nothing moved in a tunnel: an upgrade, CONNECT, or what is not HTTP (up to 168h)."),
    key!(limits.connect_timeout: duration(INSTANT..=HOUR), live,
        "How long an origin may take to answer a connect (up to 1h)."),
    key!(limits.drain: duration(Duration::ZERO..=HOUR), live,
        "How long a stop waits for live exchanges (0s to 1h)."),
    key!(valve.enabled: boolean(), live,
        "Without it, steered connections that lead nowhere time out."),
    key!(valve.window: duration(BLINK..=MINUTE), live,
        "How long unanswered steering is tolerated before the valve opens (100ms to 1m)."),
    key!(valve.probe: number(1..=1_000_000), live,
        "While open, one SYN in so many is steered to see whether it works again."),
    key!(log.access: access(), live,
        "One line per request: \"off\", \"stdout\", \"journald\" or the absolute path of a file,\n\
         which SIGUSR1 and a reload open anew (log rotation)."),
    key!(log.format: word(), live,
        "The line: \"json\", \"squid\" (Squid's native format) or \"combined\" (Apache, NCSA)."),
    key!(log.query: word(), live,
        "\"redact\" leaves out what stands behind the ? of a URL; \"keep\" does not."),
    key!(log.extra: boolean(), live,
        "Whether the lines \"squid\" and \"combined\" end with client port, spoofed port, reason."),
    key!(log.journal: file(), live,
        "The journal's socket, an absolute path. Empty: /run/systemd/journal/socket"),
    key!(log.level: level(), fixed,
        "The daemon's own messages: \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a\n\
         list of filters such as \"info,proxy_userspace::session=debug\"."),
    key!(bypass.directory: file(), fixed,
        "Where the lists are kept, an absolute path. Empty: /var/lib/weir/<instance>/bypass"),
    key!(bypass.entries: count(1..=1 << 20), fixed,
        "Entries of each address family at most, in all lists together (1 to 1048576)."),
    key!(bypass.damaged: word(), fixed,
        "What becomes of a start whose lists cannot be read: \"refuse\" does not start; \"direct\"\n\
         starts, but lets all go direct until they are mended."),
    key!(bypass.feeds: feeds(), live,
        "Lists that others write: files of plain text or JSON, absolute paths, taken in when they\n\
         change. /srv/banks.txt is the list \"banks\"."),
    key!(bypass.learn.enabled: boolean(), live,
        "Whether entries are added. What they would be is found out in any case."),
    key!(bypass.learn.events: number(1..=20), live,
        "So many events of one client and destination within the window: flows that are not\n\
         HTTP, connects that fail while others work, answers that go around us (1 to 20)."),
    key!(bypass.learn.window: duration(SECOND..=DAY), live,
        "How long an event counts (1s to 24h)."),
    key!(bypass.learn.lifetime as "bypass.learn.for": duration(SECOND..=YEAR), live,
        "How long a learned entry holds (1s to 8784h)."),
    key!(bypass.learn.clients: count(2..=1000), live,
        "Once so many clients agree, and it works for nobody, the entry is for all (2 to 1000)."),
    key!(bypass.learn.limit: count(1..=100_000), live,
        "Learned entries at once (1 to 100000); a client has at most a quarter of them."),
    key!(bypass.learn.never: prefixes(), live,
        "Destinations and clients that nothing is learned about, such as [\"10.0.0.0/8\"];\n\
         besides those destinations that a [[rule]] names."),
    key!(metrics.listen: endpoint(), live,
        "Where /metrics is answered: \"9487\" is that port of the loopback device, \"ADDRESS:PORT\"\n\
         any other; whoever reaches it can read. Empty: nowhere."),
    key!(control.group: account(), fixed,
        "A group whose members may read, and edit bypass lists, without being root. Empty: none."),
    key!(control.read_group: account(), fixed,
        "A group whose members may read, and no more. Empty: none."),
    key!(security.user: account(), fixed,
        "The user that the daemon becomes. Empty: \"weir\", if this host has that user, else it\n\
         stays the one that started it; \"root\": so it does in any case."),
    key!(security.landlock: boolean(), fixed,
        "Confines the daemon to the files that it needs, if the kernel has Landlock."),
    key!(host.table: table(), fixed,
        "Number of the routing table that delivers marked packets locally."),
    key!(host.priority: number(1..=32_765), fixed,
        "Priority of the routing rules, before the main table's (1 to 32765)."),
    key!(host.steer_mark: mark(), fixed,
        "The bit of a packet's mark that says \"deliver locally\". Nobody else may use it."),
    key!(host.socket_mark: mark(), fixed,
        "The bit of a socket's mark that says \"weir's own\". Nobody else may use it."),
    key!(host.output_mark: mark(), fixed,
        "With intercept.output: the bit that brings this host's own connections to weir."),
    key!(workers.count: count(0..=1024), fixed,
        "Worker threads; 0 is one per CPU."),
];

/// `section.key` in its two halves; the section's name may have a dot too.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or((path, ""))
}

/// `config` as a commented file.
pub(super) fn sample(config: &Config) -> String {
    let mut text = String::from(
        "# Configuration of weir, every key at its default. What you do not need you can delete.\n\
         # Durations have a unit: ms, s, m, h. Sizes too: B, KiB, MiB, GiB.\n\
         # Keys marked (restart) cannot change on a reload (SIGHUP).\n",
    );
    for (section, doc) in SECTIONS {
        let _ = write!(text, "\n# {doc}\n[{section}]\n");
        for key in KEYS.iter().filter(|key| split(key.path).0 == section) {
            let restart = if key.live { "" } else { " (restart)" };
            let doc = key.doc.replace('\n', "\n# ");
            let _ = writeln!(
                text,
                "# {doc}{restart}\n{} = {}",
                split(key.path).1,
                (key.show)(config)
            );
        }
    }
    text + rule::SAMPLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_section_and_every_section_a_key() {
        let mut sections: Vec<_> = KEYS.iter().map(|key| split(key.path).0).collect();
        sections.dedup();
        let expected: Vec<_> = SECTIONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            sections, expected,
            "keys are grouped in the order of the sections"
        );
    }

    #[test]
    fn the_sample_explains_every_key_and_stays_narrow() {
        let sample = sample(&Config::default());
        for key in &KEYS {
            let (_, name) = split(key.path);
            assert!(sample.contains(&format!("\n{name} = ")), "{}", key.path);
            assert!(!key.doc.is_empty(), "{}", key.path);
        }
        for line in sample.lines() {
            assert!(line.len() <= 100, "{line}");
        }
    }
}
