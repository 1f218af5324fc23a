//! Policy rules of others by which packets of a LAN go another way than our connections to
//! origins.
//!
//! Without us, a client's packet is routed as one that came in by its LAN, with the mark that a
//! firewall gave it. Our connection in its place begins on this host: it comes in by no
//! interface, and has our mark. Rules that look at neither treat both alike.

use std::fmt;

use netlink_packet_core::Nla as _;
use netlink_packet_route::{
    AddressFamily, IpProtocol,
    rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage},
};
use rtnetlink::Handle;

use super::{NetlinkError, delivery};

/// `FRA_DSCP`, `FRA_DSCP_MASK` of `linux/fib_rules.h` (Linux 6.13, 6.15).
const DSCP: [u16; 2] = [25, 28];

/// What of a rule tells our connections from the packets of a LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It is for packets that came in by this LAN.
    Lan(String),
    /// It is for what this host sends itself.
    Own,
    /// It looks at the mark.
    Mark,
    /// It looks at the DSCP, which ours do not have.
    Dscp,
    /// It looks at the source port, of which ours is another.
    SourcePort,
    /// It looks at the user that a socket belongs to.
    User,
}

/// A policy rule of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule(RuleMessage);

impl Rule {
    /// 4 or 6.
    #[must_use]
    pub const fn family(&self) -> u8 {
        match self.0.header.family {
            AddressFamily::Inet6 => 6,
            _ => 4,
        }
    }

    /// What of it tells our connections from the packets of `lans`, first of all; `None` if it
    /// treats both alike. With `dscp`, ours have that of the client's packets.
    #[must_use]
    pub fn difference(&self, lans: &[&str], dscp: bool) -> Option<Difference> {
        if self.0.header.action == RuleAction::Nop {
            return None;
        }
        let found = self.0.attributes.iter().find_map(|attribute| {
            match attribute {
                RuleAttribute::Iifname(name) if name == "lo" => Some(Difference::Own),
                // Somebody else's way: neither the LAN's packets nor ours go by it, unless it is
                // for everybody but them.
                RuleAttribute::Iifname(name) if lans.contains(&name.as_str()) => {
                    Some(Difference::Lan(name.clone()))
                }
                RuleAttribute::FwMark(_) => Some(Difference::Mark),
                RuleAttribute::SourcePortRange(_) => Some(Difference::SourcePort),
                RuleAttribute::UidRange(_) => Some(Difference::User),
                RuleAttribute::Other(other) if !dscp && DSCP.contains(&other.kind()) => {
                    Some(Difference::Dscp)
                }
                _ => None,
            }
        });
        // What is for another interface is for none of both, whatever else it looks at.
        let elsewhere = |attribute: &RuleAttribute| matches!(attribute, RuleAttribute::Iifname(name) if name != "lo" && !lans.contains(&name.as_str()));
        if self.0.attributes.iter().any(elsewhere) && !self.is_inverted() {
            return None;
        }
        found.or_else(|| (!dscp && self.0.header.tos != 0).then_some(Difference::Dscp))
    }

    /// Whether it wants this bit of the mark to be on.
    #[must_use]
    pub fn wants_mark(&self, bit: u32) -> bool {
        let (mark, mask) = delivery::rule_mark(&self.0);
        mark & mask & bit != 0
    }

    /// The table that it leads to.
    #[must_use]
    pub fn table(&self) -> u32 {
        delivery::rule_table(&self.0)
    }

