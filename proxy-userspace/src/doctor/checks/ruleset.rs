//! Firewall rules: what they do to packets that weir marks, sends, or leaves alone.

use std::collections::BTreeMap;

use super::{
    super::{Facts, Finding, Level, Subject},
    delivered, forward, marks, taken,
};
use crate::netconf::{
    firewall::{Bits, Effect, Hook, Packet, Ruleset, walk},
    links::{self, Link},
};

const CHECK: &str = "firewall";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rulesets = [
        ("nftables", &facts.nftables),
        ("iptables-legacy", &facts.legacy),
    ];
    for (name, ruleset) in rulesets {
        match ruleset {
            Err(error) => findings.push(Finding::unread(CHECK, name, error)),
            Ok(ruleset) => {
                let ways = Ways {
                    subject: facts.subject,
                    ruleset,
                    links: facts.links(),
                };
                findings.extend(taken::check(&ways));
                findings.extend(marks::check(&ways));
                findings.extend(delivered::check(&ways));
                findings.extend(delivered::invalid(&ways));
                findings.extend(forward::check(&ways));
            }
        }
    }
    if findings.is_empty() {
        let found = "nothing that takes, drops or unmarks what weir handles";
        findings.push(Finding::ok(CHECK, "firewall rules", found));
    }
    findings
}

/// What of nftables' rules makes interception fail for all of a LAN, or for some: for a daemon
/// that looks again and again.
#[must_use]
pub fn conflicts(subject: &Subject, ruleset: &Ruleset, links: &[Link]) -> Vec<Finding> {
    let ways = Ways {
        subject,
        ruleset,
        links,
    };
    let mut findings = taken::check(&ways);
    findings.extend(marks::check(&ways));
    findings.extend(delivered::check(&ways));
    findings.retain(|finding| finding.level >= Level::Warning);
    findings
}

/// The ways of our packets through a ruleset.
pub(super) struct Ways<'a> {
    pub(super) subject: &'a Subject,
    pub(super) ruleset: &'a Ruleset,
    links: &'a [Link],
}

/// A kind of packet, and how it is called.
pub(super) struct Way<'a> {
    pub(super) packet: Packet<'a>,
    pub(super) hook: Hook,
    /// The bit of its mark that should stay.
    pub(super) bit: u32,
    pub(super) words: String,
}

impl Way<'_> {
    /// The same, as connection tracking sees what it cannot place.
    pub(super) fn invalid(mut self) -> Self {
        self.packet.is_invalid = true;
        self.packet.is_new = false;
        self
    }
}

