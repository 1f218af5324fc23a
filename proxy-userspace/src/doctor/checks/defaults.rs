//! Where the default routes lead: what has no better route goes there, intercepted or not.

use super::super::{Code, Facts, Finding, Level};
use crate::netconf::{
    links::{self, Bridge, Link},
    routes::{Default, Hop, Kind, MAIN},
};

const CHECK: &str = "routes";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let defaults = match &facts.defaults {
        Ok(defaults) => defaults,
        Err(error) => return vec![Finding::unread(CHECK, "default routes", error)],
    };
    // Through a bridge weir has routes of its own.
    let is_port = |name: &String| {
        let link = facts.links().iter().find(|link| link.name == *name);
        link.is_some_and(|link| matches!(link.bridge, Some(Bridge::Port(_))))
    };
    if facts.subject.wans.iter().all(is_port) {
        return Vec::new();
    }
    let families = facts.subject.families.iter();
    families
        .map(|family| of(facts, defaults, *family))
        .collect()
}

fn of(facts: &Facts<'_>, defaults: &[Default], family: u8) -> Finding {
    let object = format!("IPv{family} default route");
    let in_main = |it: &&Default| it.family == family && it.table == MAIN && !it.is_ours;
    let Some(route) = defaults.iter().find(in_main) else {
        return Finding::new(Code::NoDefault, Level::Note, object, "none in table main").because(
            "origins that no other route leads to are not reached, and not intercepted (no-route)",
        );
    };
    if let Kind::DeadEnd(word) = route.kind {
        return Finding::new(Code::DefaultDeadEnd, Level::Error, object, word)
            .because("whatever has no better route is dropped or refused by this host")
            .remedy(format!(
                "{}, or one with a lower metric",
                command(route, "delete")
            ));
    }
    let alive: Vec<_> = route.hops.iter().filter(|hop| !hop.is_down).collect();
    let names: Vec<_> = route.hops.iter().map(|hop| name(facts, hop)).collect();
    let names = names.join(", ");
    if alive.is_empty() {
        let found = format!("{names} has no carrier");
        return Finding::new(Code::DefaultDeadEnd, Level::Error, object, found)
            .because("whatever has no better route is lost")
            .remedy(format!("connect {names}; or {}", command(route, "delete")));
    }
    if let Some(gateway) = silent(facts, &alive) {
        let found = format!("{gateway}, on {names}, does not answer");
        return Finding::new(Code::DefaultDeadEnd, Level::Error, object, found)
            .because(
                "the router that it leads to has no answer to ARP, or to neighbour solicitation: \
                 whatever has no better route is lost",
            )
            .remedy(format!(
                "ip neigh show {gateway}; then {}",
                command(route, "delete")
            ));
    }
    let is_wan = |hop: &&&Hop| facts.subject.wans.iter().any(|wan| is(facts, wan, hop));
    if alive.iter().filter(is_wan).count() < alive.len() {
        return Finding::new(
            Code::DefaultElsewhere,
            Level::Warning,
            object,
            format!("leads out of {names}, which is no WAN"),
        )
        .because(
            "what goes out of there is not intercepted (route-not-wan); a default route that a \
             management interface brought is a dead end for clients",
        )
        .remedy(format!(
            "name it with --wan, or {} and have it lead out of a WAN",
            command(route, "delete")
        ));
    }
    Finding::ok(CHECK, object, format!("leads out of {names}"))
}

/// The way that does not answer, if none does that a router is on.
fn silent(facts: &Facts<'_>, alive: &[&Hop]) -> Option<std::net::IpAddr> {
    let silent = facts.silent.as_ref().ok()?;
    let fails = |hop: &&&Hop| {
        hop.gateway
            .is_some_and(|gateway| silent.contains(&(hop.interface, gateway)))
    };
    if alive.iter().filter(fails).count() < alive.len() {
        return None;
    }
    alive.first()?.gateway
}

fn is(facts: &Facts<'_>, wan: &str, hop: &Hop) -> bool {
    links::upper(facts.links(), wan).1 == hop.interface
}

fn name(facts: &Facts<'_>, hop: &Hop) -> String {
    let link = facts
        .links()
        .iter()
        .find(|link| link.index == hop.interface);
    link.map_or_else(
        || format!("#{}", hop.interface),
        |link: &Link| link.name.clone(),
    )
}

/// The command that does so with the route.
pub(super) fn command(route: &Default, verb: &str) -> String {
    let shown = route.to_string();
    match shown.split_once(" route") {
        Some((ip, rest)) => format!("{ip} route {verb}{rest}"),
        None => shown,
    }
}
