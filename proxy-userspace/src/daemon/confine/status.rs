//! What the kernel says of this process: not what it was asked for, but what is so.

use caps::CapSet;
use nix::{
    sys::prctl,
    unistd::{User, geteuid},
};
use serde_json::{Value, json};

use super::Landlocked;

/// For `weir status`.
pub(in crate::daemon) fn status(landlocked: Landlocked) -> Value {
    let user = geteuid();
    let name = User::from_uid(user).ok().flatten().map(|user| user.name);
    let mut capabilities: Vec<_> = caps::read(None, CapSet::Permitted)
        .unwrap_or_default()
        .into_iter()
        .map(|capability| capability.to_string())
        .collect();
    capabilities.sort_unstable();
    json!({
        "user": name.unwrap_or_else(|| user.to_string()),
        "uid": user.as_raw(),
        "capabilities": capabilities,
        "no_new_privs": prctl::get_no_new_privs().unwrap_or(false),
        "landlock": landlocked.to_string(),
    })
}
