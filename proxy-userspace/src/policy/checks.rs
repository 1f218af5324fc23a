//! What is left to be checked of a rule once the index has led to it.

use super::{
    hosts::Hosts, index::Dimension, numbering::Numbering, paths::Paths, prefixes::Prefixes,
    query::Query,
};
use crate::config::{Conditions, HostPattern, PathPattern};

/// Conditions of one rule; what is absent holds.
#[derive(Debug, Default)]
pub(super) struct Checks {
    clients: Option<Box<Prefixes>>,
    destinations: Option<Box<Prefixes>>,
    ports: Box<[u16]>,
    methods: Box<[Box<str>]>,
    hosts: Option<Box<HostCheck>>,
    paths: Option<Box<PathCheck>>,
    /// Only its times and days are looked at.
    schedule: Option<Box<Conditions>>,
}

#[derive(Debug)]
struct HostCheck {
    names: Hosts,
    regexes: Box<[u32]>,
}

#[derive(Debug)]
struct PathCheck {
    prefixes: Paths,
    regexes: Box<[u32]>,
}

impl Checks {
    /// The conditions of a rule but for the one that the index has looked up, and for those on
    /// the request where it is not known.
    pub(super) fn new(
        conditions: &Conditions,
        but: Option<Dimension>,
        request: bool,
        numbering: &Numbering<'_>,
    ) -> Self {
        let mut checks = Self {
            ports: conditions.ports.as_slice().into(),
            ..Self::default()
        };
        let prefixes = |prefixes: &[ipnet::IpNet], dimension| {
            let wanted = !prefixes.is_empty() && but != Some(dimension);
            let numbered = prefixes.iter().map(|prefix| (*prefix, 0));
            wanted.then(|| Box::new(Prefixes::new(numbered)))
        };
        checks.clients = prefixes(&conditions.clients, Dimension::Client);
        checks.destinations = prefixes(&conditions.destinations, Dimension::Destination);
        if !(conditions.periods.is_empty() && conditions.days.is_empty()) {
            checks.schedule = Some(Box::new(Conditions {
                periods: conditions.periods.clone(),
                days: conditions.days,
                ..Conditions::default()
            }));
        }
        if !request {
            return checks;
        }
        checks.methods = conditions
            .methods
            .iter()
            .map(|method| method.as_str().into())
            .collect();
        if !conditions.hosts.is_empty() && but != Some(Dimension::Host) {
            checks.hosts = Some(Box::new(HostCheck::new(&conditions.hosts, numbering)));
        }
        if !conditions.paths.is_empty() && but != Some(Dimension::Path) {
            checks.paths = Some(Box::new(PathCheck::new(&conditions.paths, numbering)));
        }
        checks
    }

    /// Whether all of them hold; what is cheap is looked at first.
    pub(super) fn hold(&self, query: &Query<'_>) -> bool {
        let any = |list: &[Box<str>]| {
            list.is_empty()
                || list
                    .iter()
                    .any(|method| method.eq_ignore_ascii_case(query.method))
        };
        (self.ports.is_empty() || self.ports.contains(&query.port))
            && any(&self.methods)
            && self
                .clients
                .as_ref()
                .is_none_or(|prefixes| prefixes.contain(query.client))
            && self
                .destinations
                .as_ref()
                .is_none_or(|prefixes| prefixes.contain(query.destination))
            && self
                .schedule
                .as_ref()
                .is_none_or(|schedule| query.moment().is_in(schedule))
            && self.hosts.as_ref().is_none_or(|hosts| hosts.hold(query))
            && self.paths.as_ref().is_none_or(|paths| paths.hold(query))
    }
}

impl HostCheck {
    fn new(patterns: &[HostPattern], numbering: &Numbering<'_>) -> Self {
        let (mut names, mut regexes) = (Hosts::default(), Vec::new());
        for pattern in patterns {
            match pattern {
                HostPattern::Exact(name) => names.exact(name, 0),
                HostPattern::Below(domain) => names.below(domain, 0),
                HostPattern::Regex(regex) => regexes.push(numbering.of_host(regex)),
            }
        }
        let regexes = regexes.into();
        Self { names, regexes }
    }

    fn hold(&self, query: &Query<'_>) -> bool {
        self.names.of(query.host).next().is_some()
            || !self.regexes.is_empty() && {
                let matches = query.host_regexes.matches();
                self.regexes.iter().any(|regex| matches.contains(*regex))
            }
    }
}

impl PathCheck {
    fn new(patterns: &[PathPattern], numbering: &Numbering<'_>) -> Self {
        let (mut prefixes, mut regexes) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match pattern {
                PathPattern::Prefix(prefix) => prefixes.push((prefix.as_str(), 0)),
                PathPattern::Regex(regex) => regexes.push(numbering.of_path(regex)),
            }
        }
        Self {
            prefixes: Paths::new(prefixes),
            regexes: regexes.into(),
        }
    }

    fn hold(&self, query: &Query<'_>) -> bool {
        self.prefixes.of(query.path).next().is_some()
            || !self.regexes.is_empty() && {
                let matches = query.path_regexes.matches();
                self.regexes.iter().any(|regex| matches.contains(*regex))
            }
    }
}
