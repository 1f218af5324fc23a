//! Squid's native access log, as log analysers read it:
//! `%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt` (`logformat squid`).

use std::{io::Write as _, time::SystemTime};

use super::escape;
use crate::{observe::record::AccessRecord, reason::Reason};

/// Writes the line, without its end. With `extra` a word in brackets follows, in the place of
/// the header dump that Squid's own `log_mime_hdrs` puts there.
pub(super) fn write(record: &AccessRecord<'_>, extra: bool, out: &mut Vec<u8>) {
    let since_epoch = record
        .time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        // Squid notes when a request ended.
        .saturating_add(record.duration);
    let _ = write!(
        out,
        "{}.{:03} {:6} {} {}/{:03} {} ",
        since_epoch.as_secs(),
        since_epoch.subsec_millis(),
        record.duration.as_millis(),
        record.client.0.ip().to_canonical(),
        result(record.reason),
        record.status.unwrap_or(0),
        record.bytes_out,
    );
    match record.method {
        Some(method) => escape::percent(method, out),
        None if is_tunnel(record.reason) => out.extend_from_slice(b"CONNECT"),
        None => out.extend_from_slice(b"NONE"),
    }
    out.push(b' ');
    url(record, out);
    let hierarchy = if record.spoofed.is_some() {
        format!(" - ORIGINAL_DST/{} ", record.origin.0.ip().to_canonical())
    } else {
        " - HIER_NONE/- ".to_owned()
    };
    out.extend_from_slice(hierarchy.as_bytes());
    media_type(record.content_type, out);
    if extra {
        let _ = write!(out, " [client_port={}", record.client.0.port());
        if let Some(spoofed) = record.spoofed {
            let _ = write!(out, ",spoofed_port={}", spoofed.0.port());
        }
        let _ = write!(out, ",reason={}]", record.reason);
    }
}

/// Squid's word for what became of it.
const fn result(reason: Reason) -> &'static str {
    match reason {
        Reason::Tunnel | Reason::Upgraded => "TCP_TUNNEL",
        Reason::Denied | Reason::HostMismatch => "TCP_DENIED",
        Reason::Redirected => "TCP_REDIRECT",
        Reason::ClientClosed
        | Reason::ClientStalled
        | Reason::SlowClient
        | Reason::IdleTimeout
        | Reason::Draining => "TCP_MISS_ABORTED",
        Reason::BadRequest
        | Reason::TargetTooLong
        | Reason::HeadTooLarge
        | Reason::UnknownCoding
        | Reason::UnknownVersion
        | Reason::NotHttp
        | Reason::HeadTimeout
        | Reason::Overload
        | Reason::ClientLimit
        | Reason::MemoryLimit
        | Reason::OwnListener
        | Reason::MaxForwards => "NONE_NONE",
        _ => "TCP_MISS",
    }
}

const fn is_tunnel(reason: Reason) -> bool {
    matches!(reason, Reason::Tunnel | Reason::Upgraded)
}

/// The absolute URL; `host:port` of a tunnel; `error:` and what came where there is none.
fn url(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    match record.target {
        Some(target) if record.method.is_none() => {
            out.extend_from_slice(b"error:invalid-request/");
            escape::percent(target, out);
        }
        Some(target) if target.starts_with(b"/") || target == b"*" => {
            out.extend_from_slice(b"http://");
            match record.host.filter(|host| !host.is_empty()) {
                Some(host) => escape::percent(host, out),
                None => origin(record, out),
            }
            if target == b"*" {
                out.push(b'/');
            }
            escape::percent(target, out);
        }
        Some(target) => escape::percent(target, out),
        None if is_tunnel(record.reason) => match record.sni {
            Some(name) => {
                escape::percent(name.as_bytes(), out);
                let _ = write!(out, ":{}", record.origin.0.port());
            }
            None => {
                let _ = write!(out, "{}", record.origin.0);
            }
        },
        None => out.extend_from_slice(b"error:transaction-end-before-headers"),
    }
}

fn origin(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    let address = record.origin.0;
    let _ = if address.port() == 80 && address.is_ipv4() {
        write!(out, "{}", address.ip())
    } else if address.port() == 80 {
        write!(out, "[{}]", address.ip())
    } else {
        write!(out, "{address}")
    };
}

/// Without its parameters.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::example;

    fn line(record: &AccessRecord<'_>, extra: bool) -> String {
        let mut out = Vec::new();
        write(record, extra, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_squid_writes_it() {
        assert_eq!(
            line(&example(), false),
            "1769847300.054     12 10.0.0.7 TCP_MISS/200 1234567890123 GET \
             http://example.com/a?b=c - ORIGINAL_DST/2001:db8::1 text/html"
        );
        assert!(
            line(&example(), true)
                .ends_with(" text/html [client_port=40000,spoofed_port=10001,reason=served]")
        );
    }

    #[test]
    fn what_came_to_no_response() {
        let refused = AccessRecord {
            method: None,
            host: None,
            target: Some(b"GET / \x01"),
            status: Some(400),
            spoofed: None,
            content_type: None,
            reason: Reason::BadRequest,
            ..example()
        };
        assert!(line(&refused, false).contains(
            " NONE_NONE/400 1234567890123 NONE error:invalid-request/GET%20/%20%01 - HIER_NONE/- -"
        ));
        let tunnel = AccessRecord {
            method: None,
            host: None,
            target: None,
            status: None,
            reason: Reason::Tunnel,
            content_type: None,
            ..example()
        };
        assert!(
            line(&tunnel, false)
                .contains(" TCP_TUNNEL/000 1234567890123 CONNECT [2001:db8::1]:80 ")
        );
        let named = AccessRecord {
            sni: Some("a.example"),
            ..tunnel
        };
        assert!(line(&named, false).contains(" CONNECT a.example:80 - ORIGINAL_DST/"));
    }

    #[test]
    fn urls_are_absolute() {
        let without_host = AccessRecord {
            host: None,
            ..example()
        };
        assert!(line(&without_host, false).contains(" http://[2001:db8::1]/a?b=c "));
        let absolute = AccessRecord {
            target: Some(b"http://b.example/"),
            ..example()
        };
        assert!(line(&absolute, false).contains(" GET http://b.example/ "));
        let all = AccessRecord {
            target: Some(b"*"),
            ..example()
        };
        assert!(line(&all, false).contains(" http://example.com/* "));
    }
}
