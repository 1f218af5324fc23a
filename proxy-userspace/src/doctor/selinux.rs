//! SELinux: whether it is on, and what it has denied weir.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// The end of the audit log that is looked at, octets: it may be large.
const TAIL: u64 = 1 << 20;

/// What the kernel gives of its log at once, octets, at most (`PRINTK_MESSAGE_MAX`).
const RECORD: usize = 8192;

/// What there is to know. Not of this kernel if there is no SELinux in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selinux {
    /// Whether denials are in force; `None` if SELinux is off.
    pub enforcing: Option<bool>,
    /// Whether the policy module `weir` is there.
    pub has_module: bool,
    /// What was denied, each once.
    pub denials: Vec<String>,
}

impl Selinux {
    /// Looks below `root`; the kernel's own log, which the audit daemon empties into its file where
    /// it runs, with `kernel_log`.
    #[must_use]
    pub fn look(root: &Path, kernel_log: bool) -> Self {
        let enforcing = fs::read_to_string(root.join("sys/fs/selinux/enforce")).ok();
        let Some(enforcing) = enforcing.map(|text| text.trim() != "0") else {
            return Self::default();
        };
        let mut log = tail(&root.join("var/log/audit/audit.log")).unwrap_or_default();
        if kernel_log {
            log.push_str(&kernel_messages().unwrap_or_default());
        }
        Self {
            enforcing: Some(enforcing),
            has_module: has_module(root),
            denials: denials(&log),
        }
    }
}

/// Where `semodule -i` keeps what it installs: `/var/lib/selinux/POLICY/active/modules/PRIORITY/`.
fn has_module(root: &Path) -> bool {
    let below = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    below(&root.join("var/lib/selinux"))
        .iter()
        .flat_map(|policy| below(&policy.join("active/modules")))
        .any(|priority| priority.join("weir").exists())
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut octets = Vec::new();
    file.take(TAIL).read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

/// The messages that the kernel still has, one a line.
fn kernel_messages() -> io::Result<String> {
    let mut options = File::options();
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut log = options.open("/dev/kmsg")?;
    let (mut text, mut record) = (String::new(), vec![0; RECORD]);
    loop {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => text.push_str(&String::from_utf8_lossy(&record[..length])),
            // Overwritten while it was read.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => break,
        }
    }
    Ok(text)
}

/// What was denied to processes of weir, each kind once, in the order of the log.
fn denials(log: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in log.lines() {
        let is_denial = line.contains("avc:") && line.contains("denied");
        let is_ours = line.contains("comm=\"weir\"") || line.contains(":weir_t:");
        if !is_denial || !is_ours {
            continue;
        }
        let Some((_, what)) = line.split_once('{') else {
            continue;
        };
        let Some((what, rest)) = what.split_once('}') else {
            continue;
        };
        let word = |key: &str| {
            let (_, value) = rest.split_once(key)?;
            value
                .split_whitespace()
                .next()
                .map(|it| it.trim_matches('"'))
        };
        let mut denial = what.trim().to_owned();
        if let Some(class) = word(" tclass=") {
            denial = format!("{denial} of {class}");
        }
        if let Some(name) = word(" name=") {
            denial = format!("{denial} ({name})");
        }
        if !found.contains(&denial) {
            found.push(denial);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the audit daemon and the kernel write them.
    const LOG: &str = r#"type=AVC msg=audit(1795641600.123:456): avc:  denied  { prog_load } for  pid=871 comm="weir" scontext=system_u:system_r:weir_t:s0 tcontext=system_u:system_r:weir_t:s0 tclass=bpf permissive=0
type=AVC msg=audit(1795641600.124:457): avc:  denied  { prog_load } for  pid=872 comm="weir" scontext=system_u:system_r:weir_t:s0 tcontext=system_u:system_r:weir_t:s0 tclass=bpf permissive=0
type=AVC msg=audit(1795641600.200:458): avc:  denied  { name_bind } for  pid=9 comm="squid" src=3129 scontext=system_u:system_r:squid_t:s0 tclass=tcp_socket permissive=0
type=SYSCALL msg=audit(1795641600.123:456): arch=c000003e syscall=321 success=no comm="weir"
6,1204,8021,-;audit: type=1400 audit(1795641601.9:9): avc:  denied  { write } for  pid=871 comm="weir" name="ip_forward" dev="proc" ino=4 scontext=system_u:system_r:weir_t:s0 tcontext=system_u:object_r:sysctl_net_t:s0 tclass=file permissive=1
type=AVC msg=audit(1.1:1): avc:  granted  { load_policy } for comm="weir"
"#;

    #[test]
    fn what_was_denied_to_weir_once_each() {
        assert_eq!(
            denials(LOG),
            ["prog_load of bpf", "write of file (ip_forward)"]
        );
        for end in 0..LOG.len() {
            let _ = denials(&LOG[..end]);
        }
    }

    #[test]
    fn off_permissive_and_enforcing() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(Selinux::look(root, false), Selinux::default());
        fs::create_dir_all(root.join("sys/fs/selinux")).unwrap();
        for (text, enforcing) in [("0", false), ("1\n", true)] {
            fs::write(root.join("sys/fs/selinux/enforce"), text).unwrap();
            assert_eq!(
                Selinux::look(root, false),
                Selinux {
                    enforcing: Some(enforcing),
                    ..Selinux::default()
                }
            );
        }
        fs::create_dir_all(root.join("var/lib/selinux/targeted/active/modules/400/weir")).unwrap();
        fs::create_dir_all(root.join("var/log/audit")).unwrap();
        fs::write(root.join("var/log/audit/audit.log"), LOG).unwrap();
        let look = Selinux::look(root, false);
        assert!(look.has_module);
        assert_eq!(look.denials.len(), 2);
    }
}
