//! Rules that take what weir has marked to somewhere else: TPROXY, REDIRECT, DNAT.

use super::{
    super::{Code, Finding, Level},
    ruleset::{Ways, deletion, place},
};
use crate::netconf::firewall::{Hook, Taking, What};

pub(super) fn check(ways: &Ways<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (effect, words) in ways.effects(&ways.marked_at(Hook::Prerouting)) {
        let What::Taken(taking) = effect.what else {
            continue;
        };
        let level = match (effect.surely, taking) {
            (true, _) => Level::Error,
            // Mostly a port forward for an address of this host's, which weir leaves alone.
            (false, Taking::Dnat) => Level::Note,
            (false, _) => Level::Warning,
        };
        let some = if effect.surely { "" } else { "some of " };
        let found = format!("{taking} takes {some}{}", words.join(", "));
        findings.push(
            Finding::new(Code::Taken, level, place(&effect), found)
                .because(
                    "those connections go to whom the rule says and never to weir, whose \
                     not-delivered valve may open then",
                )
                .remedy(deletion(&effect)),
        );
    }
    findings
}
