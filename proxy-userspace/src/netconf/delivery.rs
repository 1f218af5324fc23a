//! Local delivery of marked packets: one rule per interface and family, one route per family.
//!
//! `ip rule add iif IF fwmark BIT/BIT lookup TABLE` and `ip route add local default dev lo table
//! TABLE`. With `iif` in the rule, reverse-path filtering (its lookup has no input interface),
//! `src_valid_mark` and marks on our own output do not matter, so no sysctl has to be changed.

use std::net::{Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use netlink_packet_route::{
    AddressFamily,
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
    rule::{RuleAction, RuleAttribute, RuleMessage},
};
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};
use thiserror::Error;

use super::{NetlinkError, PROTOCOL, crossing};

/// Index of the loopback device, in every namespace.
pub const LOOPBACK: u32 = 1;
/// Its name.
pub(super) const LOOPBACK_NAME: &str = "lo";

/// Which table and bits are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Routing table of the local default routes.
    pub table: u32,
    /// Priority of the rules.
    pub priority: u32,
    /// The bit that marks a packet for local delivery.
    pub steer_mark: u32,
    /// The bit on our own sockets.
    pub socket_mark: u32,
    /// The bit on intercepted sockets of this host's, if there are to be any.
    pub output_mark: Option<u32>,
}

/// Why delivery cannot be set up, or undone.
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// rtnetlink said no.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Somebody else uses what we would.
    #[error("{what} is in use by somebody else ({by}): choose another `{key}` in [host]")]
    InUse {
        /// What.
        what: String,
        /// The rule or route found.
        by: String,
        /// The configuration key that moves us out of the way.
        key: &'static str,
    },
}

impl Plan {
    /// Refuses a table or mark bits that rules or routes of somebody else use.
    ///
    /// # Errors
    ///
    /// [`DeliveryError::InUse`] names the rule or route.
    pub async fn check(&self, handle: &Handle) -> Result<(), DeliveryError> {
        for rule in rules(handle)
            .await?
            .iter()
            .filter(|rule| !is_our_rule(rule, self.table))
        {
            let (mark, mask) = rule_mark(rule);
            let output = self.output_mark.unwrap_or_default();
            for (bit, key) in [
                (self.steer_mark, "steer_mark"),
                (self.socket_mark, "socket_mark"),
                (output, "output_mark"),
            ] {
                if mark & mask & bit != 0 {
                    let what = format!("mark {bit:#x}");
                    let by = shown(rule);
                    return Err(DeliveryError::InUse { what, by, key });
                }
            }
            if is_our_table(rule_table(rule), self.table) {
                return Err(self.table_in_use(shown(rule)));
            }
        }
        for route in routes(handle).await? {
            if is_our_table(route_table(&route), self.table)
                && u8::from(route.header.protocol) != PROTOCOL
            {
                return Err(self.table_in_use(shown_route(&route)));
            }
        }
        Ok(())
    }

    fn table_in_use(&self, by: String) -> DeliveryError {
        DeliveryError::InUse {
            what: format!("table {} or {}", self.table, self.crossing_table()),
            by,
            key: "table",
        }
    }

