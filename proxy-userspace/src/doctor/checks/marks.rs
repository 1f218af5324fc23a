//! Rules that set or restore the whole mark, and weir's with it.

use super::{
    super::{Code, Finding, Level},
    ruleset::{Ways, deletion, place},
};
use crate::netconf::firewall::{Hook, What};

pub(super) fn check(ways: &Ways<'_>) -> Vec<Finding> {
    let bit = ways.subject.plan.steer_mark;
    let mut findings = Vec::new();
    for (effect, words) in ways.effects(&ways.marked_at(Hook::Prerouting)) {
        if effect.what != What::Unmarked {
            continue;
        }
        let (level, some) = if effect.surely {
            (Level::Error, "")
        } else {
            (Level::Warning, "some of ")
        };
        let found = format!("wipes weir's mark {bit:#x} off {some}{}", words.join(", "));
        findings.push(
            Finding::new(Code::MarkWiped, level, place(&effect), found)
                .because("packets without it are forwarded: connections go direct, or hang")
                .remedy(format!(
                    "leave the bit alone: a mask without it (iptables --nfmask and --ctmask, nft \
                     meta mark set ct mark and {:#x} or'ed with the bits of the packet), or a \
                     condition that the bit is off (meta mark and {bit:#x} == 0); or delete it: {}",
                    !bit,
                    deletion(&effect)
                )),
        );
    }
    findings
}
