//! From a request to the few rules that may be meant.
//!
//! Each rule is filed under one of its conditions, the one that will be asked about least in
//! vain: under each of its hosts, or each of its prefixes, and so on. A request is looked up in
//! each dimension once; what is found there is checked for its other conditions. Since the files
//! are in the order of the rules, and only what comes before the best one so far is looked at,
//! the first rule that holds is found whatever the order of looking.

use std::collections::HashMap;

use ipnet::IpNet;

use super::{
    checks::Checks, hosts::Hosts, numbering::Numbering, paths::Paths, prefixes::Prefixes,
    query::Query,
};
use crate::config::{Conditions, HostPattern, PathPattern, Rule};

/// Rules that can be looked up. They are numbered from 0 in their order.
#[derive(Debug)]
pub(super) struct Index {
    files: Files,
    hosts: Hosts,
    destinations: Prefixes,
    clients: Prefixes,
    paths: Paths,
    host_regexes: ByRegex,
    path_regexes: ByRegex,
    /// The file of rules that there is no other way to.
    others: Option<u32>,
    /// For each rule, what its file does not say.
    checks: Box<[Checks]>,
}

/// A condition that can be looked up; in this order if there is nothing else between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    Host,
    Destination,
    Client,
    Path,
}

/// What a rule is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'r> {
    Host(&'r str),
    Below(&'r str),
    HostRegex(u32),
    Destination(IpNet),
    Client(IpNet),
    Path(&'r str),
    PathRegex(u32),
    Other,
}

/// Lists of rules, ascending, one behind the other.
#[derive(Debug, Default)]
struct Files {
    rules: Vec<u32>,
    /// Where each ends.
    ends: Vec<u32>,
}

/// The files of regular expressions.
#[derive(Debug)]
struct ByRegex {
    /// By the number of the expression.
    files: HashMap<u32, u32>,
    /// The first rule in any of them.
    first: u32,
}

/// Looking for an expression costs as much as checking so many rules, roughly.
const REGEX: u32 = 64;

impl Index {
    /// Files `rules`. Without `request`, conditions on the request are left out of account.
    pub(super) fn new(rules: &[&Rule], request: bool, numbering: &Numbering<'_>) -> Self {
        let mut popularity: HashMap<Key<'_>, u32> = HashMap::new();
        for rule in rules {
            for dimension in Dimension::all(request) {
                for key in dimension.keys(&rule.conditions, numbering) {
                    *popularity.entry(key).or_default() += 1;
                }
            }
        }
        let mut filed: HashMap<Key<'_>, Vec<u32>> = HashMap::new();
        let mut checks = Vec::with_capacity(rules.len());
        for (number, rule) in (0..).zip(rules) {
            let conditions = &rule.conditions;
            let dimensions = Dimension::all(request).iter().copied();
            let keyed = dimensions
                .map(|dimension| (dimension, dimension.keys(conditions, numbering)))
                .filter(|(_, keys)| !keys.is_empty());
            let best = keyed.min_by_key(|(_, keys)| cost(keys, &popularity));
            let (dimension, keys) = match best {
                Some((dimension, keys)) => (Some(dimension), keys),
                None => (None, vec![Key::Other]),
            };
            for key in keys {
                let file = filed.entry(key).or_default();
                // A rule may name one thing twice.
                if file.last() != Some(&number) {
                    file.push(number);
                }
            }
            checks.push(Checks::new(conditions, dimension, request, numbering));
        }
        Self::of_files(filed, checks)
    }

    fn of_files(filed: HashMap<Key<'_>, Vec<u32>>, checks: Vec<Checks>) -> Self {
        let (mut files, mut hosts, mut others) = (Files::default(), Hosts::default(), None);
        let (mut destinations, mut clients, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        let [mut host_regexes, mut path_regexes] = [ByRegex::new(), ByRegex::new()];
        for (key, rules) in filed {
            let file = files.add(&rules);
            match key {
                Key::Host(name) => hosts.exact(name, file),
                Key::Below(domain) => hosts.below(domain, file),
                Key::HostRegex(regex) => host_regexes.add(regex, file, &rules),
                Key::Destination(prefix) => destinations.push((prefix, file)),
                Key::Client(prefix) => clients.push((prefix, file)),
                Key::Path(prefix) => paths.push((prefix, file)),
                Key::PathRegex(regex) => path_regexes.add(regex, file, &rules),
                Key::Other => others = Some(file),
            }
        }
        files.rules.shrink_to_fit();
        files.ends.shrink_to_fit();
        Self {
            files,
            hosts,
            destinations: Prefixes::new(destinations),
            clients: Prefixes::new(clients),
            paths: Paths::new(paths),
            host_regexes,
            path_regexes,
            others,
            checks: checks.into_boxed_slice(),
        }
    }

    /// The first rule that holds.
    pub(super) fn first(&self, query: &Query<'_>) -> Option<u32> {
        let mut best = u32::MAX;
        let mut look_into = |file| best = self.first_of(file, best, query);
        self.hosts.of(query.host).for_each(&mut look_into);
        self.destinations
            .of(query.destination)
            .for_each(&mut look_into);
        self.clients.of(query.client).for_each(&mut look_into);
        self.paths.of(query.path).for_each(&mut look_into);
        self.others.into_iter().for_each(&mut look_into);
        for (by_regex, lazy) in [
            (&self.host_regexes, &query.host_regexes),
            (&self.path_regexes, &query.path_regexes),
        ] {
            if by_regex.first < best {
                let matches = lazy.matches();
                let files = matches
                    .iter()
                    .filter_map(|regex| by_regex.files.get(&regex));
                best = files.fold(best, |best, file| self.first_of(*file, best, query));
            }
        }
        (best != u32::MAX).then_some(best)
    }

    /// The first rule of a file that holds, if it comes before `best`; else that.
    fn first_of(&self, file: u32, best: u32, query: &Query<'_>) -> u32 {
        let rules = self.files.rules(file).iter().copied();
        let mut before = rules.take_while(|rule| *rule < best);
        before
            .find(|rule| self.checks[*rule as usize].hold(query))
            .unwrap_or(best)
    }
}

impl Dimension {
    fn all(request: bool) -> &'static [Self] {
        match request {
            true => &[Self::Host, Self::Destination, Self::Client, Self::Path],
            false => &[Self::Destination, Self::Client],
        }
    }

    /// What a rule would be filed under.
    fn keys<'r>(self, conditions: &'r Conditions, numbering: &Numbering<'_>) -> Vec<Key<'r>> {
        let of_host = |host: &'r HostPattern| match host {
            HostPattern::Exact(name) => Key::Host(name),
            HostPattern::Below(domain) => Key::Below(domain),
            HostPattern::Regex(regex) => Key::HostRegex(numbering.of_host(regex)),
        };
        let of_path = |path: &'r PathPattern| match path {
            PathPattern::Prefix(prefix) => Key::Path(prefix),
            PathPattern::Regex(regex) => Key::PathRegex(numbering.of_path(regex)),
        };
        match self {
            Self::Host => conditions.hosts.iter().map(of_host).collect(),
            Self::Path => conditions.paths.iter().map(of_path).collect(),
            Self::Destination => conditions
                .destinations
                .iter()
                .copied()
                .map(Key::Destination)
                .collect(),
            Self::Client => conditions
                .clients
                .iter()
                .copied()
                .map(Key::Client)
                .collect(),
        }
    }
}

