//! The bypass lists of a daemon, or of a command that edits in place of one: in memory, on the
//! disk, and in the kernel.

mod answer;
mod edit;
mod feeds;
mod flows;
mod kernel;
mod lans;
mod learned;
pub mod offline;
mod sweep;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    bypass::{Action, Entry, Key, List, ListName, Set, Store, Timestamp},
    config::Damaged,
    dataplane::{Dataplane, DataplaneError, bypass::Entry as Record},
};

use super::roles::Roles;
use feeds::Feeds;
use kernel::Translation;
use lans::Lans;

use edit::Fault as EditFault;

/// All lists.
pub(super) struct Lists {
    set: Set,
    /// `None` while the lists are not known.
    store: Option<Store>,
    directory: PathBuf,
    translation: Translation,
    feeds: Feeds,
    /// When the next entry ends.
    next_end: Option<Timestamp>,
    /// Why the lists are not known, and everything goes direct.
    damaged: Option<String>,
}

impl Lists {
    /// Reads what is kept in `directory`; `roles` says which LANs entries may name;
    /// without, any.
    pub(super) fn open(
        directory: &Path,
        capacity: usize,
        damaged: Damaged,
        roles: Option<Roles>,
    ) -> Result<Self> {
        let old = directory.with_extension("json");
        anyhow::ensure!(
            directory.exists() || !old.exists(),
            "{} is the bypass list of an earlier weir: move it away, start weir, then \
             `jq .entries FILE | weir bypass import -`",
            old.display()
        );
        let (store, set, damage) = match Store::open(directory, capacity) {
            Ok((store, set)) => (Some(store), set, None),
            Err(error) if damaged == Damaged::Direct => {
                (None, Set::new(capacity), Some(error.to_string()))
            }
            Err(error) => return Err(error.into()),
        };
        for notice in store.iter().flat_map(|store| store.notices()) {
            tracing::warn!("{notice}");
        }
        if let Some(error) = &damage {
            tracing::error!(%error, "everything goes direct until this is mended and weir reloaded");
        }
        let mut lists = Self::new(set, directory, roles);
        lists.store = store;
        lists.damaged = damage;
        Ok(lists)
    }

    /// Reads what is kept in `directory`, to be asked and not to be edited: somebody else may be
    /// writing there.
    fn look(directory: &Path, capacity: usize) -> Result<Self> {
        let set = Store::look(directory, capacity)?;
        Ok(Self::new(set, directory, None))
    }

    fn new(set: Set, directory: &Path, roles: Option<Roles>) -> Self {
        let mut lists = Self {
            set,
            store: None,
            directory: directory.to_owned(),
            translation: Translation::new(Lans::new(roles)),
            feeds: Feeds::default(),
            next_end: None,
            damaged: None,
        };
        lists.next_end = lists.first_end();
        lists
    }

    /// Tells the kernel everything, in place of what it knows.
    pub(super) fn load(&mut self, dataplane: &mut Dataplane) -> Result<(), DataplaneError> {
        let mut records = Vec::new();
        for name in self.names() {
            let number = self.translation.number(&name);
            for entry in self.set.list(&name).into_iter().flat_map(List::iter) {
                self.translation.lans.meet(&entry);
                records.extend(self.translation.records(number, &entry));
            }
        }
        if self.damaged.is_some() {
            records = self.everything();
        }
        dataplane.prepare_bypass(&self.everything(), &records)?;
        dataplane.set_bypass_lists(self.enabled());
        dataplane.publish_bypass()
    }

    /// Reads the lists again if they could not be read at the start.
    pub(super) fn mend(&mut self, dataplane: &mut Dataplane) -> Result<()> {
        if self.damaged.is_none() {
            return Ok(());
        }
        let (store, set) = Store::open(&self.directory, self.set.capacity())?;
        self.set = set;
        self.store = Some(store);
        self.damaged = None;
        self.next_end = self.first_end();
        self.load(dataplane)?;
        tracing::info!("the bypass lists are mended");
        Ok(())
    }

    /// All names, for who changes something meanwhile.
    fn names(&self) -> Vec<ListName> {
        self.set.lists().map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.set.len()
    }

    pub(super) fn generation(&self) -> u64 {
        self.set.generation()
    }

    /// Why the lists are not known, if they are not.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damaged.as_deref()
    }

    /// A bit for the number of each list that is on.
    fn enabled(&mut self) -> u64 {
        let lists = self.set.lists().filter(|(_, list)| list.enabled());
        let names: Vec<ListName> = lists.map(|(name, _)| name.clone()).collect();
        let bits = names.iter().map(|name| 1 << self.translation.number(name));
        // While they are not known, the one entry that there is has number 0.
        bits.fold(u64::from(self.damaged.is_some()), |all, bit| all | bit)
    }

    /// What lets everything go direct. No list's entries can be mistaken for it: a list's entry
    /// for everything says the same.
    fn everything(&self) -> Vec<Record> {
        let all = Key::new(None, None, None, None);
        let entry = all.map(|key| Entry::new(key, Action::Bypass));
        entry.map_or_else(
            |_| Vec::new(),
            |entry| self.translation.records(0, &entry).collect(),
        )
    }
}
