//! The interfaces of ours: those that are named, there or not, and those that patterns brought.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use proxy_ebpf::{
    abi::MAX_INTERFACES,
    settings::{ROLE_BRIDGE, ROLE_LAN},
};

use super::{
    bypass::Lists,
    ports,
    roles::{self, Given, ONE_ARMED, Roles},
};
use crate::{
    config::{Config, Intercept, Missing, OnFailure, matches_link},
    dataplane::attach::Place,
    fault::Fault,
    netconf::links::Link,
};

/// Why an interface has no place: it does not exist.
pub(super) const GONE: &str = "gone";

/// An interface with a role.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    /// [`ROLE_LAN`](proxy_ebpf::settings::ROLE_LAN), [`ROLE_WAN`](proxy_ebpf::settings::ROLE_WAN)
    /// or [`ROLE_BRIDGE`].
    pub(super) role: u32,
    /// Its place in the counters of deliveries, for as long as it is in the list.
    pub(super) slot: u32,
    /// The number by which bypass entries know it; 0 for what is no LAN.
    pub(super) lan: u32,
    /// Whether it fails closed.
    closed: bool,
    /// The pattern that brought it; it goes from the list with the link.
    pub(super) pattern: Option<String>,
    /// The kernel's word for its link type when it was there last; empty if it never was.
    pub(super) kind: String,
    /// The bridge that it has to be a port of, or that it is.
    pub(super) bridge: Option<String>,
    /// Where it is, while it carries our programs.
    pub(super) place: Option<Place>,
    /// How often it was attached.
    pub(super) attached: u64,
}

impl Interface {
    fn new(name: &str, role: u32, slot: u32, pattern: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            role,
            slot,
            lan: 0,
            closed: false,
            pattern: pattern.map(str::to_owned),
            kind: String::new(),
            bridge: None,
            place: None,
            attached: 0,
        }
    }

    /// What becomes of new flows from here that no worker can take; `null` for what is no LAN.
    pub(super) const fn on_failure(&self) -> Option<&'static str> {
        match (self.role & ROLE_LAN, self.closed) {
            (0, _) => None,
            (_, true) => Some("closed"),
            (_, false) => Some("open"),
        }
    }

    pub(super) const fn role_name(&self) -> &'static str {
        roles::role_name(self.role)
    }

    /// Where it is now.
    ///
    /// # Errors
    ///
    /// What it is instead.
    pub(super) fn find(&self, links: &[Link]) -> Result<Place, String> {
        let Some(link) = links.iter().find(|link| link.name == self.name) else {
            return Err(GONE.to_owned());
        };
        let Some(framing) = link.framing else {
            return Err(format!(
                "of link type {}: weir intercepts on Ethernet interfaces and on those without a \
                 link-layer header (ppp, tun, wireguard, ipip, sit, gre)",
                link.kind
            ));
        };
        Ok(Place {
            index: link.index,
            framing,
            role: self.role,
            slot: self.slot,
            lan: self.lan,
            closed: self.closed,
            bridge: self.find_bridge(link, links)?,
        })
    }
}

/// All of them, and the prefixes that are this host's own.
pub(super) struct Interfaces {
    pub(super) roles: Roles,
    closing: Closing,
    /// The bridge that they are ports of, if they are.
    bridge: Option<String>,
    /// Those that are named, their bridge, then those that patterns brought.
    pub(super) list: Vec<Interface>,
    /// What cannot be attached, and why.
    pub(super) refused: Vec<String>,
    /// For each pattern, how often a link was attached that it stands for.
    brought: BTreeMap<String, u64>,
    /// One that was attached is gone from the namespace: deleted, or moved to another.
    pub(super) vanished: bool,
    pub(super) own: BTreeSet<IpNet>,
}

impl Interfaces {
    /// What the configuration wants of these links. None is attached yet.
    pub(super) fn new(config: &Config, links: &[Link]) -> Result<Self, Fault> {
        let roles = Roles::new(&config.intercept);
        let meant: Vec<_> = roles.sort(links).map(|(link, _)| link).collect();
        let bridge = ports::common_bridge(&meant, links)?;
        let mut names: Vec<(&str, u32)> = Vec::new();
        for entry in roles.names() {
            match names.iter_mut().find(|(name, _)| *name == entry.text) {
                Some((_, roles)) => *roles |= entry.role,
                None => names.push((&entry.text, entry.role)),
            }
        }
        if bridge.is_some()
            && let Some((name, _)) = names.iter().find(|(_, role)| *role == ONE_ARMED)
        {
            return Err(Fault::HostCannot(format!(
                "{name} is both LAN and WAN, and a port of a bridge: what comes in by a port goes out \
                 by another, so leave it in one of them, or name the bridge itself"
            )));
        }
        let names = names
            .into_iter()
            .chain(bridge.map(|bridge| (bridge, ROLE_BRIDGE)));
        let mut list: Vec<Interface> = Vec::new();
        for (slot, (name, role)) in (0..).zip(names) {
            let interface = Interface {
                bridge: bridge.map(str::to_owned),
                ..Interface::new(name, role, slot, None)
            };
            interface.check(links, config.intercept.missing)?;
            list.push(interface);
        }
        let closing = Closing::new(&config.intercept);
        for interface in &mut list {
            interface.closed = closing.closes(interface);
        }
        let bridge = bridge.map(str::to_owned);
        if list.len() > MAX_INTERFACES as usize {
            return Err(Fault::Usage(format!(
                "{} interfaces are more than the {MAX_INTERFACES} that weir can be on",
                list.len()
            )));
        }
        Ok(Self {
            roles,
            closing,
            bridge,
            list,
            refused: Vec::new(),
            brought: BTreeMap::new(),
            vanished: false,
            own: BTreeSet::new(),
        })
    }

