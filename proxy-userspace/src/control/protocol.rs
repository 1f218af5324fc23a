//! What is said over the control socket.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Wanted;
use crate::bypass::{InterfaceName, Key, ListName};

/// What a command asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// What is happening now.
    Status,
    /// The same and more, for Prometheus.
    Metrics,
    /// The configuration in force.
    Config,
    /// The live connections.
    Flows,
    /// Ends one of them.
    KillFlow {
        /// Its number.
        id: usize,
    },
    /// Changes a bypass list, wholly or not at all.
    BypassEdit {
        /// The list.
        list: ListName,
        /// What is to be done.
        edit: ListEdit,
        /// Whether intercepted flows end that go direct from now on.
        end: bool,
    },
    /// Every entry, of one list or of all, as lines of text.
    BypassRead {
        /// The one.
        list: Option<ListName>,
    },
    /// The bypass lists themselves.
    BypassLists,
    /// Which entry decides about a connection.
    BypassTest(Query),
    /// What becomes of a connection, and what decides that.
    Why(Query),
    /// Decisions as they are made, as long as the connection lasts: see [`Watching`](super::Watching).
    Watch(Wanted),
    /// What would be learned.
    BypassLearn,
    /// Looks around anew, and tells what is happening and what has changed since the start.
    Examine,
    /// Puts back what is the daemon's own, and missing.
    Mend,
    /// Reads the configuration again.
    Reload,
    /// Drains, undoes everything and ends.
    Stop,
    /// Hands everything over to the process that asks: see [`handover`](super::handover).
    TakeOver,
}

/// What is done to a bypass list. Entries are in the text format, a line each: a million of them
/// are a quarter of what they would be as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListEdit {
    /// These are added.
    Add {
        /// The entries.
        entries: String,
    },
    /// These are removed.
    Remove {
        /// What they match.
        keys: Vec<Key>,
    },
    /// These are all from now on.
    Replace {
        /// The entries.
        entries: String,
    },
    /// All are removed.
    Clear,
    /// The list is enabled, or disabled.
    Enable {
        /// Which of the two.
        enabled: bool,
    },
}

/// A connection that is asked about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Query {
    /// The client.
    pub source: IpAddr,
    /// The origin.
    pub destination: IpAddr,
    /// Its port.
    pub port: u16,
    /// The LAN that it comes from.
    pub interface: Option<InterfaceName>,
}

impl Request {
    /// Whether members of `control.group` may ask for it without being root.
    #[must_use]
    pub const fn is_for_editors(&self) -> bool {
        self.is_for_readers() || matches!(self, Self::BypassEdit { .. })
    }

    /// Whether members of `control.read_group` may as well.
    #[must_use]
    pub const fn is_for_readers(&self) -> bool {
        match self {
            Self::Status
            | Self::Metrics
            | Self::Config
            | Self::Flows
            | Self::BypassRead { .. }
            | Self::BypassLists
            | Self::BypassTest(_)
            | Self::Why(_)
            | Self::Watch(_)
            | Self::BypassLearn
            | Self::Examine => true,
            Self::BypassEdit { .. }
            | Self::KillFlow { .. }
            | Self::Mend
            | Self::Reload
            | Self::Stop
            | Self::TakeOver => false,
        }
    }
}

/// What the daemon answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done; what there is to tell.
    Done(Value),
    /// It is not done, and nothing has changed.
    Failed {
        /// Whose fault.
        kind: FailureKind,
        /// What, why and what to do.
        message: String,
    },
}

/// Whose fault a failure is: the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The request's (exit code 2).
    Usage,
    /// Nobody's who asks, but who asks may not (exit code 3).
    NotPermitted,
    /// Nobody's who asks (exit code 1).
    Other,
    /// Nobody's: another process has taken over, and is to be asked.
    Moved,
}

impl Answer {
    /// A failure that is the daemon's or the host's.
    #[must_use]
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed {
            kind: FailureKind::Other,
            message: error.to_string(),
        }
    }

    /// A failure that is the request's.
    #[must_use]
    pub fn refused(error: impl std::fmt::Display) -> Self {
        Self::Failed {
            kind: FailureKind::Usage,
            message: error.to_string(),
        }
    }
}

impl Answer {
    /// Ask again: another process has taken over.
    #[must_use]
    pub fn moved() -> Self {
        Self::Failed {
            kind: FailureKind::Moved,
            message: "another process has taken over: ask again".to_owned(),
        }
    }
}

/// Longest line either way, bytes: some million entries.
pub(super) const MAX_LINE: u64 = 512 * 1024 * 1024;
