//! What is said over the control socket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bypass::Entry;

/// What a command asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// What is happening now.
    Status,
    /// The bypass list.
    BypassList,
    /// Adds entries, all or none.
    BypassAdd {
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Removes entries, all or none.
    BypassDel {
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Reads the configuration again.
    Reload,
    /// Drains, undoes everything and ends.
    Stop,
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
    /// Nobody's who asks (exit code 1).
    Other,
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

/// Longest line either way, bytes: 100,000 entries.
pub(super) const MAX_LINE: u64 = 32 * 1024 * 1024;
