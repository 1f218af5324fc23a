//! Chains of forward that refuse clients what weir fetches for them all the same.

use super::{
    super::{Code, Finding, Level},
    ruleset::{Ways, place},
};
use crate::netconf::firewall::What;

pub(super) fn check(ways: &Ways<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (effect, words) in ways.effects(&ways.forwarded()) {
        if !matches!(effect.what, What::Dropped | What::Rejected) {
            continue;
        }
        let (level, some) = match (effect.surely, effect.rule) {
            (true, _) => (Level::Warning, ""),
            (false, _) => (Level::Note, "some of "),
        };
        let found = format!("refuses {some}{}", words.join(", "));
        findings.push(
            Finding::new(Code::ForwardUnmet, level, place(&effect), found)
                .because(
                    "what is intercepted is not forwarded, so this does not hold for it: clients \
                     reach those origins through weir",
                )
                .remedy(
                    "refuse it to weir's connections as well, in a chain of output, or let it go \
                     direct: weir bypass add DESTINATION",
                ),
        );
    }
    findings
}