    /// Whether it comes before our rules of this `priority` and catches packets that we have marked
    /// with `mark` on `lan`: all of them (`true`), or some.
    #[must_use]
    pub fn comes_first(&self, priority: u32, lan: &str, mark: u32, ports: &[u16]) -> Option<bool> {
        let is_ours = |from: u16, to: u16| ports.iter().any(|port| (from..=to).contains(port));
        let mut first = 0;
        let mut surely = self.0.header.src_len == 0 && self.0.header.dst_len == 0;
        surely &= self.0.header.tos == 0;
        let mut catches = true;
        for attribute in &self.0.attributes {
            match attribute {
                RuleAttribute::Priority(priority) => first = *priority,
                RuleAttribute::Iifname(name) => catches &= name == lan,
                // Routing that decides about a packet that came in knows no way out yet.
                RuleAttribute::Oifname(_) => catches = false,
                RuleAttribute::FwMark(_) => {
                    let (value, mask) = delivery::rule_mark(&self.0);
                    catches &= mark & mask == value;
                }
                RuleAttribute::IpProtocol(protocol) => catches &= *protocol == IpProtocol::Tcp,
                RuleAttribute::DestinationPortRange(range) => {
                    catches &= is_ours(range.start, range.end);
                    surely &= ports
                        .iter()
                        .all(|port| (range.start..=range.end).contains(port));
                }
                RuleAttribute::SourcePortRange(_)
                | RuleAttribute::UidRange(_)
                | RuleAttribute::L3MDev(_)
                | RuleAttribute::TunId(_) => surely = false,
                RuleAttribute::Other(other) if DSCP.contains(&other.kind()) => surely = false,
                // Routes to too much are passed over; without that, it is -1.
                RuleAttribute::SuppressPrefixLen(u32::MAX)
                | RuleAttribute::SuppressIfGroup(u32::MAX) => {}
                RuleAttribute::SuppressPrefixLen(_) | RuleAttribute::SuppressIfGroup(_) => {
                    surely = false;
                }
                _ => {}
            }
        }
        // The table of this host's own addresses is everybody's first.
        const LOCAL: u32 = 255;
        let passes = self.0.header.action == RuleAction::Nop || self.table() == LOCAL;
        // What is for all but some is for some at least.
        let (catches, surely) = if self.is_inverted() {
            (!catches || !surely, !catches)
        } else {
            (catches, surely)
        };
        (first < priority && catches && !passes).then_some(surely)
    }

    /// The command that removes it.
    #[must_use]
    pub fn deletion(&self) -> String {
        let shown = self.to_string();
        match shown.split_once(": ") {
            Some((begin, rest)) => {
                format!("{} {rest}", begin.replace("rule ", "rule del priority "))
            }
            None => shown,
        }
    }

    const fn is_inverted(&self) -> bool {
        self.0.header.flags.contains(RuleFlags::Invert)
    }
}

/// As `ip rule` has it: what it looks at, and where it leads.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.0.header;
        let of = |pick: fn(&RuleAttribute) -> Option<String>| {
            let found = self.0.attributes.iter().find_map(pick);
            found.unwrap_or_default()
        };
        let family = if self.family() == 6 { " -6" } else { "" };
        let priority = of(|a| match a {
            RuleAttribute::Priority(priority) => Some(priority.to_string()),
            _ => None,
        });
        let priority = if priority.is_empty() { "0" } else { &priority };
        let not = if self.is_inverted() { " not" } else { "" };
        write!(f, "ip{family} rule {priority}:{not}")?;
        let source = of(|a| match a {
            RuleAttribute::Source(address) => Some(address.to_string()),
            _ => None,
        });
        if source.is_empty() {
            f.write_str(" from all")?;
        } else {
            write!(f, " from {source}/{}", header.src_len)?;
        }
        for attribute in &self.0.attributes {
            match attribute {
                RuleAttribute::Destination(address) => {
                    write!(f, " to {address}/{}", header.dst_len)
                }
                RuleAttribute::Iifname(name) => write!(f, " iif {name}"),
                RuleAttribute::Oifname(name) => write!(f, " oif {name}"),
                RuleAttribute::SourcePortRange(ports) => {
                    write!(f, " sport {}-{}", ports.start, ports.end)
                }
                RuleAttribute::UidRange(users) => {
                    write!(f, " uidrange {}-{}", users.start, users.end)
                }
                RuleAttribute::Other(other) if other.kind() == DSCP[0] => {
                    let mut value = vec![0; other.value_len()];
                    other.emit_value(&mut value);
                    write!(f, " dscp {:#04x}", value.first().unwrap_or(&0))
                }
                RuleAttribute::FwMark(_) => {
                    let (mark, mask) = delivery::rule_mark(&self.0);
                    write!(f, " fwmark {mark:#x}/{mask:#x}")
                }
                _ => Ok(()),
            }?;
        }
        if header.tos != 0 {
            write!(f, " tos {:#04x}", header.tos)?;
        }
        match header.action {
            RuleAction::ToTable => write!(f, " lookup {}", delivery::rule_table(&self.0)),
            other => write!(f, " {}", format!("{other:?}").to_lowercase()),
        }
    }
}

