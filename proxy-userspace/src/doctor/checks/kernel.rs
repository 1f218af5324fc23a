//! The kernel, and what this process may.

use super::super::{Facts, Finding, Level};

const CHECK: &str = "kernel";

/// First kernel with TCX.
const MINIMUM: (u32, u32) = (6, 6);

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let host = facts.host;
    let mut findings = Vec::new();
    let release = format!("Linux {}", host.release);
    findings.push(match host.version() {
        Some(version) if version < MINIMUM => Finding::new(CHECK, Level::Error, release, "too old")
            .because("programs are attached to TCX, which begins with Linux 6.6")
            .remedy("install a kernel of 6.6 or later"),
        _ => Finding::ok(CHECK, release, "6.6 or later"),
    });
    findings.push(if host.missing.is_empty() {
        Finding::ok(CHECK, "privileges", "CAP_NET_ADMIN and CAP_BPF")
    } else {
        let missing = host.missing.join(" and ");
        Finding::new(
            CHECK,
            Level::Error,
            "privileges",
            format!("{missing} missing"),
        )
        .because("neither programs nor rules can be put in place, and not all can be looked at")
        .remedy("sudo weir doctor …")
    });
    findings.push(if host.btf {
        Finding::ok(CHECK, "BTF", "/sys/kernel/btf/vmlinux is there")
    } else {
        Finding::new(
            CHECK,
            Level::Note,
            "BTF",
            "/sys/kernel/btf/vmlinux is missing",
        )
        .because("weir does not need it; tools that show BPF programs show less")
        .remedy("a kernel with CONFIG_DEBUG_INFO_BTF has it")
    });
    findings.push(match host.jit {
        Some(true) => Finding::ok(CHECK, "BPF JIT", "on"),
        Some(false) => Finding::new(CHECK, Level::Warning, "BPF JIT", "off")
            .because("programs are interpreted: each packet costs several times as much")
            .remedy("sysctl -w net.core.bpf_jit_enable=1"),
        None => Finding::new(CHECK, Level::Note, "BPF JIT", "not shown here")
            .because("net.core.bpf_jit_enable is in the first one alone"),
    });
    findings.push(match &facts.sk_lookup {
        Ok(true) => Finding::ok(CHECK, "sk_lookup", "supported"),
        Ok(false) => Finding::new(CHECK, Level::Error, "sk_lookup", "not supported")
            .because("it is what gives weir's listeners the connections (Linux 5.9, CONFIG_INET)")
            .remedy("install a kernel with CONFIG_BPF_SYSCALL"),
        Err(error) => Finding::unread(CHECK, "sk_lookup", error),
    });
    findings.push(match &facts.destroys_sockets {
        Ok(true) => Finding::ok(CHECK, "SOCK_DESTROY", "supported"),
        Ok(false) => Finding::new(CHECK, Level::Warning, "SOCK_DESTROY", "not supported")
            .because(
                "sockets that are left of connections cannot be ended: for a minute after a stop, \
                 clients that use a port again may hang",
            )
            .remedy("install a kernel with CONFIG_INET_DIAG_DESTROY"),
        Err(error) => Finding::unread(CHECK, "SOCK_DESTROY", error),
    });
    findings
}
