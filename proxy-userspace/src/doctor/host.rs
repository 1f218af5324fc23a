//! What can be seen of the host in its own network namespace only, or in all alike.

use std::{fs, path::Path};

use caps::{CapSet, Capability};
use nix::sys::utsname::uname;

use super::selinux::Selinux;
use crate::sys::{
    bpffs::Bpffs,
    memlock::{self, Memlock},
};

/// Look before another network namespace is entered: some kernel parameters are shown in the
/// first one alone.
#[derive(Clone, Debug)]
pub struct Host {
    /// As `uname -r` has it.
    pub release: String,
    /// Whether the kernel tells its types (`CONFIG_DEBUG_INFO_BTF`).
    pub btf: bool,
    /// Whether BPF programs are compiled; `None` if it is not shown.
    pub jit: Option<bool>,
    /// Capabilities that are needed and not there.
    pub missing: Vec<&'static str>,
    /// Whether the limit of locked memory is in the way, or why that cannot be told.
    pub memlock: Result<Memlock, String>,
    /// Whether a BPF file system can be had, or why not.
    pub bpffs: Result<(), String>,
    /// SELinux.
    pub selinux: Selinux,
}

impl Host {
    /// Looks.
    #[must_use]
    pub fn look() -> Self {
        // For root alone, and shown in the first namespace alone.
        let jit = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").ok();
        let jit = jit.map(|value| value.trim() != "0");
        let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
        let mut missing = Vec::new();
        if !has(Capability::CAP_NET_ADMIN) {
            missing.push("CAP_NET_ADMIN");
        }
        if !has(Capability::CAP_BPF) && !has(Capability::CAP_SYS_ADMIN) {
            missing.push("CAP_BPF");
        }
        Self {
            release: uname().map_or_else(
                |_| "?".to_owned(),
                |name| name.release().to_string_lossy().into_owned(),
            ),
            btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            jit,
            missing,
            memlock: memlock::probe().map_err(|error| error.to_string()),
            bpffs: Bpffs::new().map(drop).map_err(|error| error.to_string()),
            selinux: Selinux::look(Path::new("/"), true),
        }
    }
}
