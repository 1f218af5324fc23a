//! What an entry matches.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU16,
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{error::EntryError, interface::InterfaceName, text};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What an entry matches, which is also what it is known by within its list.
///
/// Whatever is said must hold of a connection; a key that says nothing matches every one. A key
/// that exists is sound: prefixes are without host bits, not IPv4 in disguise, and of one family.
/// Its text, in which it is serialised, is that of an entry: `192.0.2.0/24 src 10.0.0.0/8 port 80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    destination: Option<IpNet>,
    source: Option<IpNet>,
    port: Option<NonZeroU16>,
    interface: Option<InterfaceName>,
}

impl Key {
    /// A key of these parts. `None` for both prefixes means both families.
    ///
    /// # Errors
    ///
    /// [`EntryError`] for host bits, IPv4-mapped prefixes, prefixes of two families and port 0.
    pub fn new(
        destination: Option<IpNet>,
        source: Option<IpNet>,
        port: Option<u16>,
        interface: Option<InterfaceName>,
    ) -> Result<Self, EntryError> {
        let port = port
            .map(|port| NonZeroU16::new(port).ok_or_else(|| EntryError::Port(port.to_string())))
            .transpose()?;
        Self::of(
            destination.map(sound).transpose()?,
            source.map(sound).transpose()?,
            port,
            interface,
        )
    }

    /// A key of parts that are sound each for itself.
    pub(super) fn of(
        destination: Option<IpNet>,
        source: Option<IpNet>,
        port: Option<NonZeroU16>,
        interface: Option<InterfaceName>,
    ) -> Result<Self, EntryError> {
        match (destination, source) {
            (Some(destination), Some(source_prefix))
                if family(destination) != family(source_prefix) =>
            {
                Err(EntryError::Mixed {
                    destination,
                    source_prefix,
                })
            }
            _ => Ok(Self {
                destination,
                source,
                port,
                interface,
            }
            .in_one_way()),
        }
    }

    /// The one way to say what it says: beside a prefix, `/0` of the same family says nothing, and
    /// a family alone is said by its destination.
    fn in_one_way(self) -> Self {
        let all = |prefix: &IpNet| prefix.prefix_len() == 0;
        let (destination, source) = match (self.destination, self.source) {
            (destination @ Some(_), Some(source)) if all(&source) => (destination, None),
            (Some(destination), source @ Some(_)) if all(&destination) => (None, source),
            (None, Some(source)) if all(&source) => (Some(source), None),
            parts => parts,
        };
        Self {
            destination,
            source,
            ..self
        }
    }

    /// Where connections go to; `None` is anywhere.
    #[must_use]
    pub fn destination(&self) -> Option<IpNet> {
        self.destination
    }

    /// Where connections come from; `None` is anywhere.
    #[must_use]
    pub fn source(&self) -> Option<IpNet> {
        self.source
    }

    /// The port that connections go to, 1 to 65535; `None` is any.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port.map(NonZeroU16::get)
    }

    /// The interface that connections come in by; `None` is any.
    #[must_use]
    pub fn interface(&self) -> Option<&InterfaceName> {
        self.interface.as_ref()
    }

    /// The family of the connections that match, `None` if both do.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        self.destination.or(self.source).map(family)
    }

    /// Whether every connection of a family matches: neither prefix is narrower than `/0`, and
    /// there is no port and no interface. To bypass that is seldom meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        let wide = |prefix: Option<IpNet>| prefix.is_none_or(|prefix| prefix.prefix_len() == 0);
        wide(self.destination)
            && wide(self.source)
            && self.port.is_none()
            && self.interface.is_none()
    }
}

/// Reads what [`fmt::Display`] writes; however wide it is.
impl FromStr for Key {
    type Err = super::TextError;

