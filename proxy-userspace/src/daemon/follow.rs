//! Following the network as it changes: links that come, go, and change their names and types,
//! and this host's addresses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use anyhow::{Context as _, Error, Result};

use super::{keeper::Keeper, roles::Given};
use crate::{
    dataplane::attach::Place,
    netconf::{
        links::{self, Link},
        own,
    },
};

fn told(error: Error) {
    let error = format!("{error:#}");
    tracing::error!(error, "a link that has moved keeps a program of ours");
}

impl Keeper {
    /// Brings the interfaces up to date with the links as they are now: at once, since the first
    /// packet of a link that is back may be a client's.
    pub(super) async fn links_changed(&mut self) {
        match links::list(&self.handle).await {
            Ok(links) => {
                for fault in self.follow_links(&links).await {
                    tracing::error!(error = format!("{fault:#}"), "an interface is not attached");
                }
            }
            Err(error) => tracing::error!(%error, "interfaces may be out of date"),
        }
        self.tend_bridge().await;
    }

    /// Takes the programs from links of ours that have moved to another network namespace, if
    /// there are any: a link that is gone is one of ours, and one of those has moved.
    pub(super) fn look_elsewhere(&mut self, moved: &AtomicBool) {
        if !self.interfaces.vanished || !moved.swap(false, Relaxed) {
            return;
        }
        self.interfaces.vanished = false;
        // It may take a while, and nobody waits for it.
        let warden = Arc::clone(&self.warden);
        let look = move || {
            if let Err(error) = warden.look_elsewhere() {
                told(error);
            }
        };
        if let Err(error) = thread::Builder::new().spawn(look) {
            told(error.into());
        }
    }

    /// Brings own addresses up to date: at once, since what is sent to one that is unknown would be
    /// taken for somebody else's.
    pub(super) async fn own_addresses_changed(&mut self) {
        if let Err(error) = self.refresh_own_addresses().await {
            tracing::error!(
                error = format!("{error:#}"),
                "own addresses may be out of date"
            );
        }
        // A bridge loses its addresses, and nothing else, when IPv6 is switched off on it.
        self.tend_bridge().await;
    }

