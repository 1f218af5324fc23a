//! What conntrack does to clients' own ports (`spoof.source = "client-port"`).
//!
//! Each connect asks for itself (`upstream`), so there is no moment in which it is not known. Here
//! are those connections that were made before conntrack came, and what an operator is told.

use std::time::{Duration, Instant};

use super::{keeper::Keeper, surroundings::Warning};
use crate::{
    config::SpoofSource,
    observe::Seldom,
    upstream::{Conntrack, Inquiry},
};

/// Entries come and go with what is tracked: without any for so long, conntrack is out of use.
const QUIET: Duration = Duration::from_secs(60);

const NOTRACK: &str = "tell it not to track them (notrack; docs/OPERATING.md has the rules), or set \
                       spoof.source to \"client\"";

/// What is known of it.
#[derive(Default)]
pub(super) struct Tracking {
    /// When it was last seen to be in use.
    used: Option<Instant>,
    /// Clients' connections that had been found tracked when it came into use, or at a reload.
    found_before: u64,
    warning: Option<Warning>,
}

impl Tracking {
    pub(super) const fn warning(&self) -> Option<&Warning> {
        self.warning.as_ref()
    }

    /// Of `found` connections none counts any more: something may have been done about it.
    pub(super) const fn begin_anew(&mut self, found: u64) {
        self.found_before = found;
    }
}

impl Keeper {
    /// Ends what it has mixed up, and tells of it what is new.
    pub(super) fn look_at_conntrack(&mut self) {
        let wanted = self.options.config.spoof.source == SpoofSource::ClientPort;
        let in_use = Conntrack::is_in_use();
        // Connections from before a reload may have their client's port as well.
        if in_use {
            self.end_tracked();
        }
        let found = self.lasting.conntrack.found();
        let tracking = &mut self.tracking;
        if wanted && in_use {
            tracking.used = Some(Instant::now());
        } else if !wanted || tracking.used.is_none_or(|then| then.elapsed() > QUIET) {
            tracking.used = None;
            tracking.found_before = found;
        }
        let warning = tracking
            .used
            .map(|_| warning(found > tracking.found_before));
        if warning == tracking.warning {
            return;
        }
        if let Some(old) = tracking.warning.take() {
            self.warnings.remove(&old);
            tracing::info!("no longer: {}", old.text());
        }
        if let Some(new) = &warning {
            new.tell();
            self.warnings.insert(new.clone());
        }
        tracking.warning = warning;
    }

    fn end_tracked(&self) {
        let mut inquiry = None;
        let ended = self.lasting.flows.end_tracked(|client, origin| {
            let inquiry = inquiry.get_or_insert_with(Inquiry::open);
            // Where it does not say, it may be so.
            inquiry
                .as_mut()
                .map_or(true, |inquiry| inquiry.has(client, origin).unwrap_or(true))
        });
        if ended > 0 {
            static TOLD: Seldom = Seldom::new(1);
            let Some(held_back) = TOLD.pass() else {
                return;
            };
            tracing::error!(
                ended,
                held_back,
                "conntrack has begun to track connections that keep the client's port, and takes \
                 both sides of each for one: they were reset"
            );
        }
    }
}

fn warning(tracks_clients: bool) -> Warning {
    if tracks_clients {
        Warning::Broken(format!(
            "conntrack tracks clients' connections, and where it does, origins do not see the \
             client's port: both sides would be one to it; {NOTRACK}"
        ))
    } else {
        Warning::Different(format!(
            "conntrack is in use: where it tracks a client's connection, the origin will not see \
             the client's port; {NOTRACK}"
        ))
    }
}
