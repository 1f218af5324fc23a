//! All that the checks look at, gathered once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
};

use super::{Host, Subject};
use crate::{
    dataplane::{
        features::{self, Feature},
        neighbours::{self, Neighbour},
    },
    netconf::{
        Handle,
        firewall::{self, Chain, Ruleset, broute, saved},
        links::{self, Link},
        routes,
        rules::{self, Rule},
        sockets,
        tc::{self, Filter, Front},
    },
    sys::{bpf::Hook, ethtool},
};

/// What was read, or why it could not be.
pub(super) type Known<T> = Result<T, String>;

/// The host, as far as it matters.
pub struct Facts<'a> {
    pub(super) subject: &'a Subject,
    pub(super) host: &'a Host,
    pub(super) links: Known<Vec<Link>>,
    pub(super) fronts: Known<BTreeMap<String, Front>>,
    pub(super) nftables: Known<Ruleset>,
    /// Rules of iptables before nftables.
    pub(super) legacy: Known<Ruleset>,
    /// Policy rules of others.
    pub(super) rules: Known<Vec<Rule>>,
    /// Default routes of all tables.
    pub(super) defaults: Known<Vec<routes::Default>>,
    /// Neighbours that do not answer, with the index of the interface.
    pub(super) silent: Known<BTreeSet<(u32, IpAddr)>>,
    /// Rules of ebtables before nftables that route frames.
    pub(super) broute: Known<Option<Chain>>,
    pub(super) tcx: Known<bool>,
    pub(super) sk_lookup: Known<bool>,
    pub(super) features: Vec<Feature>,
    /// Whether the kernel takes the programs; of those that are not loaded yet.
    pub(super) programs: Known<()>,
    pub(super) destroys_sockets: Known<bool>,
    /// Of each interface of ours that is there.
    pub(super) interfaces: Vec<Interface>,
    /// Sockets that get copies of packets.
    pub(super) taps: Known<usize>,
}

/// What is at an interface of ours.
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) programs: Known<Vec<Neighbour>>,
    pub(super) filters: Known<Vec<Filter>>,
    /// The feature `hw-tc-offload`.
    pub(super) offloads_tc: Known<bool>,
}

impl<'a> Facts<'a> {
    /// Looks at the calling thread's network namespace.
    pub async fn gather(subject: &'a Subject, host: &'a Host, handle: &Handle) -> Self {
        let links = links::list(handle).await.map_err(text);
        let mut interfaces = Vec::new();
        for link in links.iter().flatten() {
            if subject.interfaces().any(|name| *name == link.name) {
                interfaces.push(Interface::look(handle, link).await);
            }
        }
        let taps = fs::read_to_string("/proc/net/packet").map_err(text);
        Self {
            subject,
            host,
            links,
            fronts: tc::fronts(handle).await.map_err(text),
            nftables: firewall::read().map_err(text),
            legacy: saved::read().map_err(text),
            rules: rules::of_others(handle, subject.plan.table)
                .await
                .map_err(text),
            defaults: routes::defaults(handle).await.map_err(text),
            silent: routes::silent(handle).await.map_err(text),
            broute: broute::read_legacy().map_err(text),
            tcx: features::has_tcx(),
            sk_lookup: features::has_sk_lookup(),
            features: features::parts(),
            programs: match subject.runs {
                true => Ok(()),
                false => features::load().map_err(text),
            },
            destroys_sockets: sockets::can_destroy().map_err(text),
            interfaces,
            taps: taps.map(|text| text.lines().skip(1).count()),
        }
    }

    /// Whose rules there are, as far as they could be read.
    pub(super) fn rulesets(&self) -> impl Iterator<Item = &Ruleset> {
        self.nftables.iter().chain(&self.legacy)
    }

    /// All interfaces, as far as they could be read.
    pub(super) fn links(&self) -> &[Link] {
        self.links.as_deref().unwrap_or_default()
    }
}

impl Interface {
    async fn look(handle: &Handle, link: &Link) -> Self {
        let offloads = ethtool::feature(&link.name, "hw-tc-offload");
        Self {
            name: link.name.clone(),
            programs: neighbours::on_tcx(&link.name, Hook::Ingress),
            filters: tc::filters(handle, link.index).await.map_err(text),
            offloads_tc: offloads.map(|on| on.unwrap_or(false)).map_err(text),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: impl ToString) -> String {
    error.to_string()
}
