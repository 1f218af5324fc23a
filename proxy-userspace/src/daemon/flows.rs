//! The live connections, for `weir flows`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keeper::Keeper;
use crate::{control::Answer, session::View};

/// A flow as it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) id: usize,
    pub(super) client: SocketAddr,
    pub(super) origin: SocketAddr,
    age_ms: u64,
    state: String,
    requests: u32,
    bytes_in: u64,
    bytes_out: u64,
    host: Option<Box<str>>,
}

impl Shown {
    pub(super) fn of(view: View) -> Self {
        Self {
            id: view.number,
            client: view.client,
            origin: view.origin,
            age_ms: u64::try_from(view.age.as_millis()).unwrap_or(u64::MAX),
            state: view.state.as_str().to_owned(),
            requests: view.requests,
            bytes_in: view.bytes_in,
            bytes_out: view.bytes_out,
            host: view.host,
        }
    }
}

/// The numbers of one daemon's flows, from the first on that may be its own: those of the daemon
/// before it, which goes on counting until it has handed over, are below.
const APART: usize = 1_000_000;

/// The first number for the flows of a successor, of a daemon whose next would be this.
pub(super) const fn first_of_successor(next: usize) -> usize {
    (next / APART + 2) * APART
}

impl Keeper {
    /// All of this process.
    pub(super) fn own_flows(&self) -> Vec<Shown> {
        let views = self.lasting.flows.views();
        views.into_iter().map(Shown::of).collect()
    }

    /// Those of this process; those of daemons that drain are not among them.
    pub(super) fn flows(&self) -> Answer {
        Answer::Done(json!({
            "flows": self.own_flows(),
            "elsewhere": self.generations.active(),
        }))
    }

    pub(super) fn kill_flow(&self, number: usize) -> Answer {
        if self.lasting.flows.kill(number) {
            tracing::info!(number, "flow killed");
            return Answer::Done(Value::Null);
        }
        Answer::refused(format!(
            "no live flow has the number {number}; `weir flows` lists those that there are"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_two_daemons_are_apart() {
        assert_eq!(first_of_successor(0), 2_000_000);
        assert_eq!(first_of_successor(999_999), 2_000_000);
        let second = first_of_successor(0);
        assert_eq!(first_of_successor(second + 17), 4_000_000);
    }
}
