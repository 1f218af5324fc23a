//! Whether a request's Host names the address that its client dialled.
//!
//! The connection goes where the client dialled, whatever Host says (RFC 9110 §7.4); a Host that
//! names something else is how clients go around rules and poison caches (CVE-2009-0801).

use std::net::{IpAddr, SocketAddr};

use crate::observe::HostLabel;

/// The port that a Host without one means: what we speak is `http`.
const DEFAULT_PORT: u16 = 80;

/// What can be said of a Host without asking anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named<'h> {
    /// An address literal, another port, or nothing: that is the label.
    Known(HostLabel),
    /// The right port of a name.
    Name(&'h str),
}

/// Compares `host`, a valid one (`uri-host [ ":" port ]`), with the address that was dialled.
pub(super) fn compare(host: Option<&str>, origin: SocketAddr) -> Named<'_> {
    let Some(host) = host.filter(|host| !host.is_empty()) else {
        return Named::Known(HostLabel::Unverified);
    };
    let (name, port) = divide(host);
    if port != Some(origin.port()) {
        return Named::Known(HostLabel::Mismatch);
    }
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    match literal.parse::<IpAddr>() {
        Ok(address) => Named::Known(HostLabel::by_addresses(&[address], origin)),
        Err(_) => Named::Name(name.trim_end_matches('.')),
    }
}

/// Name and port; `None` for a port that is none.
fn divide(host: &str) -> (&str, Option<u16>) {
    let name_len = match host.find(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(name_len);
    match port.trim_start_matches(':') {
        "" => (name, Some(DEFAULT_PORT)),
        digits => (name, digits.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_ports_speak_for_themselves() {
        use HostLabel::{Mismatch, Unverified, Verified};
        let v4 = "203.0.113.7:80";
        let v6 = "[2001:db8::7]:80";
        for (host, origin, label) in [
            ("203.0.113.7", v4, Verified),
            ("203.0.113.7:80", v4, Verified),
            ("203.0.113.7:", v4, Verified),
            ("203.0.113.8", v4, Mismatch),
            ("203.0.113.7:8080", v4, Mismatch),
            ("203.0.113.7", "203.0.113.7:8080", Mismatch),
            ("203.0.113.7:8080", "203.0.113.7:8080", Verified),
            ("[2001:db8::7]", v6, Verified),
            ("[2001:DB8:0::7]:80", v6, Verified),
            ("[2001:db8::8]", v6, Mismatch),
            ("203.0.113.7", v6, Mismatch),
            ("a.example:81", v4, Mismatch),
            ("", v4, Unverified),
        ] {
            let origin = origin.parse().unwrap();
            assert_eq!(compare(Some(host), origin), Named::Known(label), "{host}");
        }
        let origin = v4.parse().unwrap();
        assert_eq!(compare(None, origin), Named::Known(Unverified));
        assert_eq!(compare(Some("a.example"), origin), Named::Name("a.example"));
        assert_eq!(
            compare(Some("a.example.:80"), origin),
            Named::Name("a.example")
        );
    }
}
