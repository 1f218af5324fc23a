//! What can go wrong while a throwaway network is built, used or told about.

use std::{io, path::PathBuf};

/// What this room's functions return.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// A lab that could not be built or used. Messages name the object and the likely remedy.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The process has no right to make network namespaces.
    #[error("making network namespaces needs root: run this command with sudo")]
    NotPermitted,

    /// A program that the lab drives is not installed.
    #[error("`{tool}` is not on the PATH: install the package {package}")]
    MissingTool {
        /// The program's name.
        tool: String,
        /// The Debian package that has it.
        package: &'static str,
    },

    /// A program that the lab drives reported a failure.
    #[error("{what} failed: {detail}")]
    Command {
        /// What it was asked to do.
        what: String,
        /// What it said on its standard error, or how it ended.
        detail: String,
    },

    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation and its object.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },

    /// A namespace could not be entered.
    #[error("cannot enter the network namespace {name}: {source}")]
    Enter {
        /// The namespace's name.
        name: String,
        /// The cause.
        #[source]
        source: io::Error,
    },

    /// The network was built, but one end does not reach the other.
    #[error("{from} does not reach {to}: {detail}")]
    Unreachable {
        /// Who tried.
        from: String,
        /// What was tried.
        to: String,
        /// How the last attempt ended.
        detail: String,
    },

    /// The daemon under `weir lab` did not come up or went away.
    #[error("{binary} {what}; it said:\n{output}", binary = .binary.display())]
    Daemon {
        /// The executable.
        binary: PathBuf,
        /// What it did or failed to do.
        what: String,
        /// Its output so far.
        output: String,
    },

    /// An answer that the origin cannot have given.
    #[error("unexpected answer from {origin}: {detail}")]
    Answer {
        /// Who was asked.
        origin: String,
        /// What is wrong with it.
        detail: String,
    },

    /// A signal asked for the end; everything has been removed.
    #[error("interrupted")]
    Interrupted,
}

impl LabError {
    /// For `map_err`: an I/O failure of `what`.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
