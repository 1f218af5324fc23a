//! The interfaces of ours and this host's addresses, as they change.

use std::collections::BTreeSet;

use anyhow::Result;
use ipnet::IpNet;
use proxy_ebpf::{framing::Framing, settings::ROLE_LAN};

use super::keeper::Keeper;
use crate::{
    dataplane::attach,
    netconf::{
        links::{self, Link},
        own,
    },
};

/// An interface with a role.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    /// [`ROLE_LAN`] or [`ROLE_WAN`](proxy_ebpf::settings::ROLE_WAN).
    pub(super) role: u32,
    /// Its place in the list.
    pub(super) slot: u32,
    /// The kernel's word for its link type.
    pub(super) kind: String,
    /// What its packets begin with, and so which program it carries.
    pub(super) framing: Framing,
    /// Its index while it is there and carries our program.
    pub(super) index: Option<u32>,
}

impl Interface {
    pub(super) const fn role_name(&self) -> &'static str {
        if self.role == ROLE_LAN { "lan" } else { "wan" }
    }
}

/// All of them, and the prefixes that are this host's own.
pub(super) struct Interfaces {
    list: Vec<Interface>,
    own: BTreeSet<IpNet>,
}

impl Interfaces {
    pub(super) const fn new(list: Vec<Interface>) -> Self {
        Self {
            list,
            own: BTreeSet::new(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.list.iter()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.list
            .iter()
            .map(|interface| interface.name.clone())
            .collect()
    }
}

impl Keeper {
    /// Brings everything up to date with the network as it is now.
    pub(super) async fn network_changed(&mut self) {
        match links::list(&self.handle).await {
            Ok(links) => self.look_at_links(&links),
            Err(error) => tracing::error!(%error, "interfaces may be out of date"),
        }
        if let Err(error) = self.refresh_own_addresses().await {
            tracing::error!(
                error = format!("{error:#}"),
                "own addresses may be out of date"
            );
        }
        self.look_around().await;
    }

    /// Brings the map of own addresses up to date with the routing tables.
    pub(super) async fn refresh_own_addresses(&mut self) -> Result<()> {
        let now = own::prefixes(&self.handle).await?;
        let before = &mut self.interfaces.own;
        for prefix in now.difference(before).copied().collect::<Vec<_>>() {
            self.dataplane.add_own(prefix)?;
            before.insert(prefix);
        }
        for prefix in before.difference(&now).copied().collect::<Vec<_>>() {
            self.dataplane.remove_own(prefix)?;
            before.remove(&prefix);
        }
        Ok(())
    }

    fn look_at_links(&mut self, links: &[Link]) {
        for interface in &mut self.interfaces.list {
            let link = links.iter().find(|link| link.name == interface.name);
            if let Some(link) = link {
                interface.kind.clone_from(&link.kind);
            }
            let now = link.and_then(|link| Some((link.index, link.framing?)));
            if now == interface.index.map(|index| (index, interface.framing)) {
                continue;
            }
            if let Some(old) = interface.index.take() {
                if let Err(error) = self.dataplane.forget(old) {
                    tracing::warn!(interface = interface.name, %error, "cannot forget it");
                }
                // A link may change its type and stay; what is attached is for the other.
                if link.is_some_and(|link| link.index == old)
                    && let Err(error) = attach::detach_all(&interface.name, old)
                {
                    tracing::error!(interface = interface.name, %error, "cannot detach from it");
                    interface.index = Some(old);
                    continue;
                }
            }
            // Its rules go by name and never went.
            let Some((index, framing)) = now else {
                let why = link.map_or_else(
                    || "gone".to_owned(),
                    |link| format!("of link type {} now", link.kind),
                );
                tracing::error!(
                    interface = interface.name,
                    "the interface is {why}: nothing is intercepted on it until it is back"
                );
                continue;
            };
            let Interface { role, slot, .. } = *interface;
            let attached = self
                .dataplane
                .attach(&interface.name, index, framing, role, slot);
            match attached {
                Ok(()) => {
                    tracing::info!(interface = interface.name, "attached again");
                    interface.index = Some(index);
                    interface.framing = framing;
                }
                Err(error) => {
                    tracing::error!(interface = interface.name, %error, "cannot attach again");
                }
            }
        }
    }
}
