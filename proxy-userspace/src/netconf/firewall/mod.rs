//! Firewall rules of others: reading them, and what they do to a packet of ours.
//!
//! Rules of nftables, and of iptables where that is a way to write them (`iptables-nft`), are
//! dumped from the kernel, so that no binary is needed. Rules of iptables before nftables have no
//! such way out of the kernel: `iptables-legacy-save` is asked ([`saved`]). Both become the same
//! [`Ruleset`], which [`walk`] follows as the kernel would.
//!
//! Only so much of a rule is understood as a packet of ours can be told by: interfaces, family,
//! protocol, ports, marks and the state of connection tracking. What else a rule looks at is
//! something that may hold or not.

pub mod broute;
pub mod exception;
mod expression;
mod flowtable;
mod nftables;
pub mod saved;
mod sets;
#[cfg(test)]
mod tests;
mod walk;
mod xtables;

use std::fmt;

pub use flowtable::Flowtable;
pub use nftables::{generation, read};
pub use walk::{Bits, Effect, Packet, What, walk};

use serde::{Deserialize, Serialize};

use crate::sys::netlink::attribute;

/// All rules of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// The chains of all tables, dormant ones left out.
    pub chains: Vec<Chain>,
    /// nftables' flowtables.
    pub flowtables: Vec<Flowtable>,
}

/// A list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Whose it is.
    pub tool: Tool,
    /// Of its table.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its own name.
    pub name: String,
    /// Where packets enter it; `None` for one that others jump to.
    pub base: Option<Base>,
    /// In their order.
    pub rules: Vec<Rule>,
}

/// The program that an operator edits a chain with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// `nft`.
    Nft,
    /// `iptables`, `ip6tables`: rules of nftables in the names and words of iptables.
    Iptables,
    /// `iptables-legacy`, `ip6tables-legacy`.
    Legacy,
}

/// What a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
    /// Frames on a bridge.
    Bridge,
    /// Packets at an interface.
    Netdev,
    /// Others: `arp`.
    Other,
}

impl Family {
    /// Whether its chains see packets of IPv4 (4) or IPv6 (6) that are routed.
    #[must_use]
    pub fn sees(self, version: u8) -> bool {
        match self {
            Self::Ip => version == 4,
            Self::Ip6 => version == 6,
            Self::Inet => true,
            Self::Bridge | Self::Netdev | Self::Other => false,
        }
    }

    /// As `nft` writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
            Self::Other => "?",
        }
    }
}

/// Where packets enter a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// On their way.
    pub hook: Hook,
    /// Chains of lower ones come first.
    pub priority: i32,
    /// Whether what comes to its end is dropped.
    pub drops: bool,
    /// Whether it is for translation: only a connection's first packet comes here.
    pub translates: bool,
    /// Whether an interface itself applies it (`flags offload`).
    pub offloaded: bool,
    /// The interfaces that it is for, at [`Hook::Ingress`] and [`Hook::Egress`].
    pub devices: Vec<String>,
}

/// A place on a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "netfilter's own names")]
pub enum Hook {
    Ingress,
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
    Egress,
}

/// What a packet is tested for, and what is done then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its handle, or its line.
    pub label: String,
    /// In their order; the first test that fails ends it.
    pub steps: Vec<Step>,
}

/// A part of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Goes on only if it holds.
    Test(Test),
    /// The verdict depends on a field (`vmap`).
    Choose(Field, Vec<(Values, Verdict)>),
    /// What becomes of the packet.
    Verdict(Verdict),
    /// Another mark.
    Mark(NewMark),
    /// Another destination, or another socket.
    Take(Taking),
    /// A frame is routed that would be bridged (`meta broute set 1`).
    Broute,
}

/// A test that holds if the field, with `mask` on it, is one of `values`, or if it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// What is looked at.
    pub field: Field,
    /// Bits of a number that count.
    pub mask: u32,
    /// What it should be.
    pub values: Values,
    /// It should be something else.
    pub not: bool,
}

