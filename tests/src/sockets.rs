//! What the kernels still have of a connection.

use std::time::Duration;

use proxy_userspace::lab::{Namespace, Network};

use crate::wait::until;

const SOON: Duration = Duration::from_secs(20);

/// Waits until nothing but TIME_WAIT is left of connections with that port, at the client, the
/// router and the origin, so that the port can be used again.
///
/// # Panics
///
/// When it does not come about.
#[track_caller]
pub fn until_over(net: &Network, port: u16) {
    for namespace in [&net.client, &net.router, &net.origin] {
        until(SOON, "the end of connections", || !is_used(namespace, port));
    }
}

fn is_used(namespace: &Namespace, port: u16) -> bool {
    let which = format!("sport = :{port} or dport = :{port}");
    let states = ["state", "connected", "exclude", "time-wait"];
    let output = namespace
        .command("ss")
        .arg("-tanH")
        .args(states)
        .arg(which)
        .output()
        .unwrap_or_else(|error| panic!("ss: {error}"));
    assert!(output.status.success(), "ss: {output:?}");
    !output.stdout.is_empty()
}
