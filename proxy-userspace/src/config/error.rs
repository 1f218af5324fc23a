//! What can be wrong with a configuration, and where.

use std::{io, path::PathBuf};

use super::document::Fault;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read configuration {}: {source}; see `weir config sample` for one",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not TOML, has a key that is not known, or a value that makes no sense.
    #[error("{name}:{line}:{column}: {message}")]
    Invalid {
        /// What the caller called the text, usually the file's path.
        name: String,
        /// Line of the mistake, from 1.
        line: usize,
        /// Column of the mistake in characters, from 1.
        column: usize,
        /// What is wrong, and the remedy.
        message: String,
    },
    /// A flag of the command line cannot be combined with the rest.
    #[error("{flag}: {message}")]
    Flag {
        /// The flag, with its dashes.
        flag: &'static str,
        /// What is wrong, and the remedy.
        message: String,
    },
}

impl ConfigError {
    /// Whether the file simply is not there, which is fine for the default path.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Turns a fault's byte offset into a line and a column of `text`.
pub(super) fn locate(text: &str, name: &str, fault: Fault) -> ConfigError {
    let before = text.get(..fault.at.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    ConfigError::Invalid {
        name: name.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: fault.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str, at: usize) -> (usize, usize) {
        match locate(text, "x", Fault::new(at..at, "m")) {
            ConfigError::Invalid { line, column, .. } => (line, column),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn positions_count_from_one_and_in_characters() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("ab\ncd", 1), (1, 2));
        assert_eq!(position("ab\ncd", 3), (2, 1));
        assert_eq!(position("ab\ncd", 5), (2, 3));
        assert_eq!(position("ü = x", "ü = ".len()), (1, 5));
    }

    #[test]
    fn an_offset_behind_the_text_is_its_end() {
        assert_eq!(position("ab\n", 99), (2, 1));
    }

    #[test]
    fn a_missing_file_is_told_apart() {
        let read = |kind| ConfigError::Read {
            path: "/x".into(),
            source: io::Error::from(kind),
        };
        assert!(read(io::ErrorKind::NotFound).is_not_found());
        assert!(!read(io::ErrorKind::PermissionDenied).is_not_found());
    }
}