impl Test {
    /// One that may hold or not.
    pub(super) fn unknown() -> Self {
        Self {
            field: Field::Unknown,
            mask: u32::MAX,
            values: Values::Any,
            not: false,
        }
    }
}

/// What a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Name of the interface that the packet came in by.
    InName,
    /// Name of that by which it leaves.
    OutName,
    /// Index of the interface that the packet came in by.
    InIndex,
    /// Index of that by which it leaves.
    OutIndex,
    /// 4 or 6.
    Version,
    /// `IPPROTO_*`.
    Protocol,
    /// Host order.
    SourcePort,
    /// Host order.
    DestinationPort,
    /// `skb->mark`.
    Mark,
    /// One bit: invalid 1, established 2, related 4, new 8, untracked 64.
    State,
    /// Something else.
    Unknown,
}

/// What a field may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// In one of these ranges, both ends included.
    Numbers(Vec<(u32, u32)>),
    /// One of these names; with `true`, anything that begins so.
    Names(Vec<(String, bool)>),
    /// What is in the set; resolved when all has been read.
    Set(String),
    /// Anything: it cannot be told.
    Any,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is through this chain and those that jumped to it.
    Accept,
    /// It is gone.
    Drop,
    /// It is gone, and its sender is told.
    Reject,
    /// The rules behind the jump go on, or the policy decides.
    Return,
    /// Through that chain, and back unless it decides.
    Jump(String),
    /// Through that chain, and to the policy unless it decides.
    Goto(String),
    /// A program decides.
    Queue,
    /// It cannot be told.
    Unknown,
}

/// A mark that is set: `(mark & keep) ^ value`, where bits in `unknown` come from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewMark {
    /// Bits of the old one that stay.
    pub keep: u32,
    /// Bits that are set, or turned over.
    pub value: u32,
    /// Bits that come from elsewhere, mostly from the connection's mark.
    pub unknown: u32,
}

/// How a rule takes a packet to somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of targets and statements")]
pub enum Taking {
    Tproxy,
    Redirect,
    Dnat,
}

impl fmt::Display for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tproxy => "TPROXY",
            Self::Redirect => "REDIRECT",
            Self::Dnat => "DNAT",
        })
    }
}

/// As its tool names it.
impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, name, .. } = self;
        match self.tool {
            Tool::Nft => write!(f, "nft chain {} {table} {name}", self.family.as_str()),
            _ => write!(f, "{} -t {table}, chain {name}", self.command()),
        }
    }
}

impl Chain {
    /// The program that edits it.
    #[must_use]
    pub const fn command(&self) -> &'static str {
        match (self.tool, self.family) {
            (Tool::Nft, _) => "nft",
            (Tool::Iptables, Family::Bridge) => "ebtables",
            (Tool::Legacy, Family::Bridge) => "ebtables-legacy",
            (Tool::Iptables, Family::Ip6) => "ip6tables",
            (Tool::Iptables, _) => "iptables",
            (Tool::Legacy, Family::Ip6) => "ip6tables-legacy",
            (Tool::Legacy, _) => "iptables-legacy",
        }
    }

    /// How an operator sees it.
    #[must_use]
    pub fn listing(&self) -> String {
        let Self { table, name, .. } = self;
        match self.tool {
            Tool::Nft => format!("nft -a list chain {} {table} {name}", self.family.as_str()),
            _ if self.family == Family::Bridge => {
                format!("{} -t {table} -L {name}", self.command())
            }
            _ => format!("{} -t {table} -S {name}", self.command()),
        }
    }

    /// The command that puts a rule in front of it, which accepts packets with a bit of ours.
    #[must_use]
    pub fn accepting(&self, bit: u32) -> String {
        let Self { table, name, .. } = self;
        match self.tool {
            Tool::Nft => format!(
                "nft insert rule {} {table} {name} meta mark and {bit:#x} == {bit:#x} accept",
                self.family.as_str()
            ),
            _ => format!(
                "{} -t {table} -I {name} -m mark --mark {bit:#x}/{bit:#x} -j ACCEPT",
                self.command()
            ),
        }
    }
}
