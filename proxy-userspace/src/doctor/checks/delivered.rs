//! Chains of input and output that drop what is weir's: intercepted packets are this host's own,
//! and no longer forwarded.

use super::{
    super::{Code, Finding, Level, Step},
    ruleset::{Way, Ways, place},
};
use crate::netconf::firewall::{Effect, Hook, What};

pub(super) fn check(ways: &Ways<'_>) -> Vec<Finding> {
    let plan = &ways.subject.plan;
    let delivered = ways.marked_at(Hook::Input);
    let mut findings = dropped(ways, &delivered, Code::InputDrops, plan.steer_mark);
    let sent = ways.sent();
    findings.extend(dropped(ways, &sent, Code::OutputDrops, plan.socket_mark));
    findings
}

fn dropped(ways: &Ways<'_>, which: &[Way<'_>], code: Code, bit: u32) -> Vec<Finding> {
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
        let finding = Finding::new(code, level, place(&effect), found).because(
            "what is intercepted is delivered to this host and sent by it, so that chains for input \
             and output decide about it",
        );
        findings.push(excepting(finding, &effect, bit));
    }
    findings
}

/// Rules that drop what conntrack has for invalid, and would not drop it otherwise. With addresses
/// of clients and ports of weir's own it has none of ours for that; with the clients' ports, both
/// sides of a connection are one to it.
pub(super) fn invalid(ways: &Ways<'_>) -> Vec<Finding> {
    let plan = &ways.subject.plan;
    let hooks = [
        (ways.marked_at(Hook::Prerouting), plan.steer_mark),
        (ways.marked_at(Hook::Input), plan.steer_mark),
        (ways.sent(), plan.socket_mark),
    ];
    let mut findings = Vec::new();
    for (valid, bit) in hooks {
        let same = |one: &Effect<'_>, other: &Effect<'_>| {
            one.what == other.what
                && std::ptr::eq(one.chain, other.chain)
                && one.rule.map(std::ptr::from_ref) == other.rule.map(std::ptr::from_ref)
        };
        let anyway = ways.effects(&valid);
        let invalid: Vec<_> = valid.into_iter().map(Way::invalid).collect();
        for (effect, words) in ways.effects(&invalid) {
            let drops = matches!(effect.what, What::Dropped | What::Rejected);
            if !drops || effect.rule.is_none() || anyway.iter().any(|(it, _)| same(it, &effect)) {
                continue;
            }
            let level = match ways.subject.own_ports {
                None => Level::Warning,
                Some(_) => Level::Note,
            };
            let found = format!("drops what conntrack has for invalid: {}", words.join(", "));
            findings.push(
                excepting(Finding::new(Code::InvalidDrops, level, place(&effect), found), &effect, bit)
                    .because(
                        "where conntrack does not see both directions of a connection, or takes its \
                         two sides for one (spoof.source = \"client-port\"), its packets are invalid \
                         to it, and the connection hangs",
                    ),
            );
        }
    }
    findings
}

/// With the rule that mends it; only said, not done, where the trouble is perhaps meant.
fn excepting(finding: Finding, effect: &Effect<'_>, bit: u32) -> Finding {
    match effect.chain.exception(bit) {
        Some(exception) if finding.level >= Level::Warning => {
            finding.mended_by(Step::Accept(exception))
        }
        _ => finding.remedy(effect.chain.accepting(bit)),
    }
}
