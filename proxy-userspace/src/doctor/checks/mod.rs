//! The checks.

mod bridge;
mod conntrack;
mod defaults;
mod delivered;
mod forward;
mod hardware;
mod hook;
mod interfaces;
mod kernel;
mod leftovers;
mod marks;
mod routing;
mod ruleset;
mod selinux;
mod taken;

pub use ruleset::conflicts;

use super::{Facts, Finding};

/// One of them.
type Check = fn(&Facts<'_>) -> Vec<Finding>;

/// All of them, in the order in which they are told.
pub(super) const ALL: &[Check] = &[
    kernel::check,
    selinux::check,
    interfaces::check,
    hook::check,
    hardware::check,
    bridge::check,
    routing::check,
    defaults::check,
    leftovers::check,
    ruleset::check,
    conntrack::check,
];
