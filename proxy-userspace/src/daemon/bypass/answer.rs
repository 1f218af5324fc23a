//! What the lists say when they are asked.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    Lists,
    kernel::{flow, is_same},
};
use crate::{
    bypass::{EditError, Entry, Flow, List, ListName, Timestamp},
    control::{Answer, Query},
    daemon::elsewhere::Counted,
    dataplane::{Dataplane, bypass::Hits},
};

impl Lists {
    /// Every entry, of one list or of all: a line each of list, `on` or `off`, hits, time of the
    /// last hit in seconds since 1970 (0 is never), and the entry, with tabs between. A million of
    /// them would be a hundred times as large as JSON values.
    pub(in crate::daemon) fn read(
        &self,
        kernel: Option<&Dataplane>,
        only: Option<&ListName>,
    ) -> Answer {
        if let Some(damage) = self.damage() {
            return unknown(damage);
        }
        if let Some(name) = only
            && self.set.list(name).is_none()
        {
            return Answer::refused(EditError::NoSuchList {
                name: name.clone(),
                there: self.names(),
            });
        }
        let mut lines = String::new();
        let lists = self.set.lists();
        for (name, list) in lists.filter(|(name, _)| only.is_none_or(|only| only == *name)) {
            let state = if list.enabled() { "on" } else { "off" };
            for entry in list.iter() {
                let hits = kernel.map_or(Hits::default(), |kernel| self.hits(kernel, name, &entry));
                let last = self.last_hit(hits).map_or(0, Timestamp::unix);
                let _ = writeln!(lines, "{name}\t{state}\t{}\t{last}\t{entry}", hits.count);
            }
        }
        Answer::Done(lines.into())
    }

    /// The lists themselves.
    pub(in crate::daemon) fn overview(&self) -> Answer {
        if let Some(damage) = self.damage() {
            return unknown(damage);
        }
        let lists = self.set.lists().map(|(name, list)| {
            json!({
                "name": name,
                "enabled": list.enabled(),
                "entries": list.len(),
                "feed": self.feeds.of(name),
            })
        });
        Answer::Done(lists.collect())
    }

    /// Which entry decides about a connection, by the kernel's own search, and why the others that
    /// are about it do not.
    pub(in crate::daemon) fn test(&self, kernel: Option<&mut Dataplane>, query: &Query) -> Answer {
        if let Some(damage) = self.damage() {
            return unknown(damage);
        }
        let (source, destination) = (
            query.source.to_canonical(),
            query.destination.to_canonical(),
        );
        if source.is_ipv4() != destination.is_ipv4() {
            return Answer::refused(format!(
                "{source} and {destination} are of different families, and no connection is"
            ));
        }
        let lans = &self.translation.lans;
        if let Some(name) = &query.interface
            && kernel.is_some()
            && lans.instead_of(name).is_some()
        {
            return Answer::refused(format!("{name} is no LAN of this instance"));
        }
        let asked = Flow {
            destination,
            source,
            port: query.port,
            interface: query.interface.as_ref(),
        };
        let now = Timestamp::now();
        let by_lists = self.set.decide(&asked, now);
        let lan = query.interface.as_ref().and_then(|name| lans.known(name));
        let asked_kernel = flow(source, destination, query.port, lan.unwrap_or(0));
        let by_kernel = kernel.map(|kernel| kernel.match_bypass(&asked_kernel));
        let decides = match by_kernel {
            Some(Err(error)) => return Answer::failed(error),
            Some(Ok(None)) => None,
            Some(Ok(Some(record))) => {
                let list = self.translation.list(&record);
                let found = list.and_then(|(number, name)| {
                    let list = self.set.list(name)?;
                    let same = |entry: &Entry| {
                        let mut records = self.translation.records(number, entry);
                        records.any(|own| is_same(&own, &record))
                    };
                    // The naive answer is the same entry, or its equal in another list.
                    by_lists
                        .as_ref()
                        .filter(|(of, entry)| *of == name && same(entry))
                        .map(|(_, entry)| entry.clone())
                        .or_else(|| list.iter().find(same))
                        .map(|entry| (name, entry))
                });
                match found {
                    Some(found) => Some(found),
                    None => return Answer::failed("the kernel has an entry that no list has"),
                }
            }
            None => by_lists,
        };
        let others = self.about(&asked, decides.as_ref(), now);
        Answer::Done(json!({
            "decides": decides.map(|(list, entry)| told(list, &entry)),
            "others": others,
        }))
    }

