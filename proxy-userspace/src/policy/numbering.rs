//! Each regular expression once, however many rules have it.

use std::collections::HashMap;

use crate::config::{HostPattern, PathPattern, Pattern, Rule};

/// The expressions of all rules, numbered from 0, those on hosts apart from those on paths.
pub(super) struct Numbering<'r> {
    hosts: Numbered<'r>,
    paths: Numbered<'r>,
}

#[derive(Default)]
struct Numbered<'r> {
    numbers: HashMap<&'r str, u32>,
    patterns: Vec<&'r Pattern>,
}

impl<'r> Numbering<'r> {
    pub(super) fn new(rules: &'r [Rule]) -> Self {
        let (mut hosts, mut paths) = (Numbered::default(), Numbered::default());
        for host in rules.iter().flat_map(|rule| &rule.conditions.hosts) {
            if let HostPattern::Regex(regex) = host {
                hosts.add(regex);
            }
        }
        for path in rules.iter().flat_map(|rule| &rule.conditions.paths) {
            if let PathPattern::Regex(regex) = path {
                paths.add(regex);
            }
        }
        Self { hosts, paths }
    }

    pub(super) fn of_host(&self, regex: &Pattern) -> u32 {
        self.hosts.numbers[regex.as_str()]
    }

    pub(super) fn of_path(&self, regex: &Pattern) -> u32 {
        self.paths.numbers[regex.as_str()]
    }

    /// By their numbers.
    pub(super) fn on_hosts(&self) -> &[&'r Pattern] {
        &self.hosts.patterns
    }

    /// By their numbers.
    pub(super) fn on_paths(&self) -> &[&'r Pattern] {
        &self.paths.patterns
    }
}

impl<'r> Numbered<'r> {
    fn add(&mut self, regex: &'r Pattern) {
        let next = u32::try_from(self.patterns.len()).unwrap_or(u32::MAX);
        self.numbers.entry(regex.as_str()).or_insert_with(|| {
            self.patterns.push(regex);
            next
        });
    }
}
