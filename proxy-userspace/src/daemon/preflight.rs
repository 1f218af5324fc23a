//! Whether this host can do it and this process may, before anything is changed.

use std::{fs, path::Path};

use anyhow::Result;
use caps::{CapSet, Capability};
use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        utsname::uname,
    },
    unistd::{Gid, Group},
};

use crate::{
    config::{Control, Families},
    control::Groups,
    fault::Fault,
};

/// First kernel with TCX.
const MINIMUM_KERNEL: (u32, u32) = (6, 6);

/// Descriptors that are not connections: listeners, maps, logs, netlink.
const RESERVED_FILES: u64 = 256;

/// Refuses a kernel that is too old and a process that may not.
pub(super) fn check() -> Result<(), Fault> {
    let name = uname().map_err(|error| Fault::HostCannot(format!("uname: {error}")))?;
    let release = name.release().to_string_lossy().into_owned();
    if kernel_version(&release).is_some_and(|version| version < MINIMUM_KERNEL) {
        let (major, minor) = MINIMUM_KERNEL;
        return Err(Fault::HostCannot(format!(
            "Linux {release} is too old: weir needs {major}.{minor} or later (TCX)"
        )));
    }
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    let mut missing = Vec::new();
    if !has(Capability::CAP_NET_ADMIN) {
        missing.push("CAP_NET_ADMIN");
    }
    if !has(Capability::CAP_BPF) && !has(Capability::CAP_SYS_ADMIN) {
        missing.push("CAP_BPF");
    }
    if !missing.is_empty() {
        return Err(Fault::NotPermitted(format!(
            "not permitted: {} missing; run it as root (sudo weir run …)",
            missing.join(" and ")
        )));
    }
    Ok(())
}

/// Families that are wanted and that this kernel has switched on; they are independent.
pub(super) fn families(wanted: Families) -> Vec<u8> {
    let mut families = Vec::new();
    if wanted.ipv4 {
        families.push(4);
    }
    if wanted.ipv6 {
        let disabled = fs::read_to_string("/proc/sys/net/ipv6/conf/lo/disable_ipv6");
        if disabled.is_ok_and(|value| value.trim() == "0") {
            families.push(6);
        } else {
            tracing::warn!("IPv6 is switched off on this host and is not intercepted");
        }
    }
    families
}

/// Says so if this host does not forward: then flows that go direct go nowhere.
pub(super) fn mention_forwarding(families: &[u8]) {
    for (family, path) in [
        (4, "/proc/sys/net/ipv4/ip_forward"),
        (6, "/proc/sys/net/ipv6/conf/all/forwarding"),
    ] {
        let on = fs::read_to_string(path).is_ok_and(|value| value.trim() != "0");
        if families.contains(&family) && !on {
            let key = Path::new(path)
                .strip_prefix("/proc/sys")
                .unwrap_or(Path::new(path));
            tracing::warn!(
                sysctl = %key.display(),
                "forwarding of IPv{family} is off: whatever is not intercepted is not forwarded"
            );
        }
    }
}

/// Raises the limit of open files as far as this process may, and returns how many client
/// connections (two descriptors each) fit.
pub(super) fn connection_limit(wanted: usize) -> usize {
    let limit = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) => {
            if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
                hard
            } else {
                soft
            }
        }
        Err(_) => return wanted,
    };
    let fit = usize::try_from(limit.saturating_sub(RESERVED_FILES) / 2).unwrap_or(usize::MAX);
    if fit < wanted {
        tracing::warn!(
            wanted,
            limit = fit,
            "limits.connections is lowered: each connection needs two open files (RLIMIT_NOFILE)"
        );
    }
    wanted.min(fit).max(1)
}

fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The groups that may talk to the daemon besides root.
pub(super) fn groups(control: &Control) -> Result<Groups, Fault> {
    Ok(Groups {
        editors: group("control.group", control.group.as_deref())?,
        readers: group("control.read_group", control.read_group.as_deref())?,
    })
}

fn group(key: &str, name: Option<&str>) -> Result<Option<Gid>, Fault> {
    let Some(name) = name else { return Ok(None) };
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(Some(group.gid)),
        Ok(None) => Err(Fault::Usage(format!(
            "{key}: this host has no group {name}; `groupadd {name}` makes one"
        ))),
        Err(error) => Err(Fault::HostCannot(format!(
            "cannot look group {name} up: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_are_numbers_not_text() {
        assert_eq!(kernel_version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(kernel_version("6.6-rc1"), Some((6, 6)));
        assert_eq!(kernel_version("5.10.0-46-cloud-amd64"), Some((5, 10)));
        assert_eq!(kernel_version("mainline"), None);
        assert!(kernel_version("6.10.1").unwrap() > MINIMUM_KERNEL);
    }
}
