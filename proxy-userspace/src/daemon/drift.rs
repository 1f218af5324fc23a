//! What of this host is no longer as the daemon made it, or found it; and putting back what is its
//! own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::{Value, json};

use super::{interfaces::Interface, keeper::Keeper};
use crate::{
    dataplane::attach::{self, Hook},
    netconf::{
        drift::{Expected, Missing},
        rules, sysctl,
    },
};

/// Kernel parameters of the network that interception is near to, and of each interface.
const SYSCTLS: [&str; 10] = [
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/all/src_valid_mark",
    "net/ipv4/fwmark_reflect",
    "net/ipv4/tcp_fwmark_accept",
    "net/ipv4/ip_local_port_range",
    "net/netfilter/nf_conntrack_tcp_loose",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
];
const OF_INTERFACE: [(&str, &str); 5] = [
    ("ipv4", "rp_filter"),
    ("ipv4", "src_valid_mark"),
    ("ipv4", "forwarding"),
    ("ipv6", "disable_ipv6"),
    ("ipv6", "forwarding"),
];

/// What the daemon found when it had started.
#[derive(Clone, Debug, Default)]
pub(super) struct AtStart {
    sysctls: BTreeMap<String, String>,
    /// Policy rules of others, as `ip rule` has them.
    rules: BTreeSet<String>,
}

impl Keeper {
    /// Remembers what others may change.
    pub(super) async fn remember_start(&mut self) {
        self.at_start = AtStart {
            sysctls: self.sysctls(),
            rules: self.rules_of_others().await.unwrap_or_default(),
        };
    }

    /// What is missing of ours, and what has changed of others'.
    ///
    /// # Errors
    ///
    /// If the host cannot be looked at.
    pub(super) async fn drift(&self) -> Result<Value> {
        let mut missing = Vec::new();
        for it in self.missing().await? {
            let kind = match it {
                Missing::Rule(_) => "rule",
                Missing::Route(_) => "route",
            };
            missing.push(json!({ "kind": kind, "object": it.to_string() }));
        }
        for name in self.bare() {
            missing.push(json!({ "kind": "program", "object": name }));
        }
        // Those that the daemon has set for itself are all 1.
        let own = self.journal.sysctls.keys();
        let unset = own.filter(|name| sysctl::read(name).is_ok_and(|value| value != "1"));
        missing.extend(unset.map(|name| json!({ "kind": "sysctl", "object": name })));

        let mut changed = Vec::new();
        let now = self.sysctls();
        for (name, was) in &self.at_start.sysctls {
            let is_own = self.journal.sysctls.contains_key(name);
            if let Some(now) = now.get(name).filter(|now| *now != was && !is_own) {
                changed.push(json!({ "kind": "sysctl", "object": name, "was": was, "now": now }));
            }
        }
        let (rules, before) = (self.rules_of_others().await?, &self.at_start.rules);
        for rule in rules.difference(before) {
            changed.push(json!({ "kind": "rule", "object": rule, "was": null, "now": rule }));
        }
        for rule in before.difference(&rules) {
            changed.push(json!({ "kind": "rule", "object": rule, "was": rule, "now": null }));
        }
        Ok(json!({ "missing": missing, "changed": changed }))
    }

    /// Puts back what is ours and missing, and tells what that was.
    ///
    /// # Errors
    ///
    /// If something cannot be put back; what could be, is.
    pub(super) async fn mend(&mut self) -> Result<Value> {
        let missing = self.drift().await?["missing"].take();
        let families = self.families.clone();
        self.plan.add_routes(&self.handle, &families).await?;
        let entrances: Vec<_> = self.entrance_names().map(str::to_owned).collect();
        for name in entrances {
            self.plan.add_rules(&self.handle, &name, &families).await?;
        }
        self.plan.add_output_rules(&self.handle, &families).await?;
        for name in self.bare() {
            if let Some(place) = self.interfaces.iter().find(|it| it.name == name)
                && let Some(place) = place.place
            {
                self.dataplane.attach(&name, &place)?;
            }
        }
        // Sets the daemon's own kernel parameters, too.
        self.tend_bridge().await;
        // What had been in the way may no longer be.
        self.close_valves();
        self.measure_anew();
        self.look_around().await;
        Ok(missing)
    }

    async fn missing(&self) -> Result<Vec<Missing>> {
        let bridge = self.interfaces.bridge();
        let expected = Expected {
            entrances: self.entrance_names().collect(),
            families: &self.families,
            crosses: bridge.is_some_and(|bridge| bridge.place.is_some()),
        };
        let missing = self.plan.missing(&self.handle, &self.strict, &expected);
        Ok(missing.await?)
    }

    /// The interfaces that have rules: what comes in by a port comes up through the bridge.
    fn entrance_names(&self) -> impl Iterator<Item = &str> {
        let bridge = self.interfaces.bridge().map(|bridge| &bridge.name);
        let interfaces = self.interfaces.iter();
        let named = interfaces.filter(move |it| bridge.is_none_or(|bridge| *bridge == it.name));
        named.map(|it| it.name.as_str())
    }

    /// Names of interfaces that should carry a program of ours and carry none.
    fn bare(&self) -> Vec<String> {
        let is_bare = |it: &&Interface| {
            let Some(place) = it.place else { return false };
            let hooks = Hook::BOTH.into_iter();
            let mut programs = hooks.filter_map(|hook| attach::numbers_on(place.index, hook).ok());
            let ours = &self.journal.programs;
            !programs.any(|all| all.iter().any(|program| ours.contains(program)))
        };
        let bare = self.interfaces.iter().filter(is_bare);
        bare.map(|it| it.name.clone()).collect()
    }

    fn sysctls(&self) -> BTreeMap<String, String> {
        let of_interfaces = self.interfaces.iter().flat_map(|it| {
            OF_INTERFACE.map(|(family, key)| format!("net/{family}/conf/{}/{key}", it.name))
        });
        let all = SYSCTLS.iter().map(|it| (*it).to_owned());
        all.chain(of_interfaces)
            .filter_map(|name| {
                let value = sysctl::read(&name).ok()?;
                Some((name, value))
            })
            .collect()
    }

    async fn rules_of_others(&self) -> Result<BTreeSet<String>> {
        let rules = rules::of_others(&self.handle, self.plan.table).await?;
        Ok(rules.iter().map(ToString::to_string).collect())
    }
}
