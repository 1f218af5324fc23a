//! What of the host's network interception does not go with, or goes differently with.
//!
//! Where it could not work, the start is refused; where that comes about later, or where it works
//! in another way than an operator may expect, a warning says so, in the log and in `weir status`.

use anyhow::Result;
use proxy_ebpf::settings::ROLE_LAN;

use super::{interfaces::Interfaces, keeper::Keeper};
use crate::{
    config::{Config, Dscp},
    fault::Fault,
    netconf::{
        Handle,
        addresses::{self, Connected},
        links::{self, Link, Vrf},
        rules::{self, Difference, Rule},
    },
};

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Warning {
    /// It does not work.
    Broken(String),
    /// It works, but perhaps not as expected.
    Different(String),
}

impl Warning {
    /// For people.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Broken(text) | Self::Different(text) => text,
        }
    }

    /// Says it in the log.
    pub(super) fn tell(&self) {
        match self {
            Self::Broken(text) => tracing::error!("{text}"),
            Self::Different(text) => tracing::warn!("{text}"),
        }
    }
}

/// Refuses a network in which interception cannot work.
pub(super) async fn check(
    handle: &Handle,
    interfaces: &Interfaces,
    links: &[Link],
    families: &[u8],
) -> Result<()> {
    let connected = addresses::connected(handle).await?;
    let ours = interfaces.among(links);
    let lans = lans(&ours);
    let broken = interfaces
        .roles
        .contradictions(links)
        .into_iter()
        .chain(in_vrfs(&ours, links))
        .chain(overlaps(&lans, &connected, families));
    match broken.reduce(|all, one| all + "; " + &one) {
        None => Ok(()),
        Some(all) => Err(Fault::HostCannot(all).into()),
    }
}

impl Keeper {
    /// Brings the warnings up to date, and tells what has changed.
    pub(super) async fn look_around(&mut self) {
        let now = match self.warnings_now().await {
            Ok(warnings) => warnings.into_iter().collect(),
            Err(error) => {
                let error = format!("{error:#}");
                return tracing::error!(error, "warnings may be out of date");
            }
        };
        for warning in self.warnings.difference(&now) {
            tracing::info!("no longer: {}", warning.text());
        }
        now.difference(&self.warnings).for_each(Warning::tell);
        self.warnings = now;
    }

    async fn warnings_now(&mut self) -> Result<Vec<Warning>> {
        let links = links::list(&self.handle).await?;
        let ours = self.interfaces.among(&links);
        let (handle, config) = (&self.handle, &self.options.config);
        let refused = self.interfaces.refused.iter().cloned();
        let broken = refused.chain(self.loops.warnings());
        let mut all: Vec<_> = broken.map(Warning::Broken).collect();
        all.extend(warnings(handle, &ours, &links, &self.families, config).await?);
        all.extend(self.tracking.warning().cloned());
        all.extend(self.warnings_of_bridge(&links));
        all.extend(self.firewall_conflicts(&links));
        Ok(all)
    }
}

/// Those about subnets, VRFs and policy rules.
pub(super) async fn warnings(
    handle: &Handle,
    ours: &[(&Link, u32)],
    links: &[Link],
    families: &[u8],
    config: &Config,
) -> Result<Vec<Warning>> {
    let connected = addresses::connected(handle).await?;
    let rules = rules::of_others(handle, config.host.table).await?;
    let lans = lans(ours);
    let broken = in_vrfs(ours, links)
        .into_iter()
        .chain(overlaps(&lans, &connected, families));
    let names: Vec<_> = lans.iter().map(|(name, _)| *name).collect();
    let dscp = config.spoof.dscp == Dscp::Copy;
    let different = rules
        .iter()
        .filter(|rule| families.contains(&rule.family()))
        .filter_map(|rule| different(rule, &names, dscp));
    Ok(broken
        .map(Warning::Broken)
        .chain(different.map(Warning::Different))
        .collect())
}

/// Name and index of each LAN that is there.
fn lans<'a>(ours: &[(&'a Link, u32)]) -> Vec<(&'a str, u32)> {
    let lans = ours.iter().filter(|(_, role)| role & ROLE_LAN != 0);
    lans.map(|(lan, _)| (lan.name.as_str(), lan.index))
        .collect()
}

/// What is wrong with interfaces of ours that have a part in a VRF.
fn in_vrfs(ours: &[(&Link, u32)], links: &[Link]) -> Vec<String> {
    let ours = ours.iter().map(|(link, _)| link.name.as_str());
    ours.filter_map(|name| in_vrf(name, links)).collect()
}

fn in_vrf(name: &str, links: &[Link]) -> Option<String> {
    let (part, remedy) = match links.iter().find(|link| link.name == name)?.vrf? {
        Vrf::Device => ("is the device of a VRF".to_owned(), String::new()),
        Vrf::Member(index) => {
            let device = links.iter().find(|link| link.index == index);
            let device = device.map_or_else(|| format!("#{index}"), |link| link.name.clone());
            (
                format!("belongs to VRF {device}"),
                format!("take it out of there (ip link set {name} nomaster), or "),
            )
        }
    };
    Some(format!(
        "interface {name} {part}: weir's routes and sockets are in no VRF, so it intercepts in none; \
         {remedy}name another interface"
    ))
}