    /// The first entries that could be about a connection, but do not decide, and why.
    fn about(
        &self,
        asked: &Flow<'_>,
        decides: Option<&(&ListName, Entry)>,
        now: Timestamp,
    ) -> Vec<Value> {
        const MOST: usize = 20;
        let mut others = Vec::new();
        for (name, list) in self.set.lists() {
            for entry in list.iter() {
                if !asked.is_addressed_by(entry.key())
                    || decides.is_some_and(|(of, other)| *of == name && other.key() == entry.key())
                {
                    continue;
                }
                let mut line = told(name, &entry);
                let equal = decides.is_some_and(|(_, other)| other.key() == entry.key());
                line["why"] = why_not(asked, list, &entry, now, equal).into();
                others.push(line);
                if others.len() == MOST {
                    return others;
                }
            }
        }
        others
    }

    pub(super) fn hits(&self, kernel: &Dataplane, list: &ListName, entry: &Entry) -> Hits {
        let number = self.translation.known_number(list);
        let records = number
            .into_iter()
            .flat_map(|number| self.translation.records(number, entry));
        records.fold(Hits::default(), |sum, record| {
            let hits = kernel.bypass_hits(&record);
            Hits {
                count: sum.count + hits.count,
                last: sum.last.max(hits.last),
            }
        })
    }

    /// Every entry that has decided, for the next daemon.
    pub(in crate::daemon) fn counted(&self, kernel: &Dataplane) -> Vec<Counted> {
        let entries = self.set.iter().filter_map(|(list, entry)| {
            let hits = self.hits(kernel, list, &entry);
            (hits.count > 0).then(|| Counted {
                list: list.clone(),
                key: *entry.key(),
                count: hits.count,
                last: hits.last,
            })
        });
        entries.collect()
    }

    /// Adds to an entry's hits what another daemon has counted, if there is the entry still.
    pub(in crate::daemon) fn count_on(&self, kernel: &mut Dataplane, counted: &Counted) {
        let list = self.set.list(&counted.list);
        let entry = list.and_then(|list| list.get(&counted.key));
        if let (Some(entry), Some(number)) = (entry, self.translation.known_number(&counted.list))
            && let Some(record) = self.translation.records(number, &entry).next()
        {
            let hits = Hits {
                count: counted.count,
                last: counted.last,
            };
            kernel.add_bypass_hits(&record, hits);
        }
    }

    fn last_hit(&self, hits: Hits) -> Option<Timestamp> {
        (hits.last != 0).then(|| self.translation.clock().moment(hits.last))
    }
}

/// What there is to say while the lists are not known.
fn unknown(damage: &str) -> Answer {
    Answer::failed(format!(
        "everything goes direct, as the bypass lists could not be read: {damage}; then reload \
         weir (SIGHUP)"
    ))
}

fn told(list: &ListName, entry: &Entry) -> Value {
    json!({ "list": list, "action": entry.action(), "entry": entry.to_string() })
}

/// Why an entry that is about the addresses of a connection does not decide.
fn why_not(
    asked: &Flow<'_>,
    list: &List,
    entry: &Entry,
    now: Timestamp,
    equal: bool,
) -> &'static str {
    let key = entry.key();
    if !list.enabled() {
        "its list is disabled"
    } else if entry.is_over(now) {
        "it has ended"
    } else if key.port().is_some_and(|port| port != asked.port) {
        "it is for another port"
    } else if key.interface().is_some() && key.interface() != asked.interface {
        "it is for another LAN"
    } else if equal {
        "its equal in another list decides"
    } else {
        "another one is more specific"
    }
}
