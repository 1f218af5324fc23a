//! Who else is at the interfaces: XDP, taps, TCX, clsact, in that order
//! (`__netif_receive_skb_core`).

use super::super::{Code, Facts, Finding, Level, facts::Interface};
use crate::dataplane::neighbours;

const CHECK: &str = "hook";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for interface in &facts.interfaces {
        let before = findings.len();
        findings.extend(xdp(facts, interface));
        findings.extend(tcx(interface));
        findings.extend(filters(interface));
        if findings.len() == before {
            findings.push(Finding::ok(
                CHECK,
                &interface.name,
                "no programs or filters of others",
            ));
        }
    }
    match &facts.taps {
        Ok(0) | Err(_) => {}
        Ok(taps) => findings.push(
            Finding::ok(
                CHECK,
                "packet sockets",
                format!("{taps}, as of tcpdump or a DHCP client"),
            )
            .because("they get copies, before weir's program looks, and take nothing away"),
        ),
    }
    findings
}

fn xdp(facts: &Facts<'_>, interface: &Interface) -> Vec<Finding> {
    let front = facts.fronts.as_ref().ok();
    let front = front.and_then(|fronts| fronts.get(&interface.name));
    let programs = front.map(|front| &front.xdp[..]).unwrap_or_default();
    let finding = |(mode, id): &(&str, u32)| {
        let name = named(neighbours::name_of(*id).as_deref());
        Finding::new(
            Code::XdpFirst,
            Level::Note,
            &interface.name,
            format!("XDP program {id}{name} ({mode})"),
        )
        .because(
            "it comes before everything else: what it drops, sends back or redirects never gets to \
             weir and goes as if weir were not there",
        )
    };
    programs.iter().map(finding).collect()
}

fn tcx(interface: &Interface) -> Vec<Finding> {
    let programs = match &interface.programs {
        Ok(programs) => programs,
        Err(error) => {
            let object = format!("{}, TCX", interface.name);
            return vec![Finding::unread(CHECK, object, error)];
        }
    };
    let ours = programs.iter().position(|program| program.is_ours);
    let others = programs.iter().enumerate().filter(|(_, it)| !it.is_ours);
    let finding = |(place, program): (usize, &neighbours::Neighbour)| {
        let what = format!("TCX program {}{}", program.id, named(Some(&program.name)));
        if ours.is_some_and(|ours| ours < place) {
            Finding::ok(CHECK, &interface.name, format!("{what} behind weir's"))
                .because("weir's returns TCX_NEXT always, so it sees every packet")
        } else {
            Finding::new(
                Code::TcxFirst,
                Level::Note,
                &interface.name,
                format!("{what} before weir's"),
            )
            .because(
                "packets for which it returns something else than TCX_NEXT never get to weir: \
                     what it accepts goes direct, what it drops is gone",
            )
            .remedy(format!("bpftool prog show id {}", program.id))
        }
    };
    others.map(finding).collect()
}

fn filters(interface: &Interface) -> Vec<Finding> {
    let filters = match &interface.filters {
        Ok(filters) => filters,
        Err(error) => {
            let object = format!("{}, filters", interface.name);
            return vec![Finding::unread(CHECK, object, error)];
        }
    };
    let in_software = filters.iter().filter(|filter| !filter.in_hardware);
    let finding = |filter: &crate::netconf::tc::Filter| {
        let found = format!(
            "{} filter {}{}, preference {}",
            filter.hook,
            filter.kind,
            named(filter.program.as_deref()),
            filter.preference
        );
        Finding::ok(CHECK, &interface.name, found)
            .because("filters come behind TCX and see every packet, with weir's mark on its own")
    };
    in_software.map(finding).collect()
}

fn named(name: Option<&str>) -> String {
    match name {
        None | Some("") => String::new(),
        Some(name) => format!(" {name}"),
    }
}