/// What is wrong with subnets that are on more than one LAN.
fn overlaps(lans: &[(&str, u32)], connected: &[Connected], families: &[u8]) -> Vec<String> {
    let wanted =
        |it: &Connected| families.contains(&if it.prefix.addr().is_ipv4() { 4 } else { 6 });
    let mut found = Vec::new();
    for (place, (one, index)) in lans.iter().enumerate() {
        let on = |index: u32| connected.iter().filter(move |it| it.index == index);
        for subnet in on(*index).filter(|it| wanted(it)) {
            for (other, other_index) in &lans[place + 1..] {
                let overlapping = on(*other_index).filter(|it| {
                    it.prefix.contains(&subnet.prefix) || subnet.prefix.contains(&it.prefix)
                });
                found.extend(overlapping.map(|it| {
                    format!(
                        "client subnets overlap: {one} has {}, {other} has {}, and an answer to a \
                         client of both can go out of one only; give each LAN a subnet of its own, \
                         or leave one of them out",
                        subnet.prefix, it.prefix
                    )
                }));
            }
        }
    }
    found
}

/// What a rule of somebody else's does to our connections, if not what it does to packets of LANs.
fn different(rule: &Rule, lans: &[&str], dscp: bool) -> Option<String> {
    let effect = match rule.difference(lans, dscp)? {
        Difference::Lan(lan) => format!(
            "is about packets that come in by {lan}, and weir's connections to origins do not: \
             clients that are intercepted go another way; a rule by source prefix (from) treats \
             both alike"
        ),
        Difference::Own => "is about what this host sends itself, which weir's connections to \
             origins are: clients that are intercepted go another way than others"
            .to_owned(),
        Difference::Mark => "is about marks, and weir's connections to origins do not have those \
             that a firewall puts on clients' packets: clients that are intercepted may go another \
             way; the mark of a [[rule]] puts one on ours"
            .to_owned(),
        Difference::Dscp => "is about the DSCP, which weir's connections to origins do not have \
             with spoof.dscp = \"clear\": clients that are intercepted may go another way; \"copy\" \
             treats both alike"
            .to_owned(),
        Difference::SourcePort => "is about source ports, and weir's connections to origins have \
             those of spoof.ports: clients that are intercepted may go another way"
            .to_owned(),
        Difference::User => "is about a user, and weir's connections to origins are those of its \
             own: clients that are intercepted may go another way than others"
            .to_owned(),
    };
    Some(format!("{rule} {effect}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(index: u32, prefix: &str) -> Connected {
        Connected {
            index,
            prefix: prefix.parse().unwrap(),
        }
    }

    #[test]
    fn subnets_that_overlap_are_named() {
        let lans = [("lan0", 3), ("lan1", 4)];
        let connected = [
            on(3, "10.0.1.0/24"),
            // One LAN may have as many as it likes.
            on(3, "10.0.1.0/25"),
            on(4, "10.0.2.0/24"),
            on(4, "fd00::/64"),
            // What is no LAN is none of ours.
            on(5, "10.0.0.0/8"),
        ];
        assert_eq!(overlaps(&lans, &connected, &[4, 6]), [""; 0]);

        let mut both = connected.to_vec();
        both.push(on(4, "10.0.1.128/26"));
        both.push(on(3, "fd00::/48"));
        let named = |families: &[u8]| overlaps(&lans, &both, families);
        let v4 = named(&[4]);
        assert_eq!(v4.len(), 1, "{v4:?}");
        let first = "client subnets overlap: lan0 has 10.0.1.0/24, lan1 has 10.0.1.128/26, ";
        assert!(v4[0].starts_with(first), "{v4:?}");
        let v6 = named(&[6]);
        assert_eq!(v6.len(), 1, "{v6:?}");
        assert!(v6[0].contains("lan0 has fd00::/48, lan1 has fd00::/64"));
    }

    #[test]
    fn a_part_in_a_vrf_is_named() {
        let link = |name: &str, index, vrf| Link {
            name: name.to_owned(),
            index,
            framing: Some(proxy_ebpf::framing::Framing::Ethernet),
            kind: "ether".to_owned(),
            vrf,
            bridge: None,
            mac: [0; 6],
        };
        let links = [
            link("lan0", 3, Some(Vrf::Member(9))),
            link("lan1", 4, Some(Vrf::Member(10))),
            link("wan0", 5, None),
            link("red", 9, Some(Vrf::Device)),
        ];
        assert_eq!(in_vrf("wan0", &links), None);
        assert_eq!(in_vrf("wan1", &links), None);
        for (name, part) in [
            ("lan0", "interface lan0 belongs to VRF red: "),
            ("lan1", "interface lan1 belongs to VRF #10: "),
            ("red", "interface red is the device of a VRF: "),
        ] {
            let said = in_vrf(name, &links).unwrap();
            assert!(said.starts_with(part), "{said}");
            assert_eq!(said.contains("nomaster"), name != "red", "{said}");
        }
    }
}
