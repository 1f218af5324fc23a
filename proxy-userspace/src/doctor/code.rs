//! One word for everything that the doctor can say, the same in its JSON and in
//! `docs/TROUBLESHOOTING.md`.

use std::fmt;

/// Codes with their words, by the check that they are of.
macro_rules! codes {
    ($($check:literal: { $($(#[$doc:meta])+ $name:ident = $word:literal,)+ })+) => {
        /// What is not as it should be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($($(#[$doc])+ $name,)+)+
        }

        impl Code {
            /// All, check by check.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$name => $word,)+)+
                }
            }

            /// The check that says it.
            #[must_use]
            pub const fn check(self) -> &'static str {
                match self {
                    $($(Self::$name => $check,)+)+
                }
            }
        }
    };
}

codes! {
    "kernel": {
        /// This process lacks a capability.
        NotPermitted = "not-permitted",
        /// The kernel has no TCX.
        NoTcx = "no-tcx",
        /// The kernel has no sk_lookup.
        NoSkLookup = "no-sk-lookup",
        /// A helper or a kind of map is missing.
        NoHelper = "no-helper",
        /// The kernel refuses the programs as they are.
        ProgramsRefused = "programs-refused",
        /// Sockets cannot be ended.
        NoSockDestroy = "no-sock-destroy",
        /// The kernel does not tell its types.
        NoBtf = "no-btf",
        /// Programs are interpreted.
        JitOff = "jit-off",
        /// Whether programs are interpreted is not shown.
        JitUnknown = "jit-unknown",
        /// Maps are charged to a limit that is too low.
        Memlock = "memlock",
        /// There is no BPF file system to be had.
        NoBpffs = "no-bpffs",
    }
    "selinux": {
        /// SELinux has denied weir something.
        SelinuxDenied = "selinux-denied",
        /// SELinux is on, and weir's policy module is not there.
        SelinuxNoModule = "selinux-no-module",
    }
    "interfaces": {
        /// No interface is named for a role.
        NoInterface = "no-interface",
        /// One that is named is not there.
        InterfaceMissing = "interface-missing",
        /// One is of a link type that is not known.
        LinkType = "link-type",
    }
    "daemon": {
        /// It is about a daemon that would run.
        Planned = "planned",
        /// An interface carries no program.
        NotAttached = "not-attached",
        /// A valve is open.
        ValveOpen = "valve-open",
        /// Origins do not answer.
        ReturnPath = "return-path",
        /// Our own connections come back.
        Loop = "loop",
        /// What else the daemon warns of.
        DaemonWarning = "daemon-warning",
    }
    "measured": {
        /// SYNs that were marked do not reach the listener.
        SynsLost = "syns-lost",
        /// SYNs that reached the listener were not accepted.
        SynsUnanswered = "syns-unanswered",
        /// Answers came to clients by another way.
        AsymmetricReturn = "asymmetric-return",
        /// Connections found no free port.
        PortsExhausted = "ports-exhausted",
        /// There were no descriptors or sockets left.
        FilesExhausted = "files-exhausted",
    }
    "drift": {
        /// A policy rule of ours is gone.
        RuleMissing = "rule-missing",
        /// A route of ours is gone.
        RouteMissing = "route-missing",
        /// A program of ours is gone.
        ProgramMissing = "program-missing",
        /// A kernel parameter is no longer as the daemon has set it.
        SysctlMissing = "sysctl-missing",
        /// Another kernel parameter has changed.
        SysctlDrift = "sysctl-drift",
        /// Policy rules of others have come or gone.
        RulesDrift = "rules-drift",
    }
    "surroundings": {
        /// A start would be refused, or warn.
        Surroundings = "surroundings",
    }
    "hook": {
        /// An XDP program comes first.
        XdpFirst = "xdp-first",
        /// Another TCX program comes first.
        TcxFirst = "tcx-first",
    }
    "hardware": {
        /// A flowtable is offloaded.
        FlowtableOffload = "flowtable-offload",
        /// A chain is applied by interfaces.
        ChainOffload = "chain-offload",
        /// A filter is applied by an interface.
        FilterOffload = "filter-offload",
        /// An interface may be given filters and flowtables.
        TcOffload = "tc-offload",
        /// A switch forwards between ports of a bridge.
        SwitchPorts = "switch-ports",
    }
    "bridge": {
        /// br_netfilter calls rules for bridged frames.
        BridgeNetfilter = "bridge-netfilter",
        /// A rule has frames routed that should be bridged.
        Broute = "broute",
    }
    "routing": {
        /// A rule of somebody else's is for a mark of weir's.
        RuleMark = "rule-mark",
        /// A rule of somebody else's leads to weir's table.
        RuleTable = "rule-table",
        /// A rule of somebody else's comes before weir's.
        RuleFirst = "rule-first",
        /// What is left of another transparent proxy's routing.
        TproxyRouting = "tproxy-routing",
        /// This host does not forward.
        ForwardingOff = "forwarding-off",
    }
    "routes": {
        /// The default route leads nowhere.
        DefaultDeadEnd = "default-dead-end",
        /// The default route leads out of no WAN.
        DefaultElsewhere = "default-elsewhere",
        /// There is no default route.
        NoDefault = "no-default",
    }
    "taken": {
        /// A rule takes connections elsewhere.
        Taken = "taken",
    }
    "marks": {
        /// A rule wipes weir's mark.
        MarkWiped = "mark-wiped",
        /// What is left of another transparent proxy's chains.
        Divert = "divert-chain",
    }
    "delivered": {
        /// A chain of INPUT drops what is delivered to weir.
        InputDrops = "input-drops",
        /// A chain of OUTPUT drops what weir sends.
        OutputDrops = "output-drops",
    }
    "forward": {
        /// A chain of FORWARD refuses what weir fetches all the same.
        ForwardUnmet = "forward-unmet",
    }
    "conntrack": {
        /// A rule drops what conntrack cannot place.
        InvalidDrops = "invalid-drops",
        /// Its table is full, or nearly.
        ConntrackFull = "conntrack-full",
    }
    "firewall": {
        /// Something could not be looked at.
        Unread = "unread",
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DOCS: &str = include_str!("../../../docs/TROUBLESHOOTING.md");

    /// The words that lines of the tables under a heading begin with.
    fn explained() -> Vec<&'static str> {
        let (_, words) = DOCS.split_once("## All words").unwrap();
        let word = |line: &'static str| line.strip_prefix("| `")?.split('`').next();
        words.lines().filter_map(word).collect()
    }

    #[test]
    fn each_word_is_explained_once_and_no_other() {
        let explained = explained();
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len(), "a word is there twice");
        let documented: BTreeSet<_> = explained.iter().copied().collect();
        assert_eq!(documented, words);
        assert_eq!(explained.len(), words.len(), "a word is explained twice");
    }

    /// What stands beside Squid's entries are words of ours.
    #[test]
    fn squids_entries_have_words() {
        let (_, rest) = DOCS.split_once("## From Squid").unwrap();
        let (table, _) = rest.split_once("## All words").unwrap();
        let explained = explained();
        let rows: Vec<_> = table
            .lines()
            .filter(|line| line.starts_with("| "))
            .collect();
        assert!(rows.len() > 15, "{rows:?}");
        for row in &rows[1..] {
            let words = row.rsplit(" | ").next().unwrap();
            // Every other part is between a pair of them.
            for word in words.split('`').skip(1).step_by(2) {
                assert!(explained.contains(&word), "{word} of {row}");
            }
        }
    }
}
