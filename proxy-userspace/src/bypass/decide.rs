//! What becomes of a connection: the reference that faster ways are measured against.

use std::{
    cmp::Reverse,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::IpNet;

use super::{
    entry::{Action, Entry},
    interface::InterfaceName,
    key::Key,
    name::ListName,
    set::Set,
    timestamp::Timestamp,
};

/// A connection as its first packet shows it.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    /// Where it goes to.
    pub destination: IpAddr,
    /// Where it comes from.
    pub source: IpAddr,
    /// The port that it goes to.
    pub port: u16,
    /// The interface that it comes in by, if that is known; if not, entries that name one do not
    /// match.
    pub interface: Option<&'a InterfaceName>,
}

impl Set {
    /// The entry that decides about a connection, and its list.
    ///
    /// Of all that match, in lists that are enabled and have not ended, it is the one with the
    /// longest destination (none is as long as `/0`), of those the longest source, of those one
    /// that names a port, of those one that names an interface; among equals one that intercepts,
    /// then one of the list whose name is first. Looks at every entry.
    #[must_use]
    pub fn decide(&self, flow: &Flow<'_>, now: Timestamp) -> Option<(&ListName, Entry)> {
        let flow = Flow {
            // An accepting socket of both families tells IPv4 addresses as mapped ones.
            destination: canonical(flow.destination),
            source: canonical(flow.source),
            ..*flow
        };
        self.lists
            .iter()
            .filter(|(_, list)| list.enabled)
            .flat_map(|(name, list)| list.entries.iter().map(move |entry| (name, entry)))
            .filter(|(_, (key, attributes))| flow.matches(key) && !attributes.is_over(now))
            // Of equals, `min_by_key` gives the first.
            .min_by_key(|(name, (key, attributes))| {
                let length = |prefix: Option<IpNet>| prefix.map_or(0, |prefix| prefix.prefix_len());
                let narrow = (
                    length(key.destination()),
                    length(key.source()),
                    key.port().is_some(),
                    key.interface().is_some(),
                    attributes.action == Action::Intercept,
                );
                (Reverse(narrow), *name)
            })
            .map(|(name, (key, attributes))| (name, Entry::of(*key, attributes.clone())))
    }
}

impl Flow<'_> {
    /// Whether an entry's prefixes, those that there are, have the addresses.
    #[must_use]
    pub fn is_addressed_by(&self, key: &Key) -> bool {
        let within = |prefix: Option<IpNet>, address: IpAddr| {
            prefix.is_none_or(|prefix| prefix.contains(&address))
        };
        within(key.destination(), self.destination) && within(key.source(), self.source)
    }

    fn matches(&self, key: &Key) -> bool {
        self.is_addressed_by(key)
            && key.port().is_none_or(|port| port == self.port)
            && key
                .interface()
                .is_none_or(|name| Some(name) == self.interface)
    }
}

fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => Ipv6Addr::to_canonical(&v6),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests;
