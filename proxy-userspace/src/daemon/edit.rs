//! Bypass lists, as commands and time change them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{elsewhere::Meant, keeper::Keeper};
use crate::{
    bypass::{Change, Key, ListName, Options, text},
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
            told["ended"] = self.end_flows(edit).into();
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

    /// Ends the flows that are [meant](Self::meant_by) by an edit.
    fn end_flows(&mut self, edit: &ListEdit) -> usize {
        let flows = std::sync::Arc::clone(&self.lasting.flows);
        flows.end(self.meant_by(edit))
    }

    /// The flows that the edit's entries match, new or not, and that the kernel would let go direct
    /// now. The LAN of a flow is not known: it has to go direct from all of them.
    pub(super) fn meant_by(&mut self, edit: &ListEdit) -> Meant<'_> {
        let keys = match edit {
            ListEdit::Add { entries } => few_keys(entries),
            _ => None,
        };
        let is_named = move |client: SocketAddr, origin: SocketAddr| {
            let matches = |key| matches(key, client, origin);
            keys.as_ref().is_none_or(|keys| keys.iter().any(matches))
        };
        let lists = &self.lists;
        let dataplane = std::cell::RefCell::new(&mut self.dataplane);
        Box::new(move |client, origin| {
            is_named(client, origin)
                && lists.is_bypassed(&mut dataplane.borrow_mut(), client, origin)
        })
    }

    /// What an operator deletes of the learned list may be learned again.
    fn forget_lessons(&mut self, change: &Change) {
        if change.list != ListName::learned() {
            return;
        }
        for entry in &change.removed {
            let key = entry.key();
            let destination = key.destination();
            let destination =
                destination.map(|prefix| SocketAddr::new(prefix.addr(), key.port().unwrap_or(0)));
            let source = key.source().map(|source| source.addr());
            self.learner.forget(destination, source);
        }
    }
}

/// What entries match. `None` if they are many: asking the kernel about each flow is less than
/// comparing it with them all.
fn few_keys(entries: &str) -> Option<Vec<Key>> {
    const FEW: usize = 64;
    let few = entries.lines().count() <= FEW;
    let parsed = few
        .then(|| text::parse(entries, &Options::OWN).ok())
        .flatten()?;
    Some(parsed.entries.iter().map(|entry| *entry.key()).collect())
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