/// How many rules are looked at in vain where one is filed under `keys`, at worst.
fn cost(keys: &[Key<'_>], popularity: &HashMap<Key<'_>, u32>) -> u32 {
    let of_one = |key: &Key<'_>| {
        let shared = popularity.get(key).copied().unwrap_or_default();
        match key {
            Key::HostRegex(_) | Key::PathRegex(_) => shared.saturating_add(REGEX),
            _ => shared,
        }
    };
    keys.iter().map(of_one).max().unwrap_or_default()
}

impl Files {
    /// Another file; its number.
    fn add(&mut self, rules: &[u32]) -> u32 {
        let number = place(self.ends.len());
        self.rules.extend_from_slice(rules);
        self.ends.push(place(self.rules.len()));
        number
    }

    fn rules(&self, file: u32) -> &[u32] {
        let file = file as usize;
        let begin = file.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.rules[begin as usize..self.ends[file] as usize]
    }
}

impl ByRegex {
    fn new() -> Self {
        Self {
            files: HashMap::new(),
            first: u32::MAX,
        }
    }

    fn add(&mut self, regex: u32, file: u32, rules: &[u32]) {
        self.files.insert(regex, file);
        self.first = rules.iter().copied().fold(self.first, u32::min);
    }
}

/// `Policy::compile` has counted what there is to number.
fn place(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
