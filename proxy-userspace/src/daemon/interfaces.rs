//! The interfaces of ours and this host's addresses, as they change.

use std::collections::BTreeSet;

use anyhow::Result;
use ipnet::IpNet;
use proxy_ebpf::settings::ROLE_LAN;

use super::keeper::Keeper;
use crate::netconf::{links::Link, own, watch::Change};

/// An interface with a role.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    /// [`ROLE_LAN`] or [`ROLE_WAN`](proxy_ebpf::settings::ROLE_WAN).
    pub(super) role: u32,
    pub(super) kind: String,
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
    /// Takes changes of the network in.
    pub(super) async fn network_changed(&mut self, changes: Vec<Change>) {
        let mut routes = false;
        for change in changes {
            match change {
                Change::Routes => routes = true,
                Change::LinkUp(link) => self.link_seen(&link),
                Change::LinkGone(link) => self.link_gone(&link),
            }
        }
        if routes && let Err(error) = self.refresh_own_addresses().await {
            tracing::error!(
                error = format!("{error:#}"),
                "own addresses may be out of date"
            );
        }
    }

    /// Brings the map of own addresses up to date with the routing tables.
    pub(super) async fn refresh_own_addresses(&mut self) -> Result<()> {
        let now = own::prefixes(&self.handle).await?;
        let before = std::mem::take(&mut self.interfaces.own);
        for prefix in now.difference(&before) {
            self.dataplane.add_own(*prefix)?;
        }
        for prefix in before.difference(&now) {
            self.dataplane.remove_own(*prefix)?;
        }
        self.interfaces.own = now;
        Ok(())
    }

    /// An interface of ours that was gone is back, with another index: attach again. Its rules
    /// go by name and never went.
    fn link_seen(&mut self, link: &Link) {
        let found = self
            .interfaces
            .list
            .iter_mut()
            .find(|ours| ours.name == link.name);
        let Some(interface) = found.filter(|ours| ours.index != Some(link.index)) else {
            return;
        };
        if let Some(old) = interface.index.take() {
            let _ = self.dataplane.forget(old);
        }
        match self
            .dataplane
            .attach(&link.name, link.index, interface.role)
        {
            Ok(()) => {
                tracing::info!(interface = link.name, "attached again");
                interface.index = Some(link.index);
            }
            Err(error) => tracing::error!(interface = link.name, %error, "cannot attach again"),
        }
    }

    fn link_gone(&mut self, link: &Link) {
        let found = self
            .interfaces
            .list
            .iter_mut()
            .find(|ours| ours.index == Some(link.index));
        let Some(interface) = found else { return };
        interface.index = None;
        if let Err(error) = self.dataplane.forget(link.index) {
            tracing::warn!(interface = link.name, %error, "cannot forget it");
        }
        tracing::error!(
            interface = link.name,
            "the interface is gone: nothing is intercepted on it until it is back"
        );
    }
}
