//! BPF programs of others beside ours.

use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};

use super::{attach::OURS, chain};
use crate::sys::bpf::Hook;

/// A program on TCX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// As `bpftool prog show id` takes it.
    pub id: u32,
    /// At most 15 octets; may be empty.
    pub name: String,
    /// Whether it is one of ours.
    pub is_ours: bool,
}

/// The programs on a TCX hook of an interface, in the order in which they run (Linux 6.6).
///
/// # Errors
///
/// What the kernel says: `EINVAL` before 6.6, `EPERM` without `CAP_NET_ADMIN` and `CAP_BPF`.
pub fn on_tcx(interface: &str, hook: Hook) -> Result<Vec<Neighbour>, String> {
    let attach_type = match hook {
        Hook::Ingress => TcAttachType::Ingress,
        Hook::Egress => TcAttachType::Egress,
    };
    let (_, programs) =
        SchedClassifier::query_tcx(interface, attach_type).map_err(|error| chain(&error))?;
    let neighbours = programs.iter().map(|program| {
        let name = program.name_as_str().unwrap_or_default();
        Neighbour {
            id: program.id(),
            name: name.to_owned(),
            is_ours: OURS.contains(&name),
        }
    });
    Ok(neighbours.collect())
}

/// The name of a program that is loaded, if it can be asked.
#[must_use]
pub fn name_of(id: u32) -> Option<String> {
    let program = loaded_programs().flatten().find(|it| it.id() == id)?;
    program.name_as_str().map(str::to_owned)
}
