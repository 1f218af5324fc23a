//! Following the network as it changes: links that come, go, and change their names and types,
//! and this host's addresses.

use anyhow::{Context as _, Error, Result};

use super::{keeper::Keeper, roles::Wanted};
use crate::netconf::{
    links::{self, Link},
    own,
};

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
    }

    /// Brings everything else up to date with the network as it is now.
    pub(super) async fn network_changed(&mut self) {
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

    /// Attaches what is ours of these links, and lets go of what is no longer. What could not be
    /// attached is returned; it is tried again with the next change.
    pub(super) async fn follow_links(&mut self, links: &[Link]) -> Vec<Error> {
        let roles = self.interfaces.roles.clone();
        let sorted = roles.sort(links);
        let mut faults = Vec::new();
        // What is over makes room, in the kernel's map too.
        for place in (0..self.interfaces.list.len()).rev() {
            let name = &self.interfaces.list[place].name;
            let wanted = sorted.wanted.iter().find(|it| it.link.name == *name);
            if let Err(error) = self.let_go(place, wanted, links).await {
                faults.push(error);
            }
        }
        self.interfaces.refused = sorted.contradictory;
        self.interfaces.refused.extend(sorted.unsuitable);
        for wanted in &sorted.wanted {
            if let Err(error) = self.take_on(wanted).await {
                faults.push(error);
            }
        }
        faults
    }

    /// Lets go of the interface in this place, as far as it is not what is `wanted` under its name.
    async fn let_go(
        &mut self,
        place: usize,
        wanted: Option<&Wanted<'_>>,
        links: &[Link],
    ) -> Result<()> {
        let interface = &mut self.interfaces.list[place];
        let link = links.iter().find(|link| link.name == interface.name);
        if let Some(link) = link {
            interface.kind.clone_from(&link.kind);
        }
        let now = wanted.map(|it| (it.link.index, Some(it.framing)));
        if interface.index.is_some() && now == interface.index.map(|it| (it, interface.framing)) {
            return Ok(());
        }
        let had = interface.index.take();
        let (name, by_pattern) = (interface.name.clone(), interface.pattern.is_some());
        let released = had.map_or(Ok(()), |old| self.release(&name, old, links));
        if wanted.is_none() && by_pattern {
            self.interfaces.list.remove(place);
            tracing::info!(interface = name, "gone");
            let removed = self.plan.remove_rules(&self.handle, &name, &self.families);
            removed.await?;
        } else if wanted.is_none() && had.is_some() {
            // The rules of a named one go by name and never go.
            let why = link.map_or_else(
                || "gone".to_owned(),
                |link| format!("of link type {} now", link.kind),
            );
            tracing::error!(
                interface = name,
                "the interface is {why}: nothing is intercepted on it until it is back"
            );
        }
        released
    }

    /// Forgets the link with this index, and takes the program from it if it is still there: under
    /// another name, or as of another type.
    fn release(&mut self, name: &str, index: u32, links: &[Link]) -> Result<()> {
        self.dataplane.forget(index)?;
        if links.iter().any(|link| link.index == index) {
            self.dataplane.detach(name, index)?;
        }
        Ok(())
    }

    /// Attaches a link of ours unless it is.
    async fn take_on(&mut self, wanted: &Wanted<'_>) -> Result<()> {
        let (name, index) = (&wanted.link.name, wanted.link.index);
        let mut list = self.interfaces.list.iter();
        let place = match (list.position(|it| it.name == *name), wanted.pattern) {
            (Some(place), _) if self.interfaces.list[place].index.is_some() => return Ok(()),
            (Some(place), _) => place,
            (None, None) => return Ok(()),
            (None, Some(pattern)) => {
                let place = self.interfaces.admit(name, wanted.role, pattern);
                let Some(place) = place else {
                    self.interfaces.refused.push(format!(
                        "interface {name}, which \"{pattern}\" stands for, is one too many: \
                         nothing is intercepted on it"
                    ));
                    return Ok(());
                };
                place
            }
        };
        let by_pattern = self.interfaces.list[place].pattern.is_some();
        if by_pattern {
            // First, or what is steered meanwhile would be routed past us.
            let added = self.plan.add_rules(&self.handle, name, &self.families);
            if let Err(error) = added.await {
                self.interfaces.list.remove(place);
                return Err(error.into());
            }
        }
        let interface = &mut self.interfaces.list[place];
        interface.kind.clone_from(&wanted.link.kind);
        let (slot, again) = (interface.slot, interface.attached != 0);
        let told = interface.told([0; 2]);
        // Whatever was the matter with its deliveries, or those of another one in this place.
        self.valves.close(slot);
        self.dataplane.reset_deliveries(slot)?;
        let attached = self.dataplane.attach(name, index, wanted.framing, told);
        if let Err(error) = attached {
            if by_pattern {
                self.interfaces.list.remove(place);
                let removed = self.plan.remove_rules(&self.handle, name, &self.families);
                removed.await?;
            }
            if error.is_of_a_missing_link() {
                tracing::debug!(interface = name, "gone before it was attached");
                return Ok(());
            }
            return Err(error).with_context(|| format!("interface {name}"));
        }
        self.interfaces
            .note_attached(place, wanted.link, wanted.framing);
        match (again, wanted.pattern) {
            (true, _) => tracing::info!(interface = name, "attached again"),
            (false, Some(pattern)) => tracing::info!(interface = name, pattern, "attached"),
            (false, None) => tracing::info!(interface = name, "attached"),
        }
        Ok(())
    }
}
