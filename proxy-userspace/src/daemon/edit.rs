//! Bypass lists, as commands and time change them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::Value;

use super::keeper::Keeper;
use crate::{
    bypass::{Change, Entry, Key, ListName},
    control::{Answer, ListEdit},
};

/// How often feeds are looked at.
const FEEDS: Duration = Duration::from_secs(1);

impl Keeper {
    /// Does what a command asks for. `end` also resets intercepted flows that the lists let go
    /// direct from now on: their clients connect again, and go direct.
    pub(super) fn bypass_edit(&mut self, list: &ListName, edit: &ListEdit, end: bool) -> Answer {
        let ports = &self.options.config.intercept.ports;
        let change = match self
            .lists
            .change(Some(&mut self.dataplane), list, edit, Some(ports))
        {
            Ok(change) => change,
            Err(fault) => return fault.answer(),
        };
        self.forget_lessons(&change);
        let mut told = self.lists.told(&change);
        if end {
            told["ended"] = self.end_flows(&change).into();
        }
        Answer::Done(told)
    }

    /// `weir bypass learn --dry-run`.
    pub(super) fn candidates(&self) -> Answer {
        let candidates = self.learner.candidates(std::time::Instant::now());
        match serde_json::to_value(candidates) {
            Ok(candidates) => Answer::Done(candidates),
            Err(error) => Answer::failed(error),
        }
    }

    /// What time does to the lists.
    pub(super) fn tend_lists(&mut self) {
        self.lists.sweep(&mut self.dataplane);
        let due = self
            .feeds_looked_at
            .is_none_or(|then| then.elapsed() >= FEEDS);
        if due {
            self.feeds_looked_at = Some(std::time::Instant::now());
            self.lists.look_at_feeds(&mut self.dataplane);
        }
    }

    /// Takes the feeds of the configuration in.
    pub(super) fn read_feeds(&mut self) {
        let feeds: Vec<PathBuf> = self.options.config.bypass.feeds.clone();
        self.lists.set_feeds(&mut self.dataplane, &feeds);
    }

    /// Ends the flows that an entry of the change matches and that the kernel would let go direct
    /// now. The LAN of a flow is not known: it has to go direct from all of them.
    fn end_flows(&mut self, change: &Change) -> Value {
        let updated = change.updated.iter().map(|(_, new)| new);
        let entries: Vec<&Entry> = change.added.iter().chain(updated).collect();
        // For a whole list, asking the kernel about each flow is less than comparing them all.
        let few = entries.len() <= 64 && change.removed.is_empty() && change.enabled.is_none();
        let is_meant = |client: SocketAddr, origin: SocketAddr| {
            !few || entries
                .iter()
                .any(|entry| matches(entry.key(), client, origin))
        };
        let lists = &self.lists;
        let dataplane = std::cell::RefCell::new(&mut self.dataplane);
        let ended = self.lasting.flows.end(|client, origin| {
            is_meant(client, origin)
                && lists.is_bypassed(&mut dataplane.borrow_mut(), client, origin)
        });
        ended.into()
    }

    /// What an operator deletes of the learned list may be learned again.
    fn forget_lessons(&mut self, change: &Change) {
        if change.list != ListName::learned() {
            return;
        }
        for entry in &change.removed {
            let key = entry.key();
            if let Some(destination) = key.destination() {
                let destination = SocketAddr::new(destination.addr(), key.port().unwrap_or(0));
                let source = key.source().map(|source| source.addr());
                self.learner.forget(destination, source);
            }
        }
    }
}

fn matches(key: &Key, client: SocketAddr, origin: SocketAddr) -> bool {
    let flow = crate::bypass::Flow {
        destination: origin.ip().to_canonical(),
        source: client.ip().to_canonical(),
        port: origin.port(),
        interface: None,
    };
    flow.is_addressed_by(key) && key.port().is_none_or(|port| port == origin.port())
}
