//! Failures whose kind a script must be able to tell: they become exit codes.

use thiserror::Error;

/// A failure of a kind that has an exit code of its own. Put it into an `anyhow` chain; the
/// binary finds it there. Everything else is exit code 1.
#[derive(Debug, Error)]
pub enum Fault {
    /// Arguments or configuration are wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The caller may not do this: exit code 3.
    #[error("{0}")]
    NotPermitted(String),
    /// This host cannot do it: kernel too old, feature missing: exit code 4.
    #[error("{0}")]
    HostCannot(String),
    /// No daemon of that instance name, and nothing left of one: exit code 5.
    #[error("{0}")]
    NoInstance(String),
}

impl Fault {
    /// The exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::NotPermitted(_) => 3,
            Self::HostCannot(_) => 4,
            Self::NoInstance(_) => 5,
        }
    }
}
