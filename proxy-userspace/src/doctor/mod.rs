//! What of a host interception does not go with, found before it hurts.
//!
//! Looking changes nothing. Each check is a function from [`Facts`], gathered once, to
//! [`Finding`]s; a new one is a file in `checks` and a line in its list. What cannot be read is a
//! finding, too, never a failure. What can be mended has a [`Step`], and what was done is in the
//! [`Ledger`] until it is undone.

mod checks;
mod code;
mod facts;
mod finding;
mod host;
mod ledger;
mod mend;
mod selinux;

pub use checks::conflicts;
pub use code::Code;
pub use facts::Facts;
pub use finding::{Finding, Level};
pub use host::Host;
pub use ledger::{Done, Ledger};
pub use mend::{Before, Step};
pub use selinux::Selinux;

use crate::netconf::delivery::Plan;

/// What is examined: a daemon that runs, or one that would.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Whether it runs already: then the kernel has taken its programs.
    pub runs: bool,
    /// Interfaces that clients come from.
    pub lans: Vec<String>,
    /// Interfaces that origins are behind.
    pub wans: Vec<String>,
    /// Whether it is waited for those that are not there.
    pub waits: bool,
    /// Watched ports, host order.
    pub ports: Vec<u16>,
    /// The ports that its connections to origins are from, host order, both ends included; `None` if
    /// they are the clients'.
    pub own_ports: Option<(u16, u16)>,
    /// 4 and 6, as far as they are wanted.
    pub families: Vec<u8>,
    /// The numbers that it occupies.
    pub plan: Plan,
}

impl Subject {
    /// All interfaces.
    pub fn interfaces(&self) -> impl Iterator<Item = &String> {
        self.lans.iter().chain(&self.wans)
    }
}

/// Goes through all checks.
#[must_use]
pub fn examine(facts: &Facts<'_>) -> Vec<Finding> {
    checks::ALL.iter().flat_map(|check| check(facts)).collect()
}
