//! Edits of the bypass list: the file first, then the maps, all or nothing.

use serde_json::{Value, json};

use super::keeper::Keeper;
use crate::{
    bypass::{Change, EditError, Entry},
    control::Answer,
    dataplane::{
        Dataplane, DataplaneError,
        bypass::{Bits, Entry as Record},
    },
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
    let added: Vec<_> = change.added.iter().map(record).collect();
    let removed: Vec<_> = change.removed.iter().map(record).collect();
    dataplane.prepare_bypass(&removed, &added)?;
    dataplane.publish_bypass()
}

/// Tells the kernel of an entry.
pub(super) fn insert(dataplane: &mut Dataplane, entry: &Entry) -> Result<(), DataplaneError> {
    dataplane.prepare_bypass(&[], &[record(entry)])?;
    dataplane.publish_bypass()
}

fn record(entry: &Entry) -> Record {
    use proxy_ebpf::key::{IPV4, IPV6, address};
    let prefix = entry.destination().or(entry.source()).unwrap();
    let family = if prefix.addr().is_ipv4() { IPV4 } else { IPV6 };
    let bits = |p: Option<ipnet::IpNet>| {
        p.map_or((Bits::default(), 0), |p| {
            (
                Bits::new(family, &address(p.network()).1),
                u32::from(p.prefix_len()),
            )
        })
    };
    let (destination, destination_length) = bits(entry.destination());
    let (source, source_length) = bits(entry.source());
    Record {
        family,
        destination,
        destination_length,
        source,
        source_length,
        port: 0,
        lan: 0,
        list: 0,
        intercept: false,
        expires: 0,
        since: 0,
        until: 0,
        next: 0,
    }
}
