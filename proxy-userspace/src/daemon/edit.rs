//! Edits of the bypass list: the file first, then the maps, all or nothing.

use serde_json::{Value, json};

use super::keeper::Keeper;
use crate::{
    bypass::{Change, EditError, Entry},
    control::Answer,
    dataplane::{Dataplane, DataplaneError, policy::Side},
};

impl Keeper {
    pub(super) fn bypass_add(&mut self, entries: Vec<Entry>) -> Answer {
        let change = self.set.add(entries);
        self.commit(change)
    }

    pub(super) fn bypass_del(&mut self, entries: Vec<Entry>) -> Answer {
        let change = self.set.remove(entries);
        self.commit(change)
    }

    pub(super) fn bypass_list(&self) -> Answer {
        let entries: Result<Vec<Value>, _> = self.set.iter().map(serde_json::to_value).collect();
        match entries {
            Ok(entries) => Answer::Done(Value::Array(entries)),
            Err(error) => Answer::failed(error),
        }
    }

    fn commit(&mut self, change: Result<Change, EditError>) -> Answer {
        let change = match change {
            Ok(change) => change,
            Err(error) => return Answer::refused(error),
        };
        if let Err(error) = self.store.save(&self.set) {
            self.set.revert(&change);
            return Answer::failed(error);
        }
        if let Err(error) = apply(&mut self.dataplane, &change) {
            self.roll_back(&change);
            return Answer::failed(format!("{error}; the bypass list is unchanged"));
        }
        Answer::Done(json!({
            "added": change.added.len(),
            "removed": change.removed.len(),
            "present": change.present.len(),
            "entries": self.set.len(),
            "generation": self.set.generation(),
        }))
    }

    fn roll_back(&mut self, change: &Change) {
        let inverse = self.set.revert(change);
        if let Err(error) = apply(&mut self.dataplane, &inverse) {
            tracing::error!(%error, "the kernel's bypass list differs from the file: restart weir");
        }
        if let Err(error) = self.store.save(&self.set) {
            tracing::error!(%error, "the bypass file holds an edit that was not made");
        }
    }
}

fn apply(dataplane: &mut Dataplane, change: &Change) -> Result<(), DataplaneError> {
    for entry in &change.added {
        insert(dataplane, entry)?;
    }
    for entry in &change.removed {
        for (side, prefix) in sides(entry) {
            dataplane.remove_bypass(side, prefix)?;
        }
    }
    Ok(())
}

/// Tells the kernel of an entry.
pub(super) fn insert(dataplane: &mut Dataplane, entry: &Entry) -> Result<(), DataplaneError> {
    for (side, prefix) in sides(entry) {
        dataplane.add_bypass(side, prefix)?;
    }
    Ok(())
}

fn sides(entry: &Entry) -> impl Iterator<Item = (Side, ipnet::IpNet)> {
    let destination = entry
        .destination()
        .map(|prefix| (Side::Destination, prefix));
    let source = entry.source().map(|prefix| (Side::Source, prefix));
    destination.into_iter().chain(source)
}