    /// The links that are ours, attached or not, with their roles.
    pub(super) fn among<'a>(&'a self, links: &'a [Link]) -> Vec<(&'a Link, u32)> {
        let sorted = self.roles.sort(links);
        let ours = sorted.filter_map(|(link, given)| match given {
            Given::Named(role) | Given::Matched(role, _) => Some((link, role)),
            Given::Nothing | Given::Both { .. } => None,
        });
        let bridge = links
            .iter()
            .find(|link| Some(&link.name) == self.bridge.as_ref());
        ours.chain(bridge.map(|bridge| (bridge, ROLE_BRIDGE)))
            .collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.list.iter()
    }

    /// Makes room for a link that a pattern stands for, and returns its place. `None` if there
    /// are as many as there can be.
    pub(super) fn admit(
        &mut self,
        name: &str,
        role: u32,
        pattern: &str,
        lists: &mut Lists,
    ) -> Option<usize> {
        let taken: BTreeSet<u32> = self.iter().map(|interface| interface.slot).collect();
        let slot = (0..MAX_INTERFACES).find(|slot| !taken.contains(slot))?;
        let mut interface = Interface {
            bridge: self.bridge.clone(),
            lan: number(lists, name, role),
            ..Interface::new(name, role, slot, Some(pattern))
        };
        interface.closed = self.closing.closes(&interface);
        self.list.push(interface);
        Some(self.list.len() - 1)
    }

    /// Fails open and closed as this configuration says, when the programs are told next.
    pub(super) fn set_closing(&mut self, intercept: &Intercept) {
        self.closing = Closing::new(intercept);
        for interface in &mut self.list {
            interface.closed = self.closing.closes(interface);
        }
    }

    /// Takes one that a pattern brought from the list.
    pub(super) fn dismiss(&mut self, at: usize, lists: &mut Lists) {
        let gone = self.list.remove(at);
        lists.lan_went(&gone.name);
    }

    /// Has bypass lists know the LANs that are named.
    pub(super) fn number(&mut self, lists: &mut Lists) {
        for interface in &mut self.list {
            interface.lan = number(lists, &interface.name, interface.role);
        }
    }

    /// An interface has been attached.
    pub(super) fn note_attached(&mut self, at: usize, place: Place) {
        let interface = &mut self.list[at];
        interface.place = Some(place);
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

impl Interface {
    /// Refuses one that is named and not there, unless it is waited for, or that we cannot be on.
    fn check(&self, links: &[Link], missing: Missing) -> Result<(), Fault> {
        let name = &self.name;
        match self.find(links) {
            Ok(_) => Ok(()),
            Err(why) if why != GONE => Err(Fault::HostCannot(format!("interface {name} is {why}"))),
            Err(_) if missing == Missing::Wait => {
                tracing::warn!(interface = name, "no such interface yet: it is waited for");
                Ok(())
            }
            Err(_) => {
                let there: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
                Err(Fault::Usage(format!(
                    "no interface {name} here (there are {}): check the name, or --netns; \
                     intercept.missing = \"wait\" waits for it",
                    there.join(", ")
                )))
            }
        }
    }
}

/// Which LANs fail closed.
struct Closing {
    all: bool,
    /// Names and patterns.
    some: Vec<String>,
}

impl Closing {
    fn new(intercept: &Intercept) -> Self {
        Self {
            all: intercept.on_failure == OnFailure::Closed,
            some: intercept.fail_closed.clone(),
        }
    }

    fn closes(&self, interface: &Interface) -> bool {
        let named =
            |entry: &String| *entry == interface.name || matches_link(entry, &interface.name);
        interface.role & ROLE_LAN != 0 && (self.all || self.some.iter().any(named))
    }
}

/// Whether any LAN is to fail closed.
pub(super) fn any_closed(intercept: &Intercept) -> bool {
    intercept.on_failure == OnFailure::Closed || !intercept.fail_closed.is_empty()
}

/// The number by which bypass entries know an interface, if it is a LAN.
fn number(lists: &mut Lists, name: &str, role: u32) -> u32 {
    if role & ROLE_LAN == 0 {
        return 0;
    }
    lists.lan_came(name)
}
