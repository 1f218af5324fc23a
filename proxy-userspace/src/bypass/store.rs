//! The bypass set's file.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    entry::Entry,
    set::{EditError, Set},
};

/// Version of the file's shape.
const VERSION: u64 = 1;

/// Everyone may read which destinations are bypassed; only the owner may change it.
const MODE: u32 = 0o644;

/// The durable file of a [`Set`]: `{"version": 1, "generation": n, "entries": […]}`.
///
/// It is replaced, never written in place, so that a crash or a full disk at any moment leaves
/// the old content or the new one. Two writers at once are the caller's to prevent.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused to read or write.
    #[error("cannot {operation} bypass list {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or its directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The content is not what we write.
    #[error(
        "bypass list {}:{line}:{column} is damaged: {message}; \
         mend it there, or move it away to begin with an empty list",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line of the damage, from 1.
        line: usize,
        /// Column of the damage, from 1; 0 is the line's beginning.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// The file was written by a later version.
    #[error(
        "bypass list {} has version {found}, this weir knows {VERSION} only; use the weir that \
         wrote it",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it says.
        found: u64,
    },
    /// The entries do not fit into the set.
    #[error("cannot load bypass list {}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why they do not fit.
        source: EditError,
    },
}

impl Store {
    /// The store at `path` and the set that is in it, which takes `capacity` entries. A file that
    /// does not exist is an empty set; nothing is created before the first [`Store::save`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is a file and it cannot be read or understood: it is never taken
    /// for empty, as that would intercept what must not be.
    pub fn open(path: impl Into<PathBuf>, capacity: usize) -> Result<(Self, Set), StoreError> {
        let store = Self { path: path.into() };
        let set = match fs::read(&store.path) {
            Ok(text) => store.decode(&text, capacity)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Set::new(capacity),
            Err(error) => return Err(store.io("read", &store.path, error)),
        };
        Ok((store, set))
    }

    /// Replaces the file by `set` and returns when it is on the disk. Creates the directory.
    /// Blocks; its size is some hundred bytes an entry.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]; the file is then as it was, unless syncing the directory failed, after
    /// which it may be either.
    pub fn save(&self, set: &Set) -> Result<(), StoreError> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(directory)
            .map_err(|error| self.io("create the directory of", directory, error))?;
        encode(set)
            .and_then(|content| self.replace(directory, &content))
            .map_err(|error| self.io("write", &self.path, error))?;
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| self.io("sync the directory of", directory, error))
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn replace(&self, directory: &Path, content: &[u8]) -> io::Result<()> {
        // In the same directory, as a rename does not cross file systems.
        let mut file = tempfile::Builder::new()
            .prefix(".bypass-")
            .tempfile_in(directory)?;
        file.write_all(content)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(MODE))?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn decode(&self, text: &[u8], capacity: usize) -> Result<Set, StoreError> {
        let damaged = |error: serde_json::Error| StoreError::Damaged {
            path: self.path.clone(),
            line: error.line(),
            column: error.column(),
            message: without_position(&error),
        };
        // The version first: what a later one says may look damaged to us.
        let Versioned { version } = serde_json::from_slice(text).map_err(damaged)?;
        if version != VERSION {
            return Err(StoreError::Version {
                path: self.path.clone(),
                found: version,
            });
        }
        let content: Content = serde_json::from_slice(text).map_err(damaged)?;
        Set::restored(capacity, content.generation, content.entries).map_err(|source| {
            StoreError::Content {
                path: self.path.clone(),
                source,
            }
        })
    }

    fn io(&self, operation: &'static str, path: &Path, source: io::Error) -> StoreError {
        StoreError::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(rename = "version")]
    _version: u64,
    generation: u64,
    entries: Vec<Entry>,
}

/// One entry a line, so that people and `diff` can read it.
fn encode(set: &Set) -> io::Result<Vec<u8>> {
    let entries = set
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<Vec<_>, _>>()?;
    let entries = match entries.as_slice() {
        [] => "[]".to_owned(),
        lines => format!("[\n    {}\n  ]", lines.join(",\n    ")),
    };
    let generation = set.generation();
    Ok(format!(
        "{{\n  \"version\": {VERSION},\n  \"generation\": {generation},\n  \
         \"entries\": {entries}\n}}\n"
    )
    .into_bytes())
}

/// serde_json's message without the position behind it, which we tell in front.
fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    message
        .strip_suffix(&position)
        .unwrap_or(&message)
        .to_owned()
}

#[cfg(test)]
mod tests;
