//! What was learned becomes entries of the list `learned`.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{EditFault, Lists};
use crate::{
    bypass::{Action, Edit, Entry, EntryError, Key, ListName, Timestamp},
    dataplane::Dataplane,
    learn::{Cause, Lesson},
};

impl Lists {
    /// Adds the entry for a lesson, in place of those that it makes superfluous.
    pub(in crate::daemon) fn learned(
        &mut self,
        dataplane: &mut Dataplane,
        lesson: &Lesson,
        ends: Timestamp,
    ) -> Result<Entry, EditFault> {
        let entry = entry(lesson, ends).map_err(|error| EditFault::Refused(error.to_string()))?;
        let list = ListName::learned();
        self.apply(Some(dataplane), &list, Edit::Add(vec![entry.clone()]))?;
        let replaced = lesson
            .replaces
            .iter()
            .filter_map(|pair| key(Some(pair.destination), Some(pair.client)).ok());
        let there = self.set.list(&list);
        let replaced: Vec<Key> = replaced
            .filter(|key| there.is_some_and(|list| list.get(key).is_some()))
            .collect();
        if !replaced.is_empty() {
            self.apply(Some(dataplane), &list, Edit::Remove(replaced))?;
        }
        Ok(entry)
    }
}

impl Lists {
    /// The lessons that the list has: destination, client, why, until when.
    pub(in crate::daemon) fn lessons(&self) -> Vec<Known> {
        let list = self.set.list(&ListName::learned()).into_iter();
        let lesson = |entry: Entry| {
            let key = entry.key();
            let destination = key.destination();
            let destination =
                destination.map(|prefix| SocketAddr::new(prefix.addr(), key.port().unwrap_or(0)));
            let (cause, _) = entry.comment()?.split_once(':')?;
            let source = key.source().map(|source| source.addr());
            Some((destination, source, Cause::of(cause)?, entry.expires()?))
        };
        list.flat_map(crate::bypass::List::iter)
            .filter_map(lesson)
            .collect()
    }
}

/// Destination, if it is about one; client, if it is about one; why; until when.
type Known = (Option<SocketAddr>, Option<IpAddr>, Cause, Timestamp);

fn key(destination: Option<SocketAddr>, client: Option<IpAddr>) -> Result<Key, EntryError> {
    Key::new(
        destination.map(|destination| destination.ip().into()),
        client.map(IpNet::from),
        destination.map(|destination| destination.port()),
        None,
    )
}

fn entry(lesson: &Lesson, ends: Timestamp) -> Result<Entry, EntryError> {
    Entry::new(key(lesson.destination, lesson.source)?, Action::Bypass)
        .expiring(Some(ends))
        .with_owner("weir")?
        .with_comment(&format!(
            "{}: {} events, {} clients",
            lesson.reason, lesson.events, lesson.clients
        ))
}
