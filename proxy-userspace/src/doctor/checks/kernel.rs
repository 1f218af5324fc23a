//! The kernel, and what this process may. What the kernel has is tried, not told from its version.

use super::super::{Code, Facts, Finding, Host, Level};
use crate::sys::memlock::Memlock;

const CHECK: &str = "kernel";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let host = facts.host;
    let mut findings = vec![tcx(facts), privileges(host)];
    findings.push(match &facts.sk_lookup {
        Ok(true) => Finding::ok(CHECK, "sk_lookup", "supported"),
        Ok(false) => Finding::new(Code::NoSkLookup, Level::Error, "sk_lookup", "not supported")
            .because("it is what gives weir's listeners the connections (Linux 5.9, CONFIG_INET)")
            .remedy("install a kernel with CONFIG_BPF_SYSCALL"),
        Err(error) => Finding::unread(CHECK, "sk_lookup", error),
    });
    findings.extend(parts(facts));
    findings.extend(programs(facts));
    findings.push(match &facts.destroys_sockets {
        Ok(true) => Finding::ok(CHECK, "SOCK_DESTROY", "supported"),
        Ok(false) => Finding::new(
            Code::NoSockDestroy,
            Level::Warning,
            "SOCK_DESTROY",
            "not supported",
        )
        .because(
            "sockets that are left of connections cannot be ended: for a minute after a stop, \
             clients that use a port again may hang",
        )
        .remedy("install a kernel with CONFIG_INET_DIAG_DESTROY"),
        Err(error) => Finding::unread(CHECK, "SOCK_DESTROY", error),
    });
    findings.push(memlock(&host.memlock));
    findings.push(match &host.bpffs {
        Ok(()) => Finding::ok(CHECK, "BPF file system", "can be had"),
        Err(error) => Finding::new(
            Code::NoBpffs,
            Level::Warning,
            "BPF file system",
            format!("cannot be had: {error}"),
        )
        .because("maps are handed over by it: weir upgrade will cut connections")
        .remedy("run it with CAP_SYS_ADMIN, on a kernel with CONFIG_BPF_SYSCALL"),
    });
    findings.extend(speed(host));
    findings
}

fn tcx(facts: &Facts<'_>) -> Finding {
    let release = format!("Linux {}", facts.host.release);
    match &facts.tcx {
        Ok(true) => Finding::ok(CHECK, release, "has TCX"),
        Ok(false) => Finding::new(Code::NoTcx, Level::Error, release, "has no TCX")
            .because("that is what programs are attached to")
            .remedy("install a kernel of 6.6 or later, with CONFIG_NET_CLS_ACT"),
        Err(error) => Finding::unread(CHECK, format!("{release}, TCX"), error),
    }
}

fn privileges(host: &Host) -> Finding {
    if host.missing.is_empty() {
        return Finding::ok(CHECK, "privileges", "CAP_NET_ADMIN and CAP_BPF");
    }
    let missing = host.missing.join(" and ");
    Finding::new(
        Code::NotPermitted,
        Level::Error,
        "privileges",
        format!("{missing} missing"),
    )
    .because("neither programs nor rules can be put in place, and not all can be looked at")
    .remedy("sudo weir doctor …")
}

fn parts(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut there = Vec::new();
    for feature in &facts.features {
        match &feature.is_there {
            Ok(true) => there.push(feature.name),
            Ok(false) => findings.push(
                Finding::new(Code::NoHelper, Level::Error, feature.name, "missing")
                    .because(format!("it is needed for {}", feature.used_for))
                    .remedy("install a kernel of 6.6 or later, with CONFIG_BPF_SYSCALL"),
            ),
            Err(error) => findings.push(Finding::unread(CHECK, feature.name, error)),
        }
    }
    if !there.is_empty() {
        let found = format!("there, tried: {}", there.join(", "));
        findings.push(Finding::ok(CHECK, "BPF helpers and maps", found));
    }
    findings
}

fn programs(facts: &Facts<'_>) -> Option<Finding> {
    match &facts.programs {
        _ if !facts.host.missing.is_empty() => None,
        Ok(()) if facts.subject.runs => None,
        Ok(()) => Some(Finding::ok(CHECK, "programs", "the kernel takes them")),
        Err(error) => Some(
            Finding::new(Code::ProgramsRefused, Level::Error, "programs", error)
                .because("without them nothing is intercepted")
                .remedy("install a kernel of 6.6 or later, with CONFIG_BPF_SYSCALL"),
        ),
    }
}

fn memlock(memlock: &Result<Memlock, String>) -> Finding {
    const OBJECT: &str = "RLIMIT_MEMLOCK";
    match memlock {
        Ok(Memlock::Enough) => Finding::ok(CHECK, OBJECT, "enough for maps"),
        Ok(Memlock::NotCharged(limit)) => {
            let found = format!("{} KiB, and maps are not charged to it", limit / 1024);
            Finding::ok(CHECK, OBJECT, found)
        }
        Ok(Memlock::TooLow(limit)) => {
            let found = format!("{} KiB, and maps are charged to it", limit / 1024);
            Finding::new(Code::Memlock, Level::Error, OBJECT, found)
                .because("maps cannot be made, and without them programs cannot be loaded")
                .remedy("ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit")
        }
        Err(error) => Finding::unread(CHECK, OBJECT, error),
    }
}

/// What makes it slower, or harder to look at.
fn speed(host: &Host) -> [Finding; 2] {
    let btf = if host.btf {
        Finding::ok(CHECK, "BTF", "/sys/kernel/btf/vmlinux is there")
    } else {
        let found = "/sys/kernel/btf/vmlinux is missing";
        Finding::new(Code::NoBtf, Level::Note, "BTF", found)
            .because("weir does not need it; tools that show BPF programs show less")
            .remedy("a kernel with CONFIG_DEBUG_INFO_BTF has it")
    };
    let jit = match host.jit {
        Some(true) => Finding::ok(CHECK, "BPF JIT", "on"),
        Some(false) => Finding::new(Code::JitOff, Level::Warning, "BPF JIT", "off")
            .because("programs are interpreted: each packet costs several times as much")
            .remedy("sysctl -w net.core.bpf_jit_enable=1"),
        None => Finding::new(Code::JitUnknown, Level::Note, "BPF JIT", "not shown here")
            .because("net.core.bpf_jit_enable is in the first one alone"),
    };
    [btf, jit]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_counts_is_an_error() {
        let of = |it: Memlock| memlock(&Ok(it)).code;
        assert_eq!(of(Memlock::Enough), None);
        assert_eq!(of(Memlock::NotCharged(65536)), None);
        assert_eq!(of(Memlock::TooLow(65536)), Some(Code::Memlock));
        let found = memlock(&Ok(Memlock::TooLow(65536))).found;
        assert_eq!(found, "64 KiB, and maps are charged to it");
        assert_eq!(memlock(&Err("x".into())).code, Some(Code::Unread));
    }
}
