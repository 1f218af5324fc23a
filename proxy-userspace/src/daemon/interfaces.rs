//! The interfaces of ours: those that are named, there or not, and those that patterns brought.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use proxy_ebpf::{abi::MAX_INTERFACES, framing::Framing, settings};

use super::roles::{self, Entry, Roles};
use crate::{
    config::{Config, Missing},
    fault::Fault,
    netconf::links::Link,
};

/// An interface with a role.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    /// [`ROLE_LAN`](settings::ROLE_LAN) or [`ROLE_WAN`](settings::ROLE_WAN).
    pub(super) role: u32,
    /// Its place in the counters of deliveries, for as long as it is in the list.
    pub(super) slot: u32,
    /// The pattern that brought it; it goes from the list with the link.
    pub(super) pattern: Option<String>,
    /// The kernel's word for its link type when it was there last; empty if it never was.
    pub(super) kind: String,
    /// What its packets begin with, and so which program it carries.
    pub(super) framing: Option<Framing>,
    /// Its index while it is there and carries our program.
    pub(super) index: Option<u32>,
    /// How often it was attached.
    pub(super) attached: u64,
}

impl Interface {
    fn new(name: &str, role: u32, slot: u32, pattern: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            role,
            slot,
            pattern: pattern.map(str::to_owned),
            kind: String::new(),
            framing: None,
            index: None,
            attached: 0,
        }
    }

    pub(super) const fn role_name(&self) -> &'static str {
        roles::role_name(self.role)
    }

    /// What the programs are told of it.
    pub(super) const fn told(&self, valve: [u32; 2]) -> settings::Interface {
        settings::Interface {
            role: self.role,
            slot: self.slot,
            valve,
        }
    }
}

/// All of them, and the prefixes that are this host's own.
pub(super) struct Interfaces {
    pub(super) roles: Roles,
    /// Those that are named, then those that patterns brought.
    pub(super) list: Vec<Interface>,
    /// What cannot be attached, and why.
    pub(super) refused: Vec<String>,
    /// For each pattern, how often a link was attached that it stands for.
    brought: BTreeMap<String, u64>,
    pub(super) own: BTreeSet<IpNet>,
}

impl Interfaces {
    /// What the configuration wants of these links. None is attached yet.
    pub(super) fn new(config: &Config, links: &[Link]) -> Result<Self, Fault> {
        let roles = Roles::new(&config.intercept);
        let mut list: Vec<Interface> = Vec::new();
        for Entry { text, role, .. } in roles.names() {
            check_named(text, links, config.intercept.missing)?;
            let slot = u32::try_from(list.len()).unwrap_or(u32::MAX);
            list.push(Interface::new(text, *role, slot, None));
        }
        if list.len() > MAX_INTERFACES as usize {
            return Err(Fault::Usage(format!(
                "{} interfaces are more than the {MAX_INTERFACES} that weir can be on",
                list.len()
            )));
        }
        Ok(Self {
            roles,
            list,
            refused: Vec::new(),
            brought: BTreeMap::new(),
            own: BTreeSet::new(),
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.list.iter()
    }

    /// Makes room for a link that a pattern stands for, and returns its place. `None` if there
    /// are as many as there can be.
    pub(super) fn admit(&mut self, name: &str, role: u32, pattern: &str) -> Option<usize> {
        let taken: BTreeSet<u32> = self.iter().map(|interface| interface.slot).collect();
        let slot = (0..MAX_INTERFACES).find(|slot| !taken.contains(slot))?;
        let new = Interface::new(name, role, slot, Some(pattern));
        self.list.push(new);
        Some(self.list.len() - 1)
    }

    /// An interface has been attached.
    pub(super) fn note_attached(&mut self, place: usize, link: &Link, framing: Framing) {
        let interface = &mut self.list[place];
        interface.index = Some(link.index);
        interface.framing = Some(framing);
        interface.attached += 1;
        if let Some(pattern) = &interface.pattern {
            *self.brought.entry(pattern.clone()).or_default() += 1;
        }
    }

    /// How often a link was attached that this pattern stands for.
    pub(super) fn brought(&self, pattern: &str) -> u64 {
        self.brought.get(pattern).copied().unwrap_or_default()
    }
}

/// Refuses a name that no link has, unless it is waited for, and links that we cannot be on.
fn check_named(name: &str, links: &[Link], missing: Missing) -> Result<(), Fault> {
    let Some(link) = links.iter().find(|link| link.name == name) else {
        if missing == Missing::Wait {
            tracing::warn!(interface = name, "no such interface yet: it is waited for");
            return Ok(());
        }
        let there: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
        return Err(Fault::Usage(format!(
            "no interface {name} here (there are {}): check the name, or --netns; \
             intercept.missing = \"wait\" waits for it",
            there.join(", ")
        )));
    };
    if link.framing.is_none() {
        return Err(Fault::HostCannot(format!(
            "interface {name} is of link type {}: weir intercepts on Ethernet interfaces and on \
             those without a link-layer header (ppp, tun, wireguard, ipip, sit, gre)",
            link.kind
        )));
    }
    Ok(())
}
