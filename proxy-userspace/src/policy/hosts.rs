//! Which names and domains of many does a host belong to?

use std::collections::HashMap;

/// Names and domains in normal form, each with a number.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    names: HashMap<Box<[u8]>, Name>,
    /// The length of the longest domain; what is longer needs no look.
    longest: usize,
}

/// The numbers of a name by itself and as a domain.
#[derive(Clone, Copy, Debug, Default)]
struct Name {
    exact: Option<u32>,
    below: Option<u32>,
}

impl Hosts {
    /// Adds a host.
    pub(super) fn exact(&mut self, name: &str, number: u32) {
        self.name(name).exact = Some(number);
    }

    /// Adds a domain and all below it.
    pub(super) fn below(&mut self, domain: &str, number: u32) {
        self.longest = self.longest.max(domain.len());
        self.name(domain).below = Some(number);
    }

    fn name(&mut self, name: &str) -> &mut Name {
        self.names.entry(name.as_bytes().into()).or_default()
    }

    /// The numbers of the host and of the domains it is in, the domains from the longest.
    pub(super) fn of<'s>(&'s self, host: &'s [u8]) -> impl Iterator<Item = u32> + 's {
        let exact = self.names.get(host).and_then(|name| name.exact);
        // Domains begin behind a dot, or are the host itself.
        let from = host.len().saturating_sub(self.longest);
        let starts = (from..host.len()).filter(|&start| start == 0 || host[start - 1] == b'.');
        let below = starts.filter_map(|start| self.names.get(&host[start..])?.below);
        exact.into_iter().chain(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_the_domains_they_are_in() {
        let mut hosts = Hosts::default();
        hosts.exact("a.example", 0);
        hosts.below("example", 1);
        hosts.below("b.example", 2);
        hosts.exact("b.example", 3);
        let of = |host: &str| hosts.of(host.as_bytes()).collect::<Vec<_>>();
        assert_eq!(of("a.example"), [0, 1]);
        assert_eq!(of("x.a.example"), [1]);
        assert_eq!(of("b.example"), [3, 2, 1]);
        assert_eq!(of("x.y.b.example"), [2, 1]);
        assert_eq!(of("xb.example"), [1]);
        assert_eq!(of("example"), [1]);
        assert_eq!(of("notexample"), [0_u32; 0]);
        assert_eq!(of("example.org"), [0_u32; 0]);
        assert_eq!(of(""), [0_u32; 0]);
        assert_eq!(Hosts::default().of(b"a.example").count(), 0);
    }

    #[test]
    fn long_hosts_are_looked_at_from_the_end() {
        let mut hosts = Hosts::default();
        hosts.below("example", 7);
        let long = "a.".repeat(30_000) + "example";
        assert_eq!(hosts.of(long.as_bytes()).collect::<Vec<_>>(), [7]);
    }
}
