//! Squid's native access log, as log analysers read it:
//! `%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt` (`logformat squid`).

use std::{net::SocketAddr, time::SystemTime};

use super::{digits, escape};
use crate::{
    observe::{host::HostLabel, record::AccessRecord},
    reason::Reason,
};

/// Writes the line, without its end.
pub(super) fn write(record: &AccessRecord<'_>, extra: bool, out: &mut Vec<u8>) {
    let since_epoch = record
        .time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        // Squid notes when a request ended.
        .saturating_add(record.duration);
    digits::number(since_epoch.as_secs(), out);
    out.push(b'.');
    digits::padded(since_epoch.subsec_millis().into(), 3, b'0', out);
    out.push(b' ');
    let millis = u64::try_from(record.duration.as_millis()).unwrap_or(u64::MAX);
    digits::padded(millis, 6, b' ', out);
    out.push(b' ');
    digits::address(record.client.0.ip(), out);
    out.push(b' ');
    let kind = Kind::of(record);
    result(record, kind, out);
    out.push(b' ');
    digits::number(record.bytes_out, out);
    out.push(b' ');
    match record.method {
        Some(method) => escape::percent(method, out),
        None if kind == Kind::Tunnel => out.extend_from_slice(b"CONNECT"),
        None => out.push(b'-'),
    }
    out.push(b' ');
    url(record, kind, out);
    if kind != Kind::Own && record.spoofed.is_some() {
        out.extend_from_slice(b" - ORIGINAL_DST/");
        digits::address(record.origin.0.ip(), out);
        out.push(b' ');
    } else {
        out.extend_from_slice(b" - HIER_NONE/- ");
    }
    media_type(record.content_type, out);
    if extra {
        additions(record, out);
    }
}

/// Whose business it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The origin's.
    Relayed,
    /// The origin's, and no HTTP, or none any more.
    Tunnel,
    /// Ours: the origin, even if there was a connection to it, has not heard of it.
    Own,
}

impl Kind {
    fn of(record: &AccessRecord<'_>) -> Self {
        let nameless = record.method.is_none() && record.target.is_none();
        match record.reason {
            Reason::Tunnel | Reason::Upgraded => Self::Tunnel,
            // A connection that came to no request, and still to an origin.
            Reason::OriginRefused
            | Reason::OriginReset
            | Reason::OriginUnreachable
            | Reason::OriginTimeout
            | Reason::NoSourcePort
            | Reason::LocalLimit
            | Reason::NoReturnPath
            | Reason::AsymmetricReturn
            | Reason::IdleTimeout
                if nameless =>
            {
                Self::Tunnel
            }
            Reason::Draining | Reason::BypassedNow | Reason::TrackedNow | Reason::Killed
                if nameless && record.spoofed.is_some() =>
            {
                Self::Tunnel
            }
            // A tunnel that was cut, where there was a request for it.
            _ if record.status == Some(101) => Self::Tunnel,
            _ if record.method == Some(b"CONNECT") && matches!(record.status, Some(200..=299)) => {
                Self::Tunnel
            }
            Reason::Denied | Reason::HostMismatch | Reason::Redirected | Reason::MaxForwards => {
                Self::Own
            }
            _ if record.method.is_none() => Self::Own,
            _ => Self::Relayed,
        }
    }
}

/// `%Ss/%03>Hs`: Squid's word for what became of it, and the status. A tunnel that came about
/// has 200, as Squid gives one that it was not asked for by CONNECT.
fn result(record: &AccessRecord<'_>, kind: Kind, out: &mut Vec<u8>) {
    let word: &[u8] = match (kind, record.reason) {
        (_, Reason::Denied | Reason::HostMismatch) => b"TCP_DENIED",
        (_, Reason::Redirected) => b"TCP_REDIRECT",
        (Kind::Own, _) => b"NONE_NONE",
        (Kind::Tunnel, _) => b"TCP_TUNNEL",
        (Kind::Relayed, _) => b"TCP_MISS",
    };
    let ended: &[u8] = match (kind, record.reason) {
        (Kind::Own, _) => b"",
        (_, Reason::ClientStalled | Reason::SlowClient | Reason::IdleTimeout) => b"_TIMEDOUT",
        (
            _,
            Reason::ClientClosed
            | Reason::Draining
            | Reason::BypassedNow
            | Reason::TrackedNow
            | Reason::Killed,
        ) => b"_ABORTED",
        _ => b"",
    };
    let status = match record.status {
        None if kind == Kind::Tunnel && record.spoofed.is_some() => 200,
        status => status.unwrap_or(0),
    };
    out.extend_from_slice(word);
    out.extend_from_slice(ended);
    out.push(b'/');
    digits::padded(status.into(), 3, b'0', out);
}

