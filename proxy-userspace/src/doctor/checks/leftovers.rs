//! What a set-up of another transparent proxy has left: routing for TPROXY marks, and the chain
//! DIVERT of the usual recipe.

use super::{
    super::{Code, Facts, Finding, Level},
    defaults::command,
};
use crate::netconf::{
    firewall::{Chain, Step, Tool},
    routes::Kind,
};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = routing(facts);
    findings.extend(chains(facts));
    findings
}

/// Rules for a mark that lead to a table that delivers everything to this host.
fn routing(facts: &Facts<'_>) -> Vec<Finding> {
    let (Ok(rules), Ok(defaults)) = (&facts.rules, &facts.defaults) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for rule in rules {
        let is_theirs = |it: &&crate::netconf::routes::Default| {
            it.kind == Kind::Local
                && !it.is_ours
                && it.table == rule.table()
                && it.family == rule.family()
        };
        let Some(route) = defaults.iter().find(is_theirs) else {
            continue;
        };
        let found = format!("delivers what it catches to this host ({route})");
        let deletion = rule.deletion();
        findings.push(
            Finding::new(Code::TproxyRouting, Level::Note, rule.to_string(), found)
                .because(
                    "transparent proxies by TPROXY need it, weir has its own: packets with that mark \
                     end on this host, where nobody waits for them",
                )
                .remedy(format!("{deletion}; {}", command(route, "delete"))),
        );
    }
    findings
}

/// A chain DIVERT that marks and accepts, as Squid's and the kernel's own recipes have it.
fn chains(facts: &Facts<'_>) -> Vec<Finding> {
    let all = facts.rulesets().flat_map(|ruleset| &ruleset.chains);
    let is_divert = |chain: &&Chain| {
        let mut steps = chain.rules.iter().flat_map(|rule| &rule.steps);
        chain.name.eq_ignore_ascii_case("divert") && steps.any(|step| matches!(step, Step::Mark(_)))
    };
    let finding = |chain: &Chain| {
        Finding::new(
            Code::Divert,
            Level::Note,
            chain.to_string(),
            "marks packets of transparent sockets",
        )
        .because(
            "weir's sockets are transparent, too: what is marked anew loses weir's mark \
             (mark-wiped), and is delivered by the rule for the other one, if at all",
        )
        .remedy(match chain.tool {
            Tool::Nft => chain.listing(),
            _ => format!(
                "{0} -t {1} -D PREROUTING -p tcp -m socket -j {2}; {0} -t {1} -F {2}; {0} -t {1} \
                 -X {2}",
                chain.command(),
                chain.table,
                chain.name
            ),
        })
    };
    all.filter(is_divert).map(finding).collect()
}
