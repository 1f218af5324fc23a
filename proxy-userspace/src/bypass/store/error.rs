//! What can be wrong with a store.

use std::{io, path::PathBuf};

use super::super::{name::NameError, plan::EditError};

/// Why lists cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or the directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The content is not what we write.
    #[error("bypass list {}:{line}:{column} is damaged: {message}; {remedy}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line of the damage, from 1.
        line: usize,
        /// Column of the damage, in characters from 1.
        column: usize,
        /// What is wrong there.
        message: String,
        /// What can be done.
        remedy: &'static str,
    },
    /// The file was written by a later version.
    #[error(
        "bypass list {} has version {found}, this weir knows {} only; use the weir that wrote it",
        path.display(),
        super::snapshot::VERSION
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it says.
        found: u64,
    },
    /// A file has the ending of a list, but no name that a list can have.
    #[error("{} is no bypass list of ours: {source}; move it away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with its name.
        source: NameError,
    },
    /// There are edits of a list, but not the list.
    #[error(
        "{} has edits of a bypass list, but {} is missing; put that back, or move the edits away, \
         too, to begin without the list",
        path.display(),
        missing.display()
    )]
    NoSnapshot {
        /// The edits.
        path: PathBuf,
        /// The list.
        missing: PathBuf,
    },
    /// The entries do not fit.
    #[error("cannot load the bypass lists in {}: {source}", path.display())]
    Content {
        /// The directory.
        path: PathBuf,
        /// Why they do not fit.
        source: EditError,
    },
}

/// What is wrong in a file, and where: line and column from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

impl Damage {
    /// Damage at the beginning of a line.
    pub(super) fn of_line(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            column: 1,
            message: message.into(),
        }
    }
}