/// `%ru`: the absolute URL; `host:port` of a tunnel; where there is neither, Squid's `error:`,
/// followed by what came, if anything did.
fn url(record: &AccessRecord<'_>, kind: Kind, out: &mut Vec<u8>) {
    match (record.method, record.target) {
        (Some(_), Some(target)) if target.starts_with(b"/") || target == b"*" => {
            out.extend_from_slice(b"http://");
            match record.host.map(without_default_port) {
                None | Some(b"") => authority(record.origin.0, Some(80), out),
                Some(host) => escape::percent(host, out),
            }
            if target == b"*" {
                out.push(b'/');
            }
            escape::percent(target, out);
        }
        (Some(_), Some(target)) => escape::percent(target, out),
        (_, None) if kind == Kind::Tunnel => match record.sni {
            Some(name) => {
                escape::percent(name.as_bytes(), out);
                out.push(b':');
                digits::number(record.origin.0.port(), out);
            }
            None => authority(record.origin.0, None, out),
        },
        (_, None) => out.extend_from_slice(b"error:transaction-end-before-headers"),
        (None, Some(line)) => {
            out.extend_from_slice(match record.reason {
                Reason::TargetTooLong | Reason::HeadTooLarge => b"error:request-too-large/",
                Reason::Overload | Reason::ClientLimit | Reason::MemoryLimit => {
                    b"error:accept-client-connection/"
                }
                _ => &b"error:invalid-request/"[..],
            });
            escape::percent(line, out);
        }
    }
}

/// Squid leaves out the port that goes without saying.
fn without_default_port(host: &[u8]) -> &[u8] {
    host.strip_suffix(b":80")
        .or_else(|| host.strip_suffix(b":"))
        .unwrap_or(host)
}

/// `address:port`, without a port that goes without saying.
fn authority(address: SocketAddr, default_port: Option<u16>, out: &mut Vec<u8>) {
    let is_v6 = address.ip().to_canonical().is_ipv6();
    if is_v6 {
        out.push(b'[');
    }
    digits::address(address.ip(), out);
    if is_v6 {
        out.push(b']');
    }
    if Some(address.port()) != default_port {
        out.push(b':');
        digits::number(address.port(), out);
    }
}

/// `%mt`, without its parameters.
fn media_type(content_type: Option<&[u8]>, out: &mut Vec<u8>) {
    let media_type = content_type
        .and_then(|value| value.split(|&byte| byte == b';').next())
        .map(<[u8]>::trim_ascii)
        .filter(|media_type| !media_type.is_empty());
    match media_type {
        Some(media_type) => escape::percent(media_type, out),
        None => out.push(b'-'),
    }
}

/// What the format has no place for, in brackets, where Squid's own `log_mime_hdrs` puts the
/// heads. Analysers know that: Calamaris strips what is in brackets, LightSquid takes a line with
/// up to four words more for a broken one and ignores what is behind if there are five.
fn additions(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b" [client_port=");
    digits::number(record.client.0.port(), out);
    out.extend_from_slice(b" spoofed_port=");
    digits::port(record.spoofed.map(|spoofed| spoofed.0), out);
    out.extend_from_slice(b" reason=");
    out.extend_from_slice(record.reason.as_str().as_bytes());
    out.extend_from_slice(b" host_check=");
    let host_check = record.host_check.map_or("-", HostLabel::as_str);
    out.extend_from_slice(host_check.as_bytes());
    out.extend_from_slice(b" rule=");
    escape::percent(record.rule.unwrap_or("-").as_bytes(), out);
    out.push(b']');
}

#[cfg(test)]
mod tests;
