//! How clients and destinations are written.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;

/// Addresses: one, those of a prefix, or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Any,
    One(IpAddr),
    Prefix(IpNet),
}

impl Which {
    pub(super) fn prefix(self) -> Option<IpNet> {
        match self {
            Self::Any => None,
            // A mapped address stands for an IPv4 one.
            Self::One(address) => Some(address.to_canonical().into()),
            Self::Prefix(prefix) => Some(prefix),
        }
    }
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let one = text.parse().map(Self::One);
        one.or_else(|_| text.parse().map(Self::Prefix))
            .map_err(|_| "write an address, a prefix, or any".to_owned())
    }
}

/// Destinations, and the port if it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) which: Which,
    pub(super) port: Option<u16>,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(which) = text.parse() {
            return Ok(Self { which, port: None });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                which: Which::One(address.ip()),
                port: Some(address.port()),
            });
        }
        let wrong = || {
            "write an address, ADDRESS:PORT, or [ADDRESS]:PORT for IPv6; with --watch a prefix or \
             any, too"
                .to_owned()
        };
        let (which, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bare = which
            .strip_prefix('[')
            .and_then(|which| which.strip_suffix(']'));
        let which: Which = bare.unwrap_or(which).parse().map_err(|_| wrong())?;
        // The last group of an IPv6 address would be taken for a port.
        if bare.is_none() && matches!(which.prefix(), Some(IpNet::V6(_))) {
            return Err(wrong());
        }
        Ok(Self {
            which,
            port: Some(port.parse().map_err(|_| wrong())?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read() {
        let net = |text: &str| Which::Prefix(text.parse().unwrap());
        let one = |text: &str| Which::One(text.parse().unwrap());
        for (text, which, port) in [
            ("203.0.113.7", one("203.0.113.7"), None),
            ("203.0.113.7:8080", one("203.0.113.7"), Some(8080)),
            ("203.0.113.0/24", net("203.0.113.0/24"), None),
            ("203.0.113.0/24:81", net("203.0.113.0/24"), Some(81)),
            ("any", Which::Any, None),
            ("any:22", Which::Any, Some(22)),
            ("2001:db8::7", one("2001:db8::7"), None),
            ("[2001:db8::7]:80", one("2001:db8::7"), Some(80)),
            ("2001:db8::/32", net("2001:db8::/32"), None),
            ("[2001:db8::/32]:80", net("2001:db8::/32"), Some(80)),
        ] {
            assert_eq!(text.parse(), Ok(Destination { which, port }), "{text}");
        }
        for wrong in [
            "",
            "x",
            "203.0.113.7:",
            "any:x",
            "any:65536",
            "2001:db8::/32:80",
        ] {
            assert!(wrong.parse::<Destination>().is_err(), "{wrong}");
        }
    }
}
