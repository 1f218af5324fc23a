//! Reading what is on the disk, and mending what a power cut left.

use std::collections::BTreeMap;

use super::{
    super::{
        name::ListName,
        set::{List, Set},
    },
    Files, Store, StoreError, draft_of,
    error::Damage,
    file_of, log, log_of,
    snapshot::{self, Unreadable},
};

const LIST_REMEDY: &str =
    "put a sound copy in its place, or move it and its log away to begin without the list";
const LOG_REMEDY: &str = "remove the line to go on without that edit";

impl Store {
    /// The set that the files say. Removes drafts and what logs end with that is torn.
    pub(super) fn load(&mut self, capacity: usize) -> Result<Set, StoreError> {
        let names = self.disk.names();
        let names = names.map_err(|error| self.io("read directory", "", error))?;
        let names = names.unwrap_or_default();
        let mut lists = BTreeMap::new();
        let mut generation = 0;
        for name in self.named(&names, ".list")? {
            let (list, last) = self.load_list(&name)?;
            generation = generation.max(last);
            lists.insert(name, list);
        }
        if let Some(name) = self
            .named(&names, ".log")?
            .into_iter()
            .find(|name| !lists.contains_key(name))
        {
            return Err(StoreError::NoSnapshot {
                path: self.directory.join(log_of(&name)),
                missing: self.directory.join(file_of(&name)),
            });
        }
        if self.mends {
            // Litter alone, so that failing to remove it is no matter.
            for name in names.iter().filter(|name| is_draft(name)) {
                let _ = self.disk.remove(name);
            }
            if !names.is_empty() {
                self.settle_directory();
            }
        }
        Set::restored(capacity, generation, lists).map_err(|source| StoreError::Content {
            path: self.directory.clone(),
            source,
        })
    }

    /// The lists that have a file with that ending. A name that no list can have is an error, as
    /// somebody may have meant it to be one.
    fn named(&self, files: &[String], ending: &str) -> Result<Vec<ListName>, StoreError> {
        let mut names = files
            .iter()
            .filter(|file| !file.starts_with('.'))
            .filter_map(|file| Some((file, file.strip_suffix(ending)?)))
            .map(|(file, name)| {
                name.parse().map_err(|source| StoreError::Foreign {
                    path: self.directory.join(file),
                    source,
                })
            })
            .collect::<Result<Vec<ListName>, _>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// A list as it is after the last edit of its log, and the generation of that.
    fn load_list(&mut self, name: &ListName) -> Result<(List, u64), StoreError> {
        let file = file_of(name);
        let bytes = self.read(&file)?.unwrap_or_default();
        let snapshot = snapshot::decode(name, &bytes).map_err(|wrong| match wrong {
            Unreadable::Damaged(damage) => self.damaged(&file, damage, LIST_REMEDY),
            Unreadable::Version(found) => StoreError::Version {
                path: self.directory.join(&file),
                found,
            },
        })?;
        let mut files = Files {
            snapshot: bytes.len() as u64,
            ..Files::default()
        };
        drop(bytes);
        let (mut list, mut generation) = (snapshot.list, snapshot.generation);
        let file = log_of(name);
        if let Some(bytes) = self.read(&file)? {
            let replayed = log::replay(&bytes, generation, &mut list)
                .map_err(|damage| self.damaged(&file, damage, LOG_REMEDY))?;
            generation = replayed.generation;
            files.log = Some(replayed.good as u64);
            if self.mends {
                files.doubtful = !self.settle_log(&file, replayed.good, bytes.len());
            }
        }
        self.files.insert(name.clone(), files);
        Ok((list, generation))
    }

    /// Cuts off what a log ends with that was never acknowledged, and makes the rest durable:
    /// after a crash without a power cut nobody may have seen to that. Tells whether it went well;
    /// if not, on a disk that cannot be written, what was read is in force all the same.
    fn settle_log(&mut self, file: &str, good: usize, all: usize) -> bool {
        let mut settle = || {
            self.disk.open(file)?;
            if good < all {
                self.disk.truncate(good as u64)?;
            }
            self.disk.sync()
        };
        let settled = settle();
        let path = self.directory.join(file);
        if good < all {
            self.notices.push(format!(
                "{} ended with {} bytes of an edit that was never finished; they are left out",
                path.display(),
                all - good
            ));
        }
        if let Err(error) = &settled {
            let path = path.display();
            self.notices
                .push(format!("cannot mend and sync {path}: {error}"));
        }
        settled.is_ok()
    }

    /// Makes durable which files there are, as [`Store::settle_log`] does it with what is in them.
    fn settle_directory(&mut self) {
        if let Err(error) = self.disk.sync_directory() {
            let directory = self.directory.display();
            self.notices
                .push(format!("cannot sync directory {directory}: {error}"));
            for files in self.files.values_mut() {
                files.doubtful = true;
            }
        }
    }

    fn read(&mut self, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.disk.read(file);
        read.map_err(|error| self.io("read", file, error))
    }

    fn damaged(&self, file: &str, damage: Damage, remedy: &'static str) -> StoreError {
        StoreError::Damaged {
            path: self.directory.join(file),
            line: damage.line,
            column: damage.column,
            message: damage.message,
            remedy,
        }
    }
}

/// Whether a file is what [`draft_of`] names.
fn is_draft(file: &str) -> bool {
    let name = file
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".draft"));
    name.and_then(|name| name.parse().ok())
        .is_some_and(|name| draft_of(&name) == file)
}
