//! Bridges, and br_netfilter.

use super::super::{Code, Facts, Finding, Level};
use crate::netconf::{
    firewall::{Chain, Rule, Tool, broute},
    links::Bridge,
    sysctl,
};

const CHECK: &str = "bridge";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = routed(facts);
    for link in facts.links.iter().flatten() {
        if !facts.subject.interfaces().any(|name| *name == link.name) {
            continue;
        }
        let name = &link.name;
        match link.bridge {
            Some(Bridge::Device { .. }) => findings.extend(netfilter(name)),
            Some(Bridge::Port(_)) => {
                findings.push(Finding::ok(CHECK, name, "a port of a bridge").because(
                    "what weir takes is taken at the port, before br_netfilter's hooks; all else \
                     stays bridged",
                ));
            }
            None => {}
        }
    }
    findings
}

/// Rules by which frames are routed that would be bridged.
fn routed(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (chain, rules) in facts.rulesets().flat_map(broute::of) {
        findings.extend(rules.iter().map(|rule| routing(chain, rule)));
    }
    match &facts.broute {
        Ok(Some(chain)) => findings.extend(chain.rules.iter().map(|rule| routing(chain, rule))),
        Ok(None) => {}
        Err(error) => findings.push(Finding::unread(CHECK, "ebtables-legacy", error)),
    }
    findings
}

fn routing(chain: &Chain, rule: &Rule) -> Finding {
    let (object, remedy) = match chain.tool {
        Tool::Nft => (
            format!("{chain}, rule {}", rule.label),
            format!(
                "nft delete rule bridge {} {} {}",
                chain.table, chain.name, rule.label
            ),
        ),
        tool => {
            let command = chain.command();
            let rule = match tool {
                Tool::Legacy => format!("-D {} {}", chain.name, rule.label),
                _ => format!("-F {}", chain.name),
            };
            let remedy = format!("{command} -t {} {rule}", chain.table);
            (chain.to_string(), remedy)
        }
    };
    Finding::new(
        Code::Broute,
        Level::Warning,
        object,
        "frames are routed, not bridged",
    )
    .because(
        "other transparent proxies on a bridge need it, weir takes its packets at the ports: what \
             weir lets go direct leaves by this host's own routes, or not at all",
    )
    .remedy(remedy)
}

/// With br_netfilter, rules for prerouting see a frame at the port, before our program at the
/// bridge marks it, and do not see it again.
fn netfilter(bridge: &str) -> Option<Finding> {
    let calls = ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"];
    let key = |name: &&str| format!("net/bridge/{name}");
    let on = |name: &&str| sysctl::read(&key(name)).is_ok_and(|value| value != "0");
    let on: Vec<_> = calls.iter().filter(|name| on(name)).collect();
    if on.is_empty() {
        return None;
    }
    let remedies: Vec<_> = on
        .iter()
        .map(|name| format!("sysctl -w {}=0", key(name).replace('/', ".")))
        .collect();
    Some(
        Finding::new(
            Code::BridgeNetfilter,
            Level::Note,
            bridge,
            "br_netfilter calls rules for bridged frames",
        )
        .because(
            "rules for prerouting see frames at the bridge's ports, where they have no mark of \
                 weir's yet; rules that take or drop TCP of a watched port come first there",
        )
        .remedy(remedies.join("; ")),
    )
}
