//! Links that have moved to another network namespace: the kernel leaves TCX programs on them.
//!
//! Ours are of no use there, nor of harm while none of the links that they know has that index.
//! They are taken off where a namespace can be found: by its name, or by a process that is in it.

use std::thread;

use crate::{
    dataplane::attach,
    netconf::netns::{self, Namespace},
};

/// Takes the programs with these numbers from the links of all other namespaces. What cannot be
/// done is told.
pub(super) fn detach_elsewhere(programs: &[u32]) {
    if programs.is_empty() {
        return;
    }
    // The message about a move comes before its end. This waits for whoever changes links.
    let _ = attach::attached("lo", attach::Hook::Ingress);
    for namespace in netns::others() {
        let work = || detach_in(&namespace, programs);
        if thread::scope(|scope| scope.spawn(work).join()).is_err() {
            tracing::error!("taking programs from links of another namespace panicked");
        }
    }
}

/// In a namespace that the calling thread enters.
fn detach_in(namespace: &Namespace, programs: &[u32]) {
    if let Err(error) = namespace.enter() {
        return tracing::debug!(%error, "cannot enter another network namespace");
    }
    for (name, index) in netns::links() {
        match attach::detach_numbered(&name, index, programs) {
            Ok(0) => {}
            Ok(_) => tracing::info!(
                interface = name,
                "has moved to another network namespace: taken off there"
            ),
            Err(error) => {
                tracing::warn!(%error, "a link that has moved keeps a program of ours");
            }
        }
    }
}