    fn from_str(text: &str) -> Result<Self, super::TextError> {
        text::parse_key(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write::key(self, f)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Reads an address or a prefix, host bits and all.
pub(super) fn prefix(text: &str) -> Result<IpNet, EntryError> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| EntryError::NotAPrefix(text.to_owned()))
}

/// The prefix itself, if it has no host bits and is not IPv4 in disguise.
pub(super) fn sound(given: IpNet) -> Result<IpNet, EntryError> {
    if let Some(right) = unmapped(given) {
        return Err(EntryError::Mapped { given, right });
    }
    match given.trunc() {
        right if right == given => Ok(given),
        right => Err(EntryError::HostBits { given, right }),
    }
}

/// Reads a port.
pub(super) fn port(text: &str) -> Result<NonZeroU16, EntryError> {
    // `parse` alone would take "+80".
    Some(text)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| EntryError::Port(text.to_owned()))
}

/// The family of a prefix.
pub(super) fn family(prefix: IpNet) -> Family {
    match prefix {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}

/// The IPv4 prefix that an IPv4-mapped one (`::ffff:0:0/96`, RFC 4291 §2.5.5.2) stands for.
fn unmapped(prefix: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = prefix else { return None };
    let length = v6.prefix_len().checked_sub(96)?;
    let v4 = Ipv6Addr::to_ipv4_mapped(&v6.addr())?;
    Some(IpNet::new(v4.into(), length).ok()?.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Option<IpNet> {
        (text != "-").then(|| prefix(text).unwrap())
    }

    #[test]
    fn unsound_parts_are_refused_with_what_to_write() {
        for (destination, source, port, message) in [
            (
                "192.0.2.7/24",
                "-",
                None,
                "prefix 192.0.2.7/24 has host bits set; write 192.0.2.0/24, or 192.0.2.7 for the \
                 address",
            ),
            (
                "-",
                "::ffff:192.0.2.7",
                None,
                "::ffff:192.0.2.7/128 is never seen on the wire; write 192.0.2.7/32",
            ),
            (
                "192.0.2.0/24",
                "2001:db8::/32",
                None,
                "destination 192.0.2.0/24 and source 2001:db8::/32 are of different families, \
                 and no connection is; write two prefixes of one family, or two entries",
            ),
            (
                "-",
                "-",
                Some(0),
                "\"0\" is not a port; write a number from 1 to 65535",
            ),
        ] {
            let error = Key::new(net(destination), net(source), port, None).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn ports_are_digits() {
        assert_eq!(port("65535").unwrap().get(), 65535);
        for text in ["", "0", "65536", "+80", "-1", "http", "8 0"] {
            assert_eq!(port(text), Err(EntryError::Port(text.to_owned())));
        }
    }

    #[test]
    fn families_and_everything() {
        let lan = Some("lan0".parse().unwrap());
        for (destination, source, port, interface, family, everything) in [
            ("-", "-", None, None, None, true),
            ("0.0.0.0/0", "-", None, None, Some(Family::V4), true),
            ("-", "::/0", None, None, Some(Family::V6), true),
            ("0.0.0.0/0", "0.0.0.0/0", None, None, Some(Family::V4), true),
            ("-", "-", Some(80), None, None, false),
            ("-", "-", None, lan, None, false),
            (
                "0.0.0.0/0",
                "10.0.0.0/8",
                None,
                None,
                Some(Family::V4),
                false,
            ),
            ("::/1", "-", None, None, Some(Family::V6), false),
        ] {
            let key = Key::new(net(destination), net(source), port, interface).unwrap();
            assert_eq!(
                (key.family(), key.is_everything()),
                (family, everything),
                "{key}"
            );
        }
    }

    #[test]
    fn what_is_the_same_is_the_same_key() {
        for (one, other) in [
            (("192.0.2.7", "0.0.0.0/0"), ("192.0.2.7", "-")),
            (("0.0.0.0/0", "10.0.0.0/8"), ("-", "10.0.0.0/8")),
            (("0.0.0.0/0", "0.0.0.0/0"), ("0.0.0.0/0", "-")),
            (("-", "::/0"), ("::/0", "-")),
        ] {
            let key = |(destination, source)| Key::new(net(destination), net(source), None, None);
            assert_eq!(key(one), key(other));
        }
        let both = Key::new(None, None, Some(80), None);
        assert_ne!(both, Key::new(net("0.0.0.0/0"), None, Some(80), None));
    }

    #[test]
    fn a_key_is_small() {
        assert!(size_of::<Key>() <= 56, "{}", size_of::<Key>());
    }
}