/// The rules of both families but those of ours, which lead to `table`.
///
/// # Errors
///
/// If netlink fails.
pub async fn of_others(handle: &Handle, table: u32) -> Result<Vec<Rule>, NetlinkError> {
    let rules = delivery::rules(handle).await?.into_iter();
    let others = rules.filter(|rule| !delivery::is_our_rule(rule, table));
    Ok(others.map(Rule).collect())
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DefaultNla;
    use netlink_packet_route::rule::{RulePortRange, RuleUidRange};

    use super::*;

    const LANS: &[&str] = &["lan0", "lan1"];

    fn rule(attributes: Vec<RuleAttribute>) -> Rule {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.action = RuleAction::ToTable;
        message.header.table = 100;
        message.attributes = attributes;
        message.attributes.push(RuleAttribute::Priority(7));
        Rule(message)
    }

    fn iif(name: &str) -> RuleAttribute {
        RuleAttribute::Iifname(name.to_owned())
    }

    #[test]
    fn what_tells_a_lan_from_ourselves() {
        let cases = [
            (vec![], None, "from all"),
            (
                vec![iif("lan1")],
                Some(Difference::Lan("lan1".into())),
                "from all iif lan1",
            ),
            (vec![iif("lo")], Some(Difference::Own), "from all iif lo"),
            (vec![iif("wan0")], None, "from all iif wan0"),
            (
                vec![iif("wan0"), RuleAttribute::FwMark(1)],
                None,
                "from all iif wan0 fwmark 0x1/0xffffffff",
            ),
            (
                vec![RuleAttribute::FwMark(1), RuleAttribute::FwMask(0xff)],
                Some(Difference::Mark),
                "from all fwmark 0x1/0xff",
            ),
            (
                vec![RuleAttribute::SourcePortRange(RulePortRange {
                    start: 1024,
                    end: 2000,
                })],
                Some(Difference::SourcePort),
                "from all sport 1024-2000",
            ),
            (
                vec![RuleAttribute::UidRange(RuleUidRange { start: 0, end: 0 })],
                Some(Difference::User),
                "from all uidrange 0-0",
            ),
        ];
        for (attributes, difference, shown) in cases {
            let rule = rule(attributes);
            assert_eq!(rule.difference(LANS, true), difference, "{rule}");
            assert_eq!(rule.to_string(), format!("ip rule 7: {shown} lookup 100"));
        }
    }

    #[test]
    fn a_dscp_matters_where_ours_have_none() {
        let mut tos = rule(Vec::new());
        tos.0.header.tos = 0x10;
        let dscp = rule(vec![RuleAttribute::Other(DefaultNla::new(
            DSCP[0],
            vec![46],
        ))]);
        for (rule, shown) in [(tos, "tos 0x10"), (dscp, "dscp 0x2e")] {
            assert_eq!(rule.difference(LANS, true), None);
            assert_eq!(rule.difference(LANS, false), Some(Difference::Dscp));
            assert_eq!(
                rule.to_string(),
                format!("ip rule 7: from all {shown} lookup 100")
            );
        }
    }

    #[test]
    fn the_opposite_and_where_nothing_is_looked_up() {
        let mut rule = rule(vec![iif("wan0"), RuleAttribute::FwMark(1)]);
        rule.0.header.flags = RuleFlags::Invert;
        rule.0.header.family = AddressFamily::Inet6;
        assert_eq!(rule.difference(LANS, true), Some(Difference::Mark));
        assert_eq!(
            rule.to_string(),
            "ip -6 rule 7: not from all iif wan0 fwmark 0x1/0xffffffff lookup 100"
        );
        rule.0.header.action = RuleAction::Prohibit;
        assert!(rule.to_string().ends_with(" prohibit"), "{rule}");
        rule.0.header.action = RuleAction::Nop;
        assert_eq!(rule.difference(LANS, true), None);
    }
}
