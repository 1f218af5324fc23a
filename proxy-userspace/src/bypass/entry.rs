//! One line of a bypass list.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

/// The list that entries belong to which an operator makes by hand.
pub const MANUAL: &str = "manual";

/// What is bypassed: connections to a destination or, in place of it, from a source.
///
/// An entry that exists is sound: it has exactly one of the two prefixes, without host bits, of
/// a family that packets have. Its JSON is `{destination, source, list, comment}`, with `null`
/// for what is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Entry {
    destination: Option<IpNet>,
    source: Option<IpNet>,
    list: String,
    comment: Option<String>,
}

/// A prefix as an operator writes it, sound, but not yet said to be of a destination or a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrySpec(IpNet);

/// What cannot be an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Neither an address nor a prefix.
    #[error("\"{0}\" is neither an address nor a prefix; write e.g. 192.0.2.7 or 2001:db8::/32")]
    NotAPrefix(String),
    /// Bits are set behind the prefix.
    #[error("prefix {given} has host bits set; write {right}, or {} for the address", given.addr())]
    HostBits {
        /// The prefix as it was given.
        given: IpNet,
        /// The prefix that contains it.
        right: IpNet,
    },
    /// The prefix covers a whole address family, and that was not forced.
    #[error(
        "prefix {0} covers every address and would end interception of its family; \
         use --yes if that is meant"
    )]
    Everything(IpNet),
    /// An IPv4 address in IPv6 clothes, which no packet carries.
    #[error("{given} is never seen on the wire; write {right}")]
    Mapped {
        /// The prefix as it was given.
        given: IpNet,
        /// The IPv4 prefix that is meant.
        right: IpNet,
    },
    /// Both a destination and a source.
    #[error(
        "an entry with both destination {destination} and source {source_prefix} is not possible \
         in this version yet; make it one of them"
    )]
    Both {
        /// The destination.
        destination: IpNet,
        /// The source.
        source_prefix: IpNet,
    },
    /// Neither a destination nor a source.
    #[error("an entry needs a destination or a source")]
    Neither,
}

impl EntrySpec {
    /// Reads an address or a prefix. `force` accepts the prefix that covers a whole family, which
    /// only adding should refuse: it may well have to be found again and deleted.
    ///
    /// # Errors
    ///
    /// [`EntryError`], but for [`EntryError::Both`] and [`EntryError::Neither`].
    pub fn parse(text: &str, force: bool) -> Result<Self, EntryError> {
        let prefix = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| EntryError::NotAPrefix(text.to_owned()))?;
        let prefix = sound(prefix)?;
        if prefix.prefix_len() == 0 && !force {
            return Err(EntryError::Everything(prefix));
        }
        Ok(Self(prefix))
    }

    /// An entry of the manual list for connections to this prefix.
    #[must_use]
    pub fn destination(self, comment: Option<String>) -> Entry {
        let Self(prefix) = self;
        Entry {
            destination: Some(prefix),
            source: None,
            list: MANUAL.to_owned(),
            comment,
        }
    }

    /// An entry of the manual list for connections from this prefix.
    #[must_use]
    pub fn source(self, comment: Option<String>) -> Entry {
        let Self(prefix) = self;
        Entry {
            destination: None,
            source: Some(prefix),
            list: MANUAL.to_owned(),
            comment,
        }
    }
}

impl Entry {
    /// The prefix of destinations that are bypassed.
    #[must_use]
    pub fn destination(&self) -> Option<IpNet> {
        self.destination
    }

    /// The prefix of clients that are bypassed.
    #[must_use]
    pub fn source(&self) -> Option<IpNet> {
        self.source
    }

    /// The list it belongs to.
    #[must_use]
    pub fn list(&self) -> &str {
        &self.list
    }

    /// What the operator noted down.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.destination, self.source) {
            (Some(destination), None) => write!(f, "destination {destination}"),
            (None, Some(source)) => write!(f, "source {source}"),
            (destination, source) => write!(f, "destination {destination:?} source {source:?}"),
        }
    }
}

/// An entry as a file or a request has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    destination: Option<EntrySpec>,
    source: Option<EntrySpec>,
    list: String,
    comment: Option<String>,
}

impl TryFrom<Unchecked> for Entry {
    type Error = EntryError;

    fn try_from(unchecked: Unchecked) -> Result<Self, EntryError> {
        let Unchecked {
            destination,
            source,
            list,
            comment,
        } = unchecked;
        let destination = destination.map(|EntrySpec(prefix)| prefix);
        let source = source.map(|EntrySpec(prefix)| prefix);
        match (destination, source) {
            (Some(destination), Some(source_prefix)) => Err(EntryError::Both {
                destination,
                source_prefix,
            }),
            (None, None) => Err(EntryError::Neither),
            _ => Ok(Self {
                destination,
                source,
                list,
                comment,
            }),
        }
    }
}

/// Forced: what a file or a request has was let in when it was made.
impl<'de> Deserialize<'de> for EntrySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A visitor, as only its errors get the place of the string in the text.
        struct Prefix;

        impl Visitor<'_> for Prefix {
            type Value = EntrySpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a prefix")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<EntrySpec, E> {
                EntrySpec::parse(text, true).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Prefix)
    }
}

/// The prefix itself, if it has no host bits and is not IPv4 in disguise.
fn sound(given: IpNet) -> Result<IpNet, EntryError> {
    if let Some(right) = unmapped(given) {
        return Err(EntryError::Mapped { given, right });
    }
    match given.trunc() {
        right if right == given => Ok(given),
        right => Err(EntryError::HostBits { given, right }),
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
mod tests;
