//! Why a connection or a request ended as it did.
//!
//! One kebab-case word each, the same in the access log, in `weir status` and in the docs. The
//! kernel's own reasons (why a SYN was intercepted or left alone) are
//! [`proxy_ebpf::verdict::Reason`].

use std::fmt;

/// The outcome of a request (access log) or of a connection that never came to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Request and response were relayed completely.
    Served,
    /// Bytes that cannot begin an HTTP request, relayed both ways until both sides were done.
    Tunnel,
    /// A `101` or a 2xx to CONNECT turned the connection into a tunnel.
    Upgraded,
    /// The request's head or framing was malformed or ambiguous (RFC 9112 §6.3, §11.2): 400.
    BadRequest,
    /// The request's target was longer than `limits.head`: 414.
    TargetTooLong,
    /// The request's head was longer than `limits.head` or had too many fields: 431.
    HeadTooLarge,
    /// A transfer coding that we cannot frame: 501.
    UnknownCoding,
    /// An HTTP major version other than 1: 505.
    UnknownVersion,
    /// The origin's response was malformed or ambiguous: 502 if nothing had been sent on.
    BadResponse,
    /// Bytes that cannot begin an HTTP request, where `http.not_http` is `reject`: 400.
    NotHttp,
    /// The origin answered the first request of its connection with what cannot begin an HTTP
    /// response (ICY, HTTP/0.9); it was relayed to its end.
    RawResponse,
    /// A `[[rule]]` refused the request.
    Denied,
    /// A `[[rule]]` sent the client elsewhere.
    Redirected,
    /// `Host` does not name the address that was dialled, and `http.host_check` is strict: 403.
    HostMismatch,
    /// `Max-Forwards` was 0: TRACE or OPTIONS was answered here (RFC 9110 §7.6.2).
    MaxForwards,
    /// The client did not finish a head within `limits.head_timeout`: 408.
    HeadTimeout,
    /// Between two requests, or in a tunnel, nothing moved for the idle timeout.
    IdleTimeout,
    /// The client moved nothing for `limits.client_timeout` within an exchange: 408 if nothing
    /// had been sent on.
    ClientStalled,
    /// The client was slower than `limits.min_send_rate` or `limits.min_receive_rate`: 408 if
    /// nothing had been sent on.
    SlowClient,
    /// The origin moved nothing for `limits.origin_timeout`: 504 if nothing had been sent on.
    OriginStalled,
    /// The client closed or reset before the exchange was complete.
    ClientClosed,
    /// The origin closed or reset before its response was complete.
    OriginClosed,
    /// The origin refused the connection; the client was reset, as it would have been without us.
    OriginRefused,
    /// The origin reset the connection while it was being made; so was the client's.
    OriginReset,
    /// The origin could not be reached (ICMP, no route): 502.
    OriginUnreachable,
    /// The origin did not answer the connect within `limits.connect_timeout`: 504.
    OriginTimeout,
    /// No free source port for the client's address towards this origin: 503.
    NoSourcePort,
    /// This process has no socket or descriptor left for a connection to the origin: 503.
    LocalLimit,
    /// `limits.connections` was reached: 503.
    Overload,
    /// `limits.client_connections` was reached by this client: 503.
    ClientLimit,
    /// `limits.memory` was reached: 503.
    MemoryLimit,
    /// The connection was made to the listener's own address, not intercepted.
    OwnListener,
    /// The daemon stopped before the exchange was complete.
    Draining,
    /// The valve opened while the origin had not answered; the client was reset so that it
    /// comes again, directly.
    NoReturnPath,
    /// A bypass entry that was added with the word to hold for live connections ended this one.
    BypassedNow,
    /// Conntrack began to track, and took both sides of a connection with the client's own port
    /// (`spoof.source = "client-port"`) for one.
    TrackedNow,
    /// Our connection to the origin came back to us; the client was reset so that it comes again,
    /// directly.
    Looping,
    /// The origin's answer to the connect came to the client by a way that does not pass us; the
    /// client was reset.
    AsymmetricReturn,
    /// `weir flows kill` ended the connection.
    Killed,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 39] = [
        Self::Served,
        Self::Tunnel,
        Self::Upgraded,
        Self::BadRequest,
        Self::TargetTooLong,
        Self::HeadTooLarge,
        Self::UnknownCoding,
        Self::UnknownVersion,
        Self::BadResponse,
        Self::NotHttp,
        Self::RawResponse,
        Self::Denied,
        Self::Redirected,
        Self::HostMismatch,
        Self::MaxForwards,
        Self::HeadTimeout,
        Self::IdleTimeout,
        Self::ClientStalled,
        Self::SlowClient,
        Self::OriginStalled,
        Self::ClientClosed,
        Self::OriginClosed,
        Self::OriginRefused,
        Self::OriginReset,
        Self::OriginUnreachable,
        Self::OriginTimeout,
        Self::NoSourcePort,
        Self::LocalLimit,
        Self::Overload,
        Self::ClientLimit,
        Self::MemoryLimit,
        Self::OwnListener,
        Self::Draining,
        Self::NoReturnPath,
        Self::BypassedNow,
        Self::TrackedNow,
        Self::Looping,
        Self::AsymmetricReturn,
        Self::Killed,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Tunnel => "tunnel",
            Self::Upgraded => "upgraded",
            Self::BadRequest => "bad-request",
            Self::TargetTooLong => "target-too-long",
            Self::HeadTooLarge => "head-too-large",
            Self::UnknownCoding => "unknown-coding",
            Self::UnknownVersion => "unknown-version",
            Self::BadResponse => "bad-response",
            Self::NotHttp => "not-http",
            Self::RawResponse => "raw-response",
            Self::Denied => "denied",
            Self::Redirected => "redirected",
            Self::HostMismatch => "host-mismatch",
            Self::MaxForwards => "max-forwards",
            Self::HeadTimeout => "head-timeout",
            Self::IdleTimeout => "idle-timeout",
            Self::ClientStalled => "client-stalled",
            Self::SlowClient => "slow-client",
            Self::OriginStalled => "origin-stalled",
            Self::ClientClosed => "client-closed",
            Self::OriginClosed => "origin-closed",
            Self::OriginRefused => "origin-refused",
            Self::OriginReset => "origin-reset",
            Self::OriginUnreachable => "origin-unreachable",
            Self::OriginTimeout => "origin-timeout",
            Self::NoSourcePort => "no-source-port",
            Self::LocalLimit => "local-limit",
            Self::Overload => "overload",
            Self::ClientLimit => "client-limit",
            Self::MemoryLimit => "memory-limit",
            Self::OwnListener => "own-listener",
            Self::Draining => "draining",
            Self::NoReturnPath => "no-return-path",
            Self::BypassedNow => "bypassed-now",
            Self::TrackedNow => "tracked-now",
            Self::Looping => "looping",
            Self::AsymmetricReturn => "asymmetric-return",
            Self::Killed => "killed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