    /// Adds the local default routes of `families` (4 and 6). What is there already is fine.
    ///
    /// # Errors
    ///
    /// If netlink fails.
    pub async fn add_routes(&self, handle: &Handle, families: &[u8]) -> Result<(), NetlinkError> {
        for family in families {
            let route = self.route(*family);
            match handle.route().add(route).execute().await {
                Err(error) if !is(&error, libc::EEXIST) => {
                    let hint = if is(&error, libc::ENETDOWN) {
                        " (is lo up? `ip link set lo up`)"
                    } else {
                        ""
                    };
                    let operation = format!("add the local route of table {}{hint}", self.table);
                    return Err(NetlinkError::new(operation, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds the rules for `interface` of `families` (4 and 6). What is there already is fine.
    ///
    /// # Errors
    ///
    /// If netlink fails.
    pub async fn add_rules(
        &self,
        handle: &Handle,
        interface: &str,
        families: &[u8],
    ) -> Result<(), NetlinkError> {
        self.add_rules_for(handle, interface, self.steer_mark, families)
            .await
    }

    /// Adds the rules that lead this host's own marked connections to the loopback device, if
    /// there are to be any. What is there already is fine.
    ///
    /// `iif lo` is what the kernel has for packets that begin here, so what others send is none of
    /// these rules', whatever mark it has.
    ///
    /// # Errors
    ///
    /// If netlink fails.
    pub async fn add_output_rules(
        &self,
        handle: &Handle,
        families: &[u8],
    ) -> Result<(), NetlinkError> {
        match self.output_mark {
            Some(mark) => self.add_rules_for(handle, "lo", mark, families).await,
            None => Ok(()),
        }
    }

    async fn add_rules_for(
        &self,
        handle: &Handle,
        interface: &str,
        mark: u32,
        families: &[u8],
    ) -> Result<(), NetlinkError> {
        for family in families {
            let mut request = handle.rule().add();
            *request.message_mut() = self.rule(*family, interface, mark);
            match request.execute().await {
                Err(error) if !is(&error, libc::EEXIST) => {
                    let operation = format!("add the rule for {interface}");
                    return Err(NetlinkError::new(operation, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the rules for `interface` of `families` (4 and 6). What is gone is fine.
    ///
    /// # Errors
    ///
    /// If netlink fails.
    pub async fn remove_rules(
        &self,
        handle: &Handle,
        interface: &str,
        families: &[u8],
    ) -> Result<(), NetlinkError> {
        for family in families {
            let rule = self.rule(*family, interface, self.steer_mark);
            ignore_missing(handle.rule().del(rule).execute().await).map_err(|error| {
                NetlinkError::new(format!("remove the rule for {interface}"), error)
            })?;
        }
        Ok(())
    }

    fn route(&self, family: u8) -> RouteMessage {
        let mut route = if family == 4 {
            RouteMessageBuilder::<Ipv4Addr>::new()
                .output_interface(LOOPBACK)
                .build()
        } else {
            RouteMessageBuilder::<Ipv6Addr>::new()
                .output_interface(LOOPBACK)
                .build()
        };
        route.header.kind = RouteType::Local;
        route.header.scope = if family == 4 {
            RouteScope::Host
        } else {
            RouteScope::Universe
        };
        route.header.protocol = RouteProtocol::from(PROTOCOL);
        route.header.table = RouteHeader::RT_TABLE_UNSPEC;
        route.attributes.push(RouteAttribute::Table(self.table));
        route
    }

    fn rule(&self, family: u8, interface: &str, mark: u32) -> RuleMessage {
        self.rule_to(family, self.table, mark, Some(interface))
    }

    /// Routing table of what we send through a bridge.
    #[must_use]
    pub const fn crossing_table(&self) -> u32 {
        crossing_table(self.table)
    }

    pub(super) fn rule_to(
        &self,
        family: u8,
        table: u32,
        mark: u32,
        interface: Option<&str>,
    ) -> RuleMessage {
        let mut rule = RuleMessage::default();
        rule.header.family = if family == 4 {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        rule.header.action = RuleAction::ToTable;
        rule.header.table = RouteHeader::RT_TABLE_UNSPEC;
        rule.attributes = vec![
            RuleAttribute::Priority(self.priority),
            RuleAttribute::FwMark(mark),
            RuleAttribute::FwMask(mark),
            RuleAttribute::Table(table),
            RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)),
        ];
        let iif = interface.map(|name| RuleAttribute::Iifname(name.to_owned()));
        rule.attributes.extend(iif);
        rule
    }
}

/// Removes every rule and route of `table`, and of that for bridges, that carries our protocol number. What is gone is fine.
///
/// # Errors
///
/// If netlink fails.
pub async fn remove_all(handle: &Handle, table: u32) -> Result<(), NetlinkError> {
    for rule in rules(handle)
        .await?
        .into_iter()
        .filter(|rule| is_our_rule(rule, table))
    {
        ignore_missing(handle.rule().del(rule).execute().await)
            .map_err(|e| NetlinkError::new("remove a rule of ours", e))?;
    }
    for route in routes(handle).await? {
        if u8::from(route.header.protocol) == PROTOCOL && is_our_table(route_table(&route), table) {
            ignore_missing(handle.route().del(route).execute().await)
                .map_err(|e| NetlinkError::new("remove a route of ours", e))?;
        }
    }
    crossing::remove_next_hops(handle).await
}

/// Behind the table of local routes.
const fn crossing_table(table: u32) -> u32 {
    table + 1
}

fn is_our_table(table: u32, ours: u32) -> bool {
    table == ours || table == crossing_table(ours)
}

pub(super) async fn rules(handle: &Handle) -> Result<Vec<RuleMessage>, NetlinkError> {
    let mut all = Vec::new();
    for version in [IpVersion::V4, IpVersion::V6] {
        let rules: Result<Vec<_>, _> = handle.rule().get(version).execute().try_collect().await;
        match rules {
            Ok(rules) => all.extend(rules),
            // IPv6 is off, or there are no policy rules at all in this kernel.
            Err(error) if is(&error, libc::EOPNOTSUPP) || is(&error, libc::EAFNOSUPPORT) => {}
            Err(error) => return Err(NetlinkError::new("list rules", error)),
        }
    }
    Ok(all)
}

async fn routes(handle: &Handle) -> Result<Vec<RouteMessage>, NetlinkError> {
    let mut all = Vec::new();
    for query in [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ] {
        let routes: Vec<_> = handle
            .route()
            .get(query)
            .execute()
            .try_collect()
            .await
            .map_err(|e| NetlinkError::new("list routes", e))?;
        all.extend(routes);
    }
    Ok(all)
}

pub(super) fn is_our_rule(rule: &RuleMessage, table: u32) -> bool {
    let carries_our_number = |attribute: &RuleAttribute| matches!(attribute, RuleAttribute::Protocol(p) if u8::from(*p) == PROTOCOL);
    is_our_table(rule_table(rule), table) && rule.attributes.iter().any(carries_our_number)
}

pub(super) fn rule_mark(rule: &RuleMessage) -> (u32, u32) {
    let (mut mark, mut mask) = (0, u32::MAX);
    for attribute in &rule.attributes {
        match attribute {
            RuleAttribute::FwMark(value) => mark = *value,
            RuleAttribute::FwMask(value) => mask = *value,
            _ => {}
        }
    }
    (mark, mask)
}

pub(super) fn rule_table(rule: &RuleMessage) -> u32 {
    let attribute = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Table(table) => Some(*table),
            _ => None,
        });
    attribute.unwrap_or_else(|| u32::from(rule.header.table))
}

pub(super) fn route_table(route: &RouteMessage) -> u32 {
    let attribute = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    attribute.unwrap_or_else(|| u32::from(route.header.table))
}

fn shown(rule: &RuleMessage) -> String {
    let (mark, mask) = rule_mark(rule);
    let priority = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Priority(priority) => Some(*priority),
            _ => None,
        });
    let table = rule_table(rule);
    format!(
        "ip rule {}: fwmark {mark:#x}/{mask:#x} lookup {table}",
        priority.unwrap_or(0)
    )
}

fn shown_route(route: &RouteMessage) -> String {
    let destination = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(address.to_string()),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(address.to_string()),
            _ => None,
        });
    let destination = destination.map_or_else(
        || "default".to_owned(),
        |address| format!("{address}/{}", route.header.destination_prefix_length),
    );
    format!(
        "ip route {destination} of protocol {}",
        u8::from(route.header.protocol)
    )
}

pub(super) fn ignore_missing(result: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    match result {
        Err(error) if is(&error, libc::ENOENT) || is(&error, libc::ESRCH) => Ok(()),
        other => other,
    }
}

pub(super) fn is(error: &rtnetlink::Error, errno: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == -errno)
}
