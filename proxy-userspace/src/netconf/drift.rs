//! What of our rules and routes is no longer there: somebody has removed it since.

use std::fmt;

use netlink_packet_route::{
    AddressFamily,
    route::{RouteAttribute, RouteMessage, RouteType},
    rule::{RuleAttribute, RuleMessage},
};
use rtnetlink::Handle;

use super::{
    NetlinkError, PROTOCOL,
    delivery::{self, Plan},
};

/// Something of ours that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A policy rule, by the command that adds it.
    Rule(String),
    /// A route, by the command that adds it.
    Route(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(command) | Self::Route(command) => f.write_str(command),
        }
    }
}

/// What of ours there should be.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// Interfaces that packets to be delivered come in by.
    pub entrances: Vec<&'a str>,
    /// 4 and 6.
    pub families: &'a [u8],
    /// Whether there is a way through a bridge.
    pub crosses: bool,
}

impl Plan {
    /// What of the expected is not there.
    ///
    /// # Errors
    ///
    /// If netlink fails.
    pub async fn missing(
        &self,
        handle: &Handle,
        strict: &Handle,
        expected: &Expected<'_>,
    ) -> Result<Vec<Missing>, NetlinkError> {
        let rules = delivery::rules(handle).await?;
        let mut missing = Vec::new();
        for &family in expected.families {
            for rule in self.expected_rules(expected, family) {
                if !rules.iter().any(|it| is_same(it, &rule)) {
                    missing.push(Missing::Rule(self.rule_command(&rule)));
                }
            }
            let local = of_table(strict, family, self.table).await?;
            if !local.iter().any(|it| it.header.kind == RouteType::Local) {
                missing.push(Missing::Route(format!(
                    "ip{} route add local default dev lo table {} protocol {PROTOCOL}",
                    option(family),
                    self.table
                )));
            }
            let table = self.crossing_table();
            if expected.crosses && of_table(strict, family, table).await?.is_empty() {
                missing.push(Missing::Route(format!(
                    "ip{} route of table {table} through the bridge",
                    option(family)
                )));
            }
        }
        Ok(missing)
    }

    fn expected_rules(&self, expected: &Expected<'_>, family: u8) -> Vec<RuleMessage> {
        let entrances = expected.entrances.iter();
        let mut rules: Vec<_> = entrances
            .map(|name| self.rule_to(family, self.table, self.steer_mark, Some(name)))
            .collect();
        let own = self.output_mark;
        rules.extend(own.map(|mark| self.rule_to(family, self.table, mark, Some("lo"))));
        if expected.crosses {
            rules.extend(self.crossing_rules(family));
        }
        rules
    }

    fn rule_command(&self, rule: &RuleMessage) -> String {
        let family = match rule.header.family {
            AddressFamily::Inet6 => 6,
            _ => 4,
        };
        let (mark, mask) = delivery::rule_mark(rule);
        let iif = interface(rule).map_or_else(String::new, |name| format!(" iif {name}"));
        format!(
            "ip{} rule add priority {}{iif} fwmark {mark:#x}/{mask:#x} lookup {} protocol {PROTOCOL}",
            option(family),
            self.priority,
            delivery::rule_table(rule)
        )
    }
}

const fn option(family: u8) -> &'static str {
    if family == 6 { " -6" } else { "" }
}

/// Whether the kernel's rule does what ours would.
fn is_same(there: &RuleMessage, ours: &RuleMessage) -> bool {
    let priority = |rule: &RuleMessage| {
        rule.attributes
            .iter()
            .find_map(|attribute| match attribute {
                RuleAttribute::Priority(priority) => Some(*priority),
                _ => None,
            })
    };
    there.header.family == ours.header.family
        && there.header.action == ours.header.action
        && delivery::rule_table(there) == delivery::rule_table(ours)
        && delivery::rule_mark(there) == delivery::rule_mark(ours)
        && interface(there) == interface(ours)
        && priority(there) == priority(ours)
}

fn interface(rule: &RuleMessage) -> Option<&str> {
    let mut attributes = rule.attributes.iter();
    attributes.find_map(|attribute| match attribute {
        RuleAttribute::Iifname(name) => Some(name.as_str()),
        _ => None,
    })
}

/// The routes of a table; of the `strict` connection, for a router may have a million others.
async fn of_table(
    strict: &Handle,
    family: u8,
    table: u32,
) -> Result<Vec<RouteMessage>, NetlinkError> {
    use futures_util::TryStreamExt as _;
    let mut query = RouteMessage::default();
    query.header.address_family = if family == 4 {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    query.attributes.push(RouteAttribute::Table(table));
    let routes: Result<Vec<_>, _> = strict.route().get(query).execute().try_collect().await;
    match routes {
        Ok(routes) => Ok(routes
            .into_iter()
            .filter(|route| delivery::route_table(route) == table)
            .collect()),
        // The table itself has gone with its last route.
        Err(error) if delivery::is(&error, libc::ENOENT) => Ok(Vec::new()),
        Err(error) => Err(NetlinkError::new("list the routes of our table", error)),
    }
}
