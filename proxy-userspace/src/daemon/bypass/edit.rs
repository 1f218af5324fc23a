//! An edit: planned, prepared in the kernel, made durable, and only then seen.

use serde_json::{Value, json};

use super::Lists;
use crate::{
    bypass::{
        Change, Edit, EditError, Entry, ListName, Options, StoreError, TextError, Timestamp, text,
    },
    control::{Answer, ListEdit},
    dataplane::{Dataplane, DataplaneError},
};

/// Why an edit was not done. The lists are as they were.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum Fault {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("{0}")]
    Text(#[from] TextError),
    #[error("{0}")]
    Refused(String),
    #[error("{0}; the bypass lists are unchanged")]
    Kernel(DataplaneError),
    #[error("{0}; the bypass lists are unchanged")]
    Store(#[from] StoreError),
}

impl Fault {
    pub(in crate::daemon) fn answer(&self) -> Answer {
        match self {
            Self::Edit(_) | Self::Text(_) | Self::Refused(_) => Answer::refused(self),
            Self::Kernel(_) | Self::Store(_) => Answer::failed(self),
        }
    }
}

impl From<DataplaneError> for Fault {
    fn from(error: DataplaneError) -> Self {
        match error {
            DataplaneError::Refused(message) => Self::Refused(message),
            error => Self::Kernel(error),
        }
    }
}

impl Lists {
    /// Does what a command asks for, wholly or not at all. `ports` are the watched ones, if that
    /// is known.
    pub(in crate::daemon) fn change(
        &mut self,
        kernel: Option<&mut Dataplane>,
        list: &ListName,
        edit: &ListEdit,
        ports: Option<&[u16]>,
    ) -> Result<Change, Fault> {
        if let Some(path) = self.feeds.of(list)
            && !matches!(edit, ListEdit::Enable { .. })
        {
            return Err(Fault::Refused(format!(
                "list {list} is what the feed {} says: edit that file, or remove the feed from \
                 the configuration; a list can be disabled in any case",
                path.display()
            )));
        }
        let entries = |text: &str| -> Result<Vec<Entry>, Fault> {
            // What is refused without --yes was refused before it was sent.
            let entries = text::parse(text, &Options::OWN)?.entries;
            entries
                .iter()
                .try_for_each(|entry| self.check(entry, ports))?;
            Ok(entries)
        };
        let edit = match edit {
            ListEdit::Add { entries: text } => Edit::Add(entries(text)?),
            ListEdit::Replace { entries: text } => Edit::Replace(entries(text)?),
            ListEdit::Remove { keys } => Edit::Remove(keys.clone()),
            ListEdit::Clear => Edit::Clear,
            ListEdit::Enable { enabled } => Edit::Enable(*enabled),
        };
        self.apply(kernel, list, edit)
    }

    /// The only way that lists change.
    pub(super) fn apply(
        &mut self,
        mut kernel: Option<&mut Dataplane>,
        list: &ListName,
        edit: Edit,
    ) -> Result<Change, Fault> {
        if let Some(damage) = self.damage() {
            return Err(Fault::Refused(format!(
                "the bypass lists could not be read, so they cannot be edited: {damage}; then \
                 reload weir (SIGHUP)"
            )));
        }
        let change = self.set.plan(list, edit)?;
        if change.is_empty() {
            return Ok(change);
        }
        if let Err(fault) = self.keep(kernel.as_deref_mut(), &change) {
            if change.created {
                self.translation.forget(list);
            }
            return Err(fault);
        }
        self.set.commit(&change);
        if let Some(dataplane) = kernel {
            dataplane.set_bypass_lists(self.enabled());
            if let Err(error) = dataplane.publish_bypass() {
                // The lists are what is kept, so that is what the answer is about.
                tracing::error!(%error, "the kernel has old bypass entries: restart weir");
            }
        }
        let ends = change
            .added
            .iter()
            .chain(change.updated.iter().map(|(_, new)| new));
        let first = ends.filter_map(Entry::expires).min();
        self.next_end = [self.next_end, first].into_iter().flatten().min();
        Ok(change)
    }

    /// Prepares a change in the kernel and makes it durable: what can fail.
    fn keep(&mut self, mut kernel: Option<&mut Dataplane>, change: &Change) -> Result<(), Fault> {
        if let Some(dataplane) = kernel.as_deref_mut() {
            let number = self.translation.number(&change.list);
            let news = change.updated.iter().map(|(_, new)| new);
            for entry in change.added.iter().chain(news) {
                self.translation.lans.meet(entry);
            }
            let old = change.updated.iter().map(|(old, _)| old);
            let new = change.updated.iter().map(|(_, new)| new);
            let records = |entry| self.translation.records(number, entry);
            let removed: Vec<_> = change.removed.iter().chain(old).flat_map(records).collect();
            let added: Vec<_> = change.added.iter().chain(new).flat_map(records).collect();
            dataplane.prepare_bypass(&removed, &added)?;
        }
        let kept = self
            .store
            .as_mut()
            .map(|store| store.append(&self.set, change));
        if let Some(Err(error)) = kept {
            if let Some(dataplane) = kernel {
                dataplane.abandon_bypass();
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// What an answer tells of a change.
    pub(in crate::daemon) fn told(&self, change: &Change) -> Value {
        json!({
            "list": change.list,
            "added": change.added.len(),
            "updated": change.updated.len(),
            "removed": change.removed.len(),
            "unchanged": change.unchanged,
            "enabled": self.set.list(&change.list).is_none_or(crate::bypass::List::enabled),
            "entries": self.set.list(&change.list).map_or(0, crate::bypass::List::len),
            "generation": self.set.generation(),
        })
    }

    /// The first moment at which an entry ends.
    pub(super) fn first_end(&self) -> Option<Timestamp> {
        let entries = self.set.iter().filter_map(|(_, entry)| entry.expires());
        entries.min()
    }

    /// What could never match is a mistake.
    fn check(&self, entry: &Entry, ports: Option<&[u16]>) -> Result<(), Fault> {
        let key = entry.key();
        if let (Some(port), Some(ports)) = (key.port(), ports)
            && !ports.contains(&port)
        {
            let watched: Vec<_> = ports.iter().map(u16::to_string).collect();
            return Err(Fault::Refused(format!(
                "{key}: port {port} is not watched, so nothing is intercepted there anyway \
                 (intercept.ports: {})",
                watched.join(", ")
            )));
        }
        if let Some(name) = key.interface()
            && let Some(lans) = self.translation.lans.instead_of(name)
        {
            return Err(Fault::Refused(format!(
                "{key}: {name} is no LAN of this instance (intercept.lan: {lans})"
            )));
        }
        Ok(())
    }
}
