//! The interfaces with a role.

use super::super::{Code, Facts, Finding, Level};

const CHECK: &str = "interfaces";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let subject = facts.subject;
    let links = match &facts.links {
        Ok(links) => links,
        Err(error) => return vec![Finding::unread(CHECK, "interfaces", error)],
    };
    let roles = [("LAN", &subject.lans), ("WAN", &subject.wans)];
    let mut findings = Vec::new();
    for (role, names) in roles {
        if names.is_empty() && !subject.waits {
            findings.push(
                Finding::new(Code::NoInterface, Level::Error, role, "none is named")
                    .because("what comes in by a LAN and leaves by a WAN is intercepted")
                    .remedy("weir doctor --lan IF --wan IF, or --config FILE"),
            );
        }
        for name in names {
            let object = format!("{role} {name}");
            findings.push(match links.iter().find(|link| link.name == *name) {
                None if subject.waits => Finding::new(
                    Code::InterfaceMissing,
                    Level::Note,
                    object,
                    "there is no such interface",
                )
                .because("nothing is intercepted on it until it is there"),
                None => Finding::new(
                    Code::InterfaceMissing,
                    Level::Error,
                    object,
                    "there is no such interface",
                )
                .remedy("ip link shows those that there are; --netns NAME looks elsewhere"),
                Some(link) if link.framing.is_none() => Finding::new(
                    Code::LinkType,
                    Level::Error,
                    object,
                    format!("link type {}", link.kind),
                )
                .because("weir does not know what its packets begin with")
                .remedy("name the interface that its IP packets come from"),
                Some(link) => Finding::ok(CHECK, object, format!("link type {}", link.kind)),
            });
        }
    }
    findings
}
