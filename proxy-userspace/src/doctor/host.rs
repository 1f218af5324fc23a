//! What can be seen of the host in its own network namespace only, or in all alike.

use std::{fs, path::Path};

use caps::{CapSet, Capability};
use nix::sys::utsname::uname;

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
        }
    }

    /// Major and minor version, if the release begins with them.
    #[must_use]
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.release.split(|c: char| !c.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}
