//! `[[rule]]`: which requests something else is to happen with, as plain types.
//!
//! The first rule whose conditions all hold decides. What is here has been checked completely;
//! room `policy` makes of it what workers ask for every request.

mod condition;
mod edits;
mod host;
mod normal;
mod path;
mod pattern;
mod read;
mod schedule;
mod template;
mod words;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::document::Fault;

pub use self::{
    edits::FieldEdits,
    host::HostPattern,
    normal::{normal_host, normal_path},
    path::PathPattern,
    pattern::Pattern,
    schedule::{Day, Days, Period},
    template::{MAX_PAGE, Template, Variable},
};

pub(super) use self::read::read;

/// A `[[rule]]` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its label in logs, unlike that of any other rule. Default: `rule-N`, N counting from 1.
    pub name: String,
    /// What must hold.
    pub conditions: Conditions,
    /// What is done.
    pub action: Action,
    /// Where the connection to the origin comes from. Default: the client's address.
    pub source: Source,
    /// Whether what it decides stands in the access log. Default: yes.
    pub log: bool,
    /// What is changed in the fields of requests.
    pub request: FieldEdits,
    /// What is changed in the fields of responses.
    pub response: FieldEdits,
    /// Bits that the mark of the origin's socket has besides ours; none of them is ours.
    pub mark: Option<u32>,
    /// Type of service (IPv4) or traffic class (IPv6) of packets to the origin.
    pub tos: Option<u8>,
}

/// What must hold for a rule. A list that is empty asks for nothing, one that is not for any of
/// its elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Whose request it is.
    pub clients: Vec<IpNet>,
    /// The address that the client dialled.
    pub destinations: Vec<IpNet>,
    /// The port that the client dialled, host order.
    pub ports: Vec<u16>,
    /// The host that the request names.
    pub hosts: Vec<HostPattern>,
    /// The request's method, in upper case. Compared without regard to case, as some origins do.
    pub methods: Vec<String>,
    /// The path that the request names.
    pub paths: Vec<PathPattern>,
    /// The time of day on the router.
    pub periods: Vec<Period>,
    /// The days on which a period begins, on the router.
    pub days: Days,
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes to the origin.
    Allow,
    /// It is answered by us.
    Deny {
        /// 400 to 599, and none that a field must explain.
        status: u16,
        /// The page; `None` is the built-in one.
        page: Option<Template>,
    },
    /// It is sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// An absolute URL. What is filled in is to be percent-encoded.
        location: Template,
    },
    /// It and all that follows on its connection is relayed as it comes.
    Tunnel,
}

/// Where the connection to an origin comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Source {
    /// The client's own address.
    #[default]
    Client,
    /// The router's address, the one that the kernel chooses.
    Own,
    /// One of the router's addresses for each family; where there is none, the kernel chooses.
    Addresses {
        /// Towards IPv4 origins.
        v4: Option<Ipv4Addr>,
        /// Towards IPv6 origins.
        v6: Option<Ipv6Addr>,
    },
}

impl Source {
    /// The address that a socket for `client` to `origin` is bound to; `None` leaves it to the
    /// kernel.
    #[must_use]
    pub fn address(&self, client: IpAddr, origin: IpAddr) -> Option<IpAddr> {
        match (self, origin) {
            (Self::Client, _) => Some(client),
            (Self::Own, _) => None,
            (Self::Addresses { v4, .. }, IpAddr::V4(_)) => v4.map(IpAddr::V4),
            (Self::Addresses { v6, .. }, IpAddr::V6(_)) => v6.map(IpAddr::V6),
        }
    }
}

impl Conditions {
    /// Whether anything is asked of the request itself, so that it must have been read.
    #[must_use]
    pub fn concern_request(&self) -> bool {
        !(self.hosts.is_empty() && self.methods.is_empty() && self.paths.is_empty())
    }
}

/// The end of the sample: what rules look like.
pub(super) const SAMPLE: &str = r##"
# Rules, as many as you like: the first whose conditions all hold decides, a list means any of it.
# docs/RULES.md explains them. All of them may change on a reload.
#
# [[rule]]
# name = "guests-at-night"            # label in logs; "rule-N" without
# client = "10.0.50.0/24"             # also: destination = […], port = 80
# time = "22:00-06:00"                # the router's time; days = ["mon", "tue"]
# action = "deny"                     # "allow" (default), "deny", "redirect", "tunnel"
#
# [[rule]]
# host = ["ads.example", ".tracker.example", "~^ad[0-9]+\\."]  # exact, domain, regex
# action = "deny"
# status = 404                        # 403 without; page = "/etc/weir/denied.html"
# log = false
#
# [[rule]]
# client = "10.0.60.0/24"
# method = ["GET", "HEAD"]
# path = ["/welcome", "~\\.html?$"]   # prefix, regex
# action = "redirect"
# location = "http://portal.example/welcome?from={{url}}"
#
# [[rule]]
# host = ".partner.example"
# source = "192.0.2.1"                # own address; spoof = false: the kernel's choice
# mark = 0x100                        # for `ip rule fwmark`; tos = 0x20
# request = { set = { X-From = "branch 7" }, remove = ["Cookie"] }
# response = { remove = ["Server"] }
"##;

/// Faults of several values, in no order.
type Faults = Vec<Fault>;

#[cfg(test)]
mod tests;