    /// Brings the map of own addresses up to date with the routing tables.
    pub(super) async fn refresh_own_addresses(&mut self) -> Result<()> {
        let now = own::prefixes(&self.strict).await?;
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

    /// Tells the programs of all interfaces before any of them is attached.
    pub(super) fn tell_roles(&mut self, links: &[Link]) -> Result<()> {
        for place in self.interfaces.iter().filter_map(|it| it.find(links).ok()) {
            self.dataplane.set_role(&place, [0; 2])?;
        }
        Ok(())
    }

    /// Attaches what is ours of these links, and lets go of what is no longer. What could not be
    /// attached is returned; it is tried again with the next change.
    pub(super) async fn follow_links(&mut self, links: &[Link]) -> Vec<Error> {
        let mut faults = Vec::new();
        // What is over makes room, in the kernel's map too.
        for at in (0..self.interfaces.list.len()).rev() {
            faults.extend(self.let_go(at, links).await.err());
        }
        self.interfaces.refused = self.interfaces.roles.contradictions(links);
        for at in 0..self.interfaces.list.len() {
            if self.interfaces.list[at].place.is_none()
                && let Ok(place) = self.interfaces.list[at].find(links)
            {
                faults.extend(self.take_on(at, place).await.err());
            }
        }
        let roles = self.interfaces.roles.clone();
        for (link, given) in roles.sort(links) {
            if let Given::Matched(role, pattern) = given
                && !self.interfaces.iter().any(|it| it.name == link.name)
            {
                let admitted = self.admit(link, role, pattern, links).await;
                faults.extend(admitted.err());
            }
        }
        faults
    }

    /// Lets go of an interface as far as it is no longer where it was.
    async fn let_go(&mut self, at: usize, links: &[Link]) -> Result<()> {
        let interface = &mut self.interfaces.list[at];
        if let Some(link) = links.iter().find(|link| link.name == interface.name) {
            interface.kind.clone_from(&link.kind);
        }
        let now = interface.find(links);
        if interface.place.is_some() && now.as_ref().ok() == interface.place.as_ref() {
            return Ok(());
        }
        if let (Ok(now), Some(before)) = (&now, &mut interface.place)
            && now.carries_the_same_as(before)
        {
            let valve = self.valves.of_interface(interface.slot);
            self.dataplane.set_role(now, valve)?;
            *before = *now;
            return Ok(());
        }
        let old = interface.place.take();
        let (name, by_pattern) = (interface.name.clone(), interface.pattern.is_some());
        let released = old.map_or(Ok(()), |old| self.release(&name, old.index, links));
        match now {
            Err(_) if by_pattern => {
                self.interfaces.dismiss(at, &mut self.lists);
                tracing::info!(interface = name, "gone");
                self.remove_rules(&name).await?;
            }
            // The rules of a named one go by name and never go.
            Err(why) if old.is_some() => tracing::error!(
                interface = name,
                "the interface is {why}; nothing is intercepted on it until it is back"
            ),
            _ => {}
        }
        released
    }

    /// Forgets the link with this index, and takes the programs from it if it is still there: under
    /// another name, or as something else.
    fn release(&mut self, name: &str, index: u32, links: &[Link]) -> Result<()> {
        self.dataplane.forget(index)?;
        if links.iter().any(|link| link.index == index) {
            self.dataplane.detach(name, index)?;
        } else {
            self.interfaces.vanished = true;
        }
        Ok(())
    }

    /// Makes an interface of a link that a pattern stands for.
    async fn admit(&mut self, link: &Link, role: u32, pattern: &str, links: &[Link]) -> Result<()> {
        let name = &link.name;
        let Some(at) = self.interfaces.admit(name, role, pattern, &mut self.lists) else {
            self.interfaces.refused.push(format!(
                "interface {name}, which \"{pattern}\" stands for, is one too many: nothing is \
                 intercepted on it"
            ));
            return Ok(());
        };
        self.interfaces.list[at].kind.clone_from(&link.kind);
        let place = match self.interfaces.list[at].find(links) {
            Ok(place) => place,
            Err(why) => {
                self.interfaces.dismiss(at, &mut self.lists);
                self.interfaces.refused.push(format!(
                    "interface {name}, which \"{pattern}\" stands for, is {why}"
                ));
                return Ok(());
            }
        };
        // First, or what is steered meanwhile would be routed past us.
        let mut attached = self.add_rules(name).await;
        if attached.is_ok() {
            attached = self.take_on(at, place).await;
        }
        if self.interfaces.list[at].place.is_none() {
            self.interfaces.dismiss(at, &mut self.lists);
            self.remove_rules(name).await?;
        }
        attached
    }

    /// Attaches an interface.
    async fn take_on(&mut self, at: usize, place: Place) -> Result<()> {
        // Whatever was the matter with its deliveries, or those of another one in its slot.
        self.valves.close(place.slot);
        self.dataplane.reset_deliveries(place.slot)?;
        let interface = &self.interfaces.list[at];
        let name = interface.name.as_str();
        match self.dataplane.attach(name, &place) {
            Ok(()) => {}
            Err(error) if error.is_of_a_missing_link() => {
                tracing::debug!(interface = name, "gone before it was attached");
                return Ok(());
            }
            Err(error) => return Err(error).with_context(|| format!("interface {name}")),
        }
        match (interface.attached, &interface.pattern) {
            (1.., _) => tracing::info!(interface = name, "attached again"),
            (0, Some(pattern)) => tracing::info!(interface = name, pattern, "attached"),
            (0, None) => tracing::info!(interface = name, "attached"),
        }
        self.interfaces.note_attached(at, place);
        Ok(())
    }

    /// The rules of a link that a pattern brought. What comes in by a bridge's port comes up
    /// through the bridge, which has rules of its own.
    async fn add_rules(&self, name: &str) -> Result<()> {
        if self.interfaces.bridge().is_none() {
            let added = self.plan.add_rules(&self.handle, name, &self.families);
            added.await?;
        }
        Ok(())
    }

    async fn remove_rules(&self, name: &str) -> Result<()> {
        if self.interfaces.bridge().is_none() {
            let removed = self.plan.remove_rules(&self.handle, name, &self.families);
            removed.await?;
        }
        Ok(())
    }
}
