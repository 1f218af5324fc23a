//! Policy rules of others, and kernel parameters of routing.

use super::super::{Code, Facts, Finding, Level, Step};
use crate::netconf::{
    links::{self, Bridge},
    sysctl,
};

const CHECK: &str = "routing";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = rules(facts);
    findings.extend(forwarding(facts));
    findings.extend(harmless(facts));
    findings
}

fn rules(facts: &Facts<'_>) -> Vec<Finding> {
    let rules = match &facts.rules {
        Ok(rules) => rules,
        Err(error) => return vec![Finding::unread(CHECK, "policy rules", error)],
    };
    let plan = &facts.subject.plan;
    let mut findings = Vec::new();
    for rule in rules {
        for (bit, key) in [
            (plan.steer_mark, "steer_mark"),
            (plan.socket_mark, "socket_mark"),
            (plan.output_mark.unwrap_or_default(), "output_mark"),
        ] {
            if rule.wants_mark(bit) {
                findings.push(
                    Finding::new(
                        Code::RuleMark,
                        Level::Error,
                        rule.to_string(),
                        format!("for mark {bit:#x}"),
                    )
                    .because("weir marks its packets with that bit, and does not start beside it")
                    .remedy(format!(
                        "choose another `{key}` in [host], or delete the rule"
                    )),
                );
            }
        }
        if rule.table() == plan.table {
            findings.push(
                Finding::new(
                    Code::RuleTable,
                    Level::Error,
                    rule.to_string(),
                    "leads to weir's table",
                )
                .because("weir does not start beside it")
                .remedy("choose another `table` in [host], or delete the rule"),
            );
        }
        let catching = facts.subject.lans.iter().find_map(|lan| {
            let (iif, _) = links::upper(facts.links(), lan);
            let ports = &facts.subject.ports;
            let surely = rule.comes_first(plan.priority, iif, plan.steer_mark, ports)?;
            Some((lan, surely))
        });
        if let Some((lan, surely)) = catching {
            let (level, some) = if surely {
                (Level::Error, "")
            } else {
                (Level::Warning, "some of ")
            };
            let found = format!(
                "comes before weir's ({}) and catches {some}what it marks on {lan}",
                plan.priority
            );
            findings.push(
                Finding::new(Code::RuleFirst, level, rule.to_string(), found)
                    .because("those packets are routed by that rule and not delivered to weir")
                    .remedy(
                        "choose a `priority` in [host] below that of the rule, or give the rule a \
                         higher one",
                    ),
            );
        }
    }
    if findings.is_empty() {
        let found = format!(
            "{} of others, none for weir's marks or before its own",
            rules.len()
        );
        findings.push(Finding::ok(CHECK, "policy rules", found));
    }
    findings
}

fn forwarding(facts: &Facts<'_>) -> Vec<Finding> {
    let is_port = |name: &String| {
        let link = facts.links.iter().flatten().find(|link| link.name == *name);
        link.is_some_and(|link| matches!(link.bridge, Some(Bridge::Port(_))))
    };
    // A bridge forwards whatever IP does.
    if facts.subject.interfaces().all(is_port) {
        return Vec::new();
    }
    let keys = [
        (4, "net/ipv4/ip_forward"),
        (6, "net/ipv6/conf/all/forwarding"),
    ];
    let mut findings = Vec::new();
    for (family, key) in keys {
        if facts.subject.families.contains(&family)
            && sysctl::read(key).is_ok_and(|value| value == "0")
        {
            let name = key.replace('/', ".");
            findings.push(
                Finding::new(Code::ForwardingOff, Level::Warning, &name, "0")
                    .because(format!(
                        "whatever of IPv{family} is not intercepted is not forwarded"
                    ))
                    .mended_by(Step::Sysctl {
                        name: key.to_owned(),
                        value: "1".to_owned(),
                    }),
            );
        }
    }
    findings
}

/// What breaks other transparent proxies: that it does not break this one is worth a word.
fn harmless(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, why) in [
        (
            "rp_filter",
            "weir's rules are for packets that came in (iif), which the reverse lookup is not for",
        ),
        (
            "src_valid_mark",
            "the reverse lookup has weir's mark then, but no interface, so weir's rule does not \
             catch it",
        ),
    ] {
        let names = ["all".to_owned()];
        let names = names.iter().chain(facts.subject.interfaces());
        let on = names.filter(|name| {
            let value = sysctl::read(&format!("net/ipv4/conf/{name}/{key}"));
            value.is_ok_and(|value| value != "0")
        });
        let on: Vec<_> = on.map(String::as_str).collect();
        if !on.is_empty() {
            let found = format!("on for {}", on.join(", "));
            findings.push(Finding::ok(CHECK, key, found).because(why));
        }
    }
    findings
}
