//! What goes through interfaces and switches without this host's seeing it.
//!
//! nftables' flowtables are read in `netfilter/nf_flow_table_core.c`: only what a forward chain has
//! put into one is in it.

use std::collections::BTreeMap;

use super::super::{Code, Facts, Finding, Level};
use crate::netconf::{firewall::Tool, links::Bridge};

const CHECK: &str = "hardware";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = flowtables(facts);
    findings.extend(chains(facts));
    findings.extend(interfaces(facts));
    findings.extend(switches(facts));
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            "offloads",
            "no packets pass by this host's own stack",
        ));
    }
    findings
}

fn flowtables(facts: &Facts<'_>) -> Vec<Finding> {
    let all = facts.rulesets().flat_map(|ruleset| &ruleset.flowtables);
    let finding = |it: &crate::netconf::firewall::Flowtable| {
        let object = format!("flowtable {} {} {}", it.family.as_str(), it.table, it.name);
        let devices = it.devices.join(", ");
        if it.offloaded {
            Finding::new(Code::FlowtableOffload, Level::Note, object, format!("offloaded to {devices}")).because(
                "packets of flows that the interfaces forward by themselves are not seen by weir and \
                 not in its counters; only flows that go direct get there, so nothing is intercepted \
                 in part",
            )
        } else {
            Finding::ok(CHECK, object, format!("in software, for {devices}")).because(
                "it is looked into behind TC, and has only flows that go direct; weir's end on this \
                 host",
            )
        }
    };
    all.map(finding).collect()
}

/// Chains that interfaces apply (`flags offload`).
fn chains(facts: &Facts<'_>) -> Vec<Finding> {
    let all = facts.rulesets().flat_map(|ruleset| &ruleset.chains);
    let offloaded = all.filter_map(|chain| {
        let base = chain.base.as_ref().filter(|base| base.offloaded)?;
        let found = format!("offloaded to {}", base.devices.join(", "));
        let finding = Finding::new(Code::ChainOffload, Level::Note, chain.to_string(), found)
            .because("what the interfaces drop or redirect by it never gets to weir");
        Some(if chain.tool == Tool::Nft {
            finding.remedy(chain.listing())
        } else {
            finding
        })
    });
    offloaded.collect()
}

fn interfaces(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for interface in &facts.interfaces {
        for filter in interface
            .filters
            .iter()
            .flatten()
            .filter(|it| it.in_hardware)
        {
            let (kind, preference) = (&filter.kind, filter.preference);
            let found = format!(
                "{} filter {kind}, preference {preference}, in hardware",
                filter.hook
            );
            findings.push(
                Finding::new(Code::FilterOffload, Level::Warning, &interface.name, found)
                    .because(
                        "the interface applies it before any packet is seen here: what it drops or \
                         redirects never gets to weir",
                    )
                    .remedy(format!(
                        "tc -s filter show dev {} {}",
                        interface.name, filter.hook
                    )),
            );
        }
        if interface.offloads_tc == Ok(true) {
            findings.push(
                Finding::new(
                    Code::TcOffload,
                    Level::Note,
                    &interface.name,
                    "hw-tc-offload is on",
                )
                .because(
                    "filters and flowtables may be put into the interface; weir's own program \
                         never is, and sees what the interface hands up",
                )
                .remedy(format!("ethtool -K {} hw-tc-offload off", interface.name)),
            );
        }
    }
    findings
}

/// Ports of one bridge that are of one switch: the switch forwards between them by itself.
fn switches(facts: &Facts<'_>) -> Vec<Finding> {
    let (Ok(links), Ok(fronts)) = (&facts.links, &facts.fronts) else {
        return Vec::new();
    };
    let mut ports: BTreeMap<(u32, &str), Vec<&str>> = BTreeMap::new();
    for link in links {
        let switch = fronts
            .get(&link.name)
            .and_then(|front| front.switch.as_deref());
        if let (Some(Bridge::Port(bridge)), Some(switch)) = (link.bridge, switch) {
            ports.entry((bridge, switch)).or_default().push(&link.name);
        }
    }
    let mut findings = Vec::new();
    for ((_, switch), ports) in ports {
        let is_ours = |name: &&&str| facts.subject.interfaces().any(|it| *it == **name);
        let ours: Vec<_> = ports.iter().filter(is_ours).copied().collect();
        let object = format!("switch {switch}, ports {}", ports.join(", "));
        findings.push(match ours.len() {
            0 | 1 => Finding::new(Code::SwitchPorts, Level::Note, object, "in one bridge").because(
                "what goes from one of these ports to another is forwarded by the switch itself and \
                 never gets to this host; what is routed does",
            ),
            _ => Finding::new(Code::SwitchPorts, Level::Error, object, "LAN and WAN are ports of one switch")
                .because(
                    "the switch forwards frames between them by itself: weir sees the first of a \
                     flow at best",
                )
                .remedy("put one of them into a bridge of its own, and route between the two"),
        });
    }
    findings
}
