//! The checks.

mod bridge;
mod delivered;
mod forward;
mod hardware;
mod hook;
mod interfaces;
mod kernel;
mod marks;
mod routing;
mod ruleset;
mod taken;

pub use ruleset::conflicts;

use super::{Facts, Finding};

/// One of them.
type Check = fn(&Facts<'_>) -> Vec<Finding>;

/// All of them, in the order in which they are told.
pub(super) const ALL: &[Check] = &[
    kernel::check,
    interfaces::check,
    hook::check,
    hardware::check,
    bridge::check,
    routing::check,
    ruleset::check,
];
