//! The interfaces of ours and this host's addresses, as they change.

use std::collections::BTreeSet;

use anyhow::Result;
use ipnet::IpNet;
use proxy_ebpf::settings::{ROLE_BRIDGE, ROLE_LAN, ROLE_WAN};

use super::keeper::Keeper;
use crate::{
    dataplane::attach::{self, Place},
    netconf::{
        links::{self, Link},
        own,
    },
};

/// Clients and origins by one interface: a one-armed router.
pub(super) const ONE_ARMED: u32 = ROLE_LAN | ROLE_WAN;

/// An interface with a role.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    /// [`ROLE_LAN`], [`ROLE_WAN`], both, or [`ROLE_BRIDGE`].
    pub(super) role: u32,
    /// Its place in the list.
    pub(super) slot: u32,
    /// The kernel's word for its link type.
    pub(super) kind: String,
    /// The bridge that it has to be a port of, or that it is.
    pub(super) bridge: Option<String>,
    /// Where it is, while it carries our programs.
    pub(super) place: Option<Place>,
}

impl Interface {
    pub(super) const fn role_name(&self) -> &'static str {
        match self.role {
            ONE_ARMED => "lan+wan",
            ROLE_LAN => "lan",
            ROLE_BRIDGE => "bridge",
            _ => "wan",
        }
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
        self.tend_bridge().await;
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
            let now = interface.find(links);
            if now.as_ref().ok() == interface.place.as_ref() {
                continue;
            }
            if let (Ok(now), Some(before)) = (&now, &mut interface.place)
                && now.carries_the_same_as(before)
            {
                let valve = self.valves.of_interface(interface.slot);
                match self.dataplane.set_role(now, valve) {
                    Ok(()) => *before = *now,
                    Err(error) => {
                        tracing::error!(interface = interface.name, %error, "cannot tell the kernel");
                    }
                }
                continue;
            }
            if let Some(old) = interface.place.take() {
                if let Err(error) = self.dataplane.forget(old.index) {
                    tracing::warn!(interface = interface.name, %error, "cannot forget it");
                }
                // A link may become another and stay; what is attached is for what it was.
                if link.is_some_and(|link| link.index == old.index)
                    && let Err(error) = attach::detach_all(&interface.name, old.index)
                {
                    tracing::error!(interface = interface.name, %error, "cannot detach from it");
                    interface.place = Some(old);
                    continue;
                }
            }
            // Its rules go by name and never went.
            let place = match now {
                Ok(place) => place,
                Err(why) => {
                    tracing::error!(
                        interface = interface.name,
                        "the interface is {why}; nothing is intercepted on it until it is back"
                    );
                    continue;
                }
            };
            match self.dataplane.attach(&interface.name, &place) {
                Ok(()) => {
                    tracing::info!(interface = interface.name, "attached again");
                    interface.place = Some(place);
                }
                Err(error) => {
                    tracing::error!(interface = interface.name, %error, "cannot attach again");
                }
            }
        }
    }
}
