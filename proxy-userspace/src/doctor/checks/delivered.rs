//! Chains of input and output that drop what is weir's: intercepted packets are this host's own,
//! and no longer forwarded.

use super::{
    super::{Finding, Level},
    ruleset::{Way, Ways, place},
};
use crate::netconf::firewall::{Hook, What};

pub(super) fn check(ways: &Ways<'_>) -> Vec<Finding> {
    let plan = &ways.subject.plan;
    let mut findings = dropped(ways, &ways.marked_at(Hook::Input), plan.steer_mark);
    findings.extend(dropped(ways, &ways.sent(), plan.socket_mark));
    findings
}

fn dropped(ways: &Ways<'_>, which: &[Way<'_>], bit: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (effect, words) in ways.effects(which) {
        let verb = match effect.what {
            What::Dropped => "drops",
            What::Rejected => "rejects",
            What::Queued => "asks a program about",
            What::Taken(_) | What::Unmarked => continue,
        };
        let level = match (effect.surely, effect.rule.is_some()) {
            _ if effect.what == What::Queued => Level::Note,
            (true, _) => Level::Error,
            // By a condition that weir does not understand: mostly meant for somebody.
            (false, true) => Level::Note,
            (false, false) => Level::Warning,
        };
        let some = if effect.surely { "" } else { "some of " };
        let found = format!("{verb} {some}{}", words.join(", "));
        findings.push(
            Finding::new("delivered", level, place(&effect), found)
                .because(
                    "what is intercepted is delivered to this host and sent by it, so that chains \
                     for input and output decide about it",
                )
                .remedy(effect.chain.accepting(bit)),
        );
    }
    findings
}
