//! What the doctor has changed on a host, written down before it is done.
//!
//! It stays when the daemon goes, so it is not in the instance's own directory, which does not. It
//! goes with `weir doctor --undo`, and with a restart of the host, as what it tells of does.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::mend::{Before, Step};
use crate::netconf::journal;

/// Below [`journal::RUN`]; no instance has such a name. Each instance has a directory in it, so that
/// doctors of several do not wait for each other.
const DIRECTORY: &str = ".doctor";

/// In an instance's directory.
const FILE: &str = "ledger.json";

/// What was done for an instance.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    content: Content,
    /// Its directory, locked while this lives.
    _lock: File,
}

/// As it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    instance: String,
    netns: u64,
    done: Vec<Done>,
}

/// A change, and what was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What was done, or was about to be.
    pub step: Step,
    /// What it needs to be undone.
    pub before: Before,
}

impl Ledger {
    /// That of an instance whose daemon is, or would be, in this network namespace; empty if nothing
    /// was done for it.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or another doctor is at work.
    pub fn open(instance: &str, netns: u64) -> io::Result<Self> {
        Self::open_in(&Path::new(journal::RUN).join(DIRECTORY), instance, netns)
    }

    fn open_in(directory: &Path, instance: &str, netns: u64) -> io::Result<Self> {
        let directory = directory.join(instance);
        let lock = lock(&directory)?;
        let path = directory.join(FILE);
        let content = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                io::Error::other(format!("{} is damaged: {error}", path.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content {
                instance: instance.to_owned(),
                netns,
                done: Vec::new(),
            },
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            content,
            _lock: lock,
        })
    }

    /// The network namespace that it is about.
    #[must_use]
    pub const fn netns(&self) -> u64 {
        self.content.netns
    }

    /// What was done, in that order.
    #[must_use]
    pub fn done(&self) -> &[Done] {
        &self.content.done
    }

    /// Does something, and can undo it from now on.
    ///
    /// # Errors
    ///
    /// If it cannot be written down, or the host refuses.
    pub fn perform(&mut self, step: &Step) -> io::Result<()> {
        let before = step.before()?;
        self.content.done.push(Done {
            step: step.clone(),
            before,
        });
        self.write()?;
        step.apply()
    }

    /// Undoes the last of it until so many are left.
    ///
    /// # Errors
    ///
    /// If the host refuses: what is not undone stays written down.
    pub fn undo_to(&mut self, left: usize) -> io::Result<()> {
        while self.content.done.len() > left {
            if let Some(done) = self.content.done.last() {
                done.step.undo(&done.before)?;
            }
            self.content.done.pop();
            self.write()?;
        }
        Ok(())
    }

    /// Forgets it all: its network namespace is gone, and everything with it.
    ///
    /// # Errors
    ///
    /// If it cannot be removed.
    pub fn forget(&mut self) -> io::Result<()> {
        self.content.done.clear();
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        if self.content.done.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer_pretty(&mut file, &self.content)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        File::open(directory)?.sync_all()
    }
}

/// Leaves no directory behind that has nothing in it.
impl Drop for Ledger {
    fn drop(&mut self) {
        // The instance's, that of all doctors, and that of all instances.
        for directory in self.path.ancestors().skip(1).take(3) {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Makes the directory, and locks it.
fn lock(directory: &Path) -> io::Result<File> {
    loop {
        fs::create_dir_all(directory)?;
        let file = match File::open(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::other("another weir doctor is at work"),
            fs::TryLockError::Error(error) => error,
        })?;
        // Whoever had it may have removed it before it was locked here.
        if fs::metadata(directory)
            .is_ok_and(|named| file.metadata().is_ok_and(|open| open.ino() == named.ino()))
        {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str) -> Step {
        Step::Daemon {
            command: name.to_owned(),
        }
    }

    #[test]
    fn it_stays_until_it_is_undone() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("weir/.doctor");
        let mut ledger = Ledger::open_in(&directory, "one", 7).unwrap();
        assert!(Ledger::open_in(&directory, "one", 7).is_err());
        assert_eq!(Ledger::open_in(&directory, "two", 7).unwrap().done(), []);
        ledger.perform(&step("a")).unwrap();
        ledger.perform(&step("b")).unwrap();
        drop(ledger);
        let mut ledger = Ledger::open_in(&directory, "one", 8).unwrap();
        assert_eq!(ledger.netns(), 7);
        assert_eq!(ledger.done().len(), 2);
        ledger.undo_to(1).unwrap();
        assert_eq!(ledger.done()[0].step, step("a"));
        drop(ledger);
        let mut ledger = Ledger::open_in(&directory, "one", 8).unwrap();
        assert_eq!(ledger.done().len(), 1);
        ledger.undo_to(0).unwrap();
        drop(ledger);
        assert!(!directory.exists());
    }

    #[test]
    fn a_damaged_one_is_no_empty_one() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("one")).unwrap();
        fs::write(root.path().join("one/ledger.json"), "{").unwrap();
        let error = Ledger::open_in(root.path(), "one", 7).unwrap_err();
        assert!(error.to_string().contains("is damaged"), "{error}");
    }
}
