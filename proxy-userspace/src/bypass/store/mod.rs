//! The lists' files.
//!
//! Each list has a file `NAME.list` with its entries ([`snapshot`]), which is replaced and never
//! written in place, and a log `NAME.log` with the edits since ([`log`]), which is only written
//! behind its end. A power cut, a full disk or a crash at any moment leaves the state before an
//! edit or the one after; once [`Store::append`] has said so, the one after.

mod disk;
mod error;
mod load;
mod log;
mod replace;
mod snapshot;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use self::disk::{Directory, Disk};
use super::{
    name::ListName,
    plan::Change,
    set::{List, Set},
};

pub use disk::make_directory;
pub use error::StoreError;

/// What a log may grow to in any case, in bytes.
const LOG: u64 = 1 << 20;

/// The directory with the durable files of a [`Set`]. Two writers at once are the caller's to
/// prevent.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    disk: Box<dyn Disk>,
    files: BTreeMap<ListName, Files>,
    notices: Vec<String>,
    /// [`LOG`], but for tests.
    log: u64,
    /// Whether what a crash left is mended when it is met.
    mends: bool,
}

/// What a list has on the disk. Lengths are in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Files {
    snapshot: u64,
    /// `None` if there is no log, or it is not sure that a power cut would leave it.
    log: Option<u64>,
    /// Something failed half way, so that the next edit must not build on what is there.
    doubtful: bool,
}

/// What was tried of a file, and what the system said.
type Failed = (&'static str, io::Error);

impl Store {
    /// The store in `directory`, and the set that is in it, which takes `capacity` entries of a
    /// family. A directory that does not exist is an empty set; nothing is made before the first
    /// [`Store::append`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there are files and they cannot be read or understood: they are never
    /// taken for empty, as that would intercept what must not be.
    pub fn open(directory: impl Into<PathBuf>, capacity: usize) -> Result<(Self, Set), StoreError> {
        let directory = directory.into();
        let disk = Box::new(Directory::new(directory.clone()));
        Self::open_on(disk, directory, capacity)
    }

    /// The set that is in `directory`, for who does not write there and cannot know whether
    /// somebody else does right now: nothing is touched.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn look(directory: impl Into<PathBuf>, capacity: usize) -> Result<Set, StoreError> {
        let directory = directory.into();
        let disk = Box::new(Directory::new(directory.clone()));
        let mut store = Self::new(disk, directory);
        store.mends = false;
        store.load(capacity)
    }

    fn open_on(
        disk: Box<dyn Disk>,
        directory: PathBuf,
        capacity: usize,
    ) -> Result<(Self, Set), StoreError> {
        let mut store = Self::new(disk, directory);
        let set = store.load(capacity)?;
        Ok((store, set))
    }

    fn new(disk: Box<dyn Disk>, directory: PathBuf) -> Self {
        Self {
            directory,
            disk,
            files: BTreeMap::new(),
            notices: Vec::new(),
            log: LOG,
            mends: true,
        }
    }

    /// Keeps a change that was planned with `before`, and returns when it is durable. Blocks: for
    /// one or two writes if the change is small, else for as long as the list takes to write.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`]. What is kept is then, as far as the disk still lets us, the state
    /// before the change, and the next edit may be tried.
    pub fn append(&mut self, before: &Set, change: &Change) -> Result<(), StoreError> {
        if change.is_empty() {
            return Ok(());
        }
        // An edit that failed must not come up again behind one that did not.
        let doubtful = self.files.iter().filter(|(_, files)| files.doubtful);
        let doubtful: Vec<ListName> = doubtful.map(|(name, _)| name.clone()).collect();
        for name in doubtful.iter().filter(|name| **name != change.list) {
            self.restore(before, name)?;
        }
        let entries = before.list(&change.list).map_or(0, List::len);
        let large = change.whole || change.size() > entries / 4;
        match self.files.get(&change.list).copied() {
            Some(files) if !large && !files.doubtful && !self.is_full(files) => {
                self.append_line(files, before, change)
            }
            _ => self.replace(before, change),
        }
    }

    /// Where the files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What was mended when the store was opened, for the daemon's own log.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    fn is_full(&self, files: Files) -> bool {
        files.log.unwrap_or(0) > self.log.max(files.snapshot / 2)
    }

    /// Writes a line behind the log's end.
    fn append_line(
        &mut self,
        files: Files,
        before: &Set,
        change: &Change,
    ) -> Result<(), StoreError> {
        let file = log_of(&change.list);
        let length = self
            .disk
            .open(&file)
            .map_err(|error| self.io("open", &file, error))?;
        if length != files.log.unwrap_or(0) {
            // Somebody else was at it, and we know better what is in the list.
            return self.replace(before, change);
        }
        let line = log::encode(change);
        // Until it has gone well: after a sync that failed nobody knows what is on the disk.
        self.doubt(&change.list);
        let written = self.write_line(files, &line);
        if let Err((operation, error)) = written {
            // For who reads the file; the next edit will replace it in any case.
            let _ = self.disk.truncate(length);
            return Err(self.io(operation, &file, error));
        }
        let files = Files {
            log: Some(length + line.len() as u64),
            ..files
        };
        self.files.insert(change.list.clone(), files);
        Ok(())
    }

    fn write_line(&mut self, files: Files, line: &str) -> Result<(), Failed> {
        self.disk
            .write(line.as_bytes())
            .map_err(|error| ("write", error))?;
        self.disk.sync().map_err(|error| ("sync", error))?;
        if files.log.is_none() {
            let synced = self.disk.sync_directory();
            synced.map_err(|error| ("sync the directory of", error))?;
        }
        Ok(())
    }

    fn doubt(&mut self, name: &ListName) {
        self.files.entry(name.clone()).or_default().doubtful = true;
    }

    fn io(&self, operation: &'static str, file: &str, source: io::Error) -> StoreError {
        StoreError::Io {
            operation,
            path: self.directory.join(file),
            source,
        }
    }
}

fn file_of(name: &ListName) -> String {
    format!("{name}.list")
}

fn log_of(name: &ListName) -> String {
    format!("{name}.log")
}

/// Begins as no list's name does.
fn draft_of(name: &ListName) -> String {
    format!(".{name}.draft")
}

#[cfg(test)]
mod tests;