impl<'a> Ways<'a> {
    fn each(&self) -> impl Iterator<Item = (u8, u16)> + '_ {
        let families = self.subject.families.iter();
        families.flat_map(|family| self.subject.ports.iter().map(|port| (*family, *port)))
    }

    fn interface(&self, name: &'a str) -> (&'a str, u32) {
        links::upper(self.links, name)
    }

    fn marked(&self) -> Bits {
        let value = self.subject.plan.steer_mark;
        let known = u32::MAX;
        Bits { value, known }
    }

    /// Packets that are marked for delivery: of clients, first and later ones, and of origins.
    pub(super) fn marked_at(&self, hook: Hook) -> Vec<Way<'a>> {
        let mut ways = Vec::new();
        let bit = self.subject.plan.steer_mark;
        for (version, port) in self.each() {
            let sides = [(&self.subject.lans, true), (&self.subject.wans, false)];
            for (names, of_clients) in sides {
                for (name, is_new) in names.iter().flat_map(|it| [(it, true), (it, false)]) {
                    // What comes from an origin answers.
                    if !of_clients && is_new {
                        continue;
                    }
                    let own = if of_clients {
                        None
                    } else {
                        self.subject.own_ports
                    };
                    let (source_port, destination_port) = ends(of_clients, port, own);
                    ways.push(Way {
                        packet: Packet {
                            version,
                            input: Some(self.interface(name)),
                            output: None,
                            source_port,
                            destination_port,
                            mark: self.marked(),
                            is_new,
                            is_invalid: false,
                        },
                        hook,
                        bit,
                        words: format!("TCP {} {port} from {name}", word(of_clients)),
                    });
                }
            }
        }
        ways
    }

    /// Packets that weir sends: answers to clients, and requests to origins.
    pub(super) fn sent(&self) -> Vec<Way<'a>> {
        let mut ways = Vec::new();
        let bit = self.subject.plan.socket_mark;
        for (version, port) in self.each() {
            let sides = [(&self.subject.wans, true), (&self.subject.lans, false)];
            for (names, to_origins) in sides {
                for (name, is_new) in names.iter().flat_map(|it| [(it, true), (it, false)]) {
                    if !to_origins && is_new {
                        continue;
                    }
                    let own = if to_origins {
                        self.subject.own_ports
                    } else {
                        None
                    };
                    let (source_port, destination_port) = ends(to_origins, port, own);
                    ways.push(Way {
                        packet: Packet {
                            version,
                            input: None,
                            output: Some(self.interface(name)),
                            source_port,
                            destination_port,
                            mark: Bits {
                                value: bit,
                                known: u32::MAX,
                            },
                            is_new,
                            is_invalid: false,
                        },
                        hook: Hook::Output,
                        bit,
                        words: format!("TCP {} {port} to {name}", word(to_origins)),
                    });
                }
            }
        }
        ways
    }

    /// First packets of clients as they would be forwarded without weir.
    pub(super) fn forwarded(&self) -> Vec<Way<'a>> {
        let mut ways = Vec::new();
        for (version, port) in self.each() {
            for lan in &self.subject.lans {
                for wan in &self.subject.wans {
                    ways.push(Way {
                        packet: Packet {
                            version,
                            input: Some(self.interface(lan)),
                            output: Some(self.interface(wan)),
                            source_port: None,
                            destination_port: Some((port, port)),
                            mark: Bits {
                                value: 0,
                                known: u32::MAX,
                            },
                            is_new: true,
                            is_invalid: false,
                        },
                        hook: Hook::Forward,
                        bit: 0,
                        words: format!("TCP port {port} from {lan} to {wan}"),
                    });
                }
            }
        }
        ways
    }

    /// What happens to them, the same by the same rule told once, with all that it happens to.
    pub(super) fn effects(&self, ways: &[Way<'_>]) -> Vec<(Effect<'a>, Vec<String>)> {
        let mut found: BTreeMap<_, (Effect<'a>, Vec<String>)> = BTreeMap::new();
        for way in ways {
            for effect in walk(self.ruleset, way.hook, &way.packet, way.bit) {
                let key = (
                    std::ptr::from_ref(effect.chain).addr(),
                    effect.rule.map(|rule| std::ptr::from_ref(rule).addr()),
                    effect.what,
                );
                let (known, words) = found.entry(key).or_insert((effect.clone(), Vec::new()));
                known.surely |= effect.surely;
                if !words.contains(&way.words) {
                    words.push(way.words.clone());
                }
            }
        }
        found.into_values().collect()
    }
}

type Ports = Option<(u16, u16)>;

/// Source and destination, of which one is the watched port.
const fn ends(to_port: bool, port: u16, other: Ports) -> (Ports, Ports) {
    let watched = Some((port, port));
    if to_port {
        (other, watched)
    } else {
        (watched, other)
    }
}

const fn word(to_port: bool) -> &'static str {
    if to_port { "port" } else { "source port" }
}

/// Chain and rule, as an operator finds them.
pub(super) fn place(effect: &Effect<'_>) -> String {
    match effect.rule {
        Some(rule) => format!("{}, rule {}", effect.chain, rule.label),
        None => format!("{}, policy", effect.chain),
    }
}

/// The command that removes the rule.
pub(super) fn deletion(effect: &Effect<'_>) -> String {
    let chain = effect.chain;
    let Some(rule) = effect.rule else {
        return chain.listing();
    };
    match rule.label.strip_prefix("handle ") {
        Some(handle) => format!(
            "nft delete rule {} {} {} handle {handle}",
            chain.family.as_str(),
            chain.table,
            chain.name
        ),
        None => format!(
            "{} -t {} {}",
            chain.command(),
            chain.table,
            rule.label.replacen("-A", "-D", 1)
        ),
    }
}
