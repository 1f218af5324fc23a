//! Putting a list's file in the place of the old one, and taking that back.

use super::{
    super::{
        entry::Attributes,
        key::Key,
        name::ListName,
        plan::Change,
        set::{List, Set},
    },
    Failed, Files, Store, StoreError, draft_of, file_of, log_of, snapshot,
};

impl Store {
    /// Writes the list's file anew, and removes its log.
    pub(super) fn replace(&mut self, before: &Set, change: &Change) -> Result<(), StoreError> {
        let name = &change.list;
        let file = file_of(name);
        self.disk
            .make_directory()
            .map_err(|error| self.io("make the directory of", &file, error))?;
        let list = before.list(name);
        let enabled = change.enabled.or(list.map(List::enabled)).unwrap_or(true);
        let entries = snapshot::after(list, change);
        let length = self
            .draft(name, change.generation, enabled, entries)
            .map_err(|(operation, error)| self.io(operation, &file, error))?;
        self.doubt(name);
        if let Err((operation, error)) = self.put(name) {
            // The new file may be in its place, although nobody is told so. As the disk does not
            // do what it should, this may fail, too; then the next edit tries again.
            let _ = self.restore(before, name);
            return Err(self.io(operation, &file, error));
        }
        // The file has every edit of the log, and is durable: whether the log goes is no matter
        // of the change. If it does not, the next edit finds it.
        let removed = self.disk.remove(&log_of(name));
        let _ = removed.and_then(|()| self.disk.sync_directory());
        self.settled(name, length);
        Ok(())
    }

    /// Makes the files of a list what they were before an edit that failed.
    pub(super) fn restore(&mut self, before: &Set, name: &ListName) -> Result<(), StoreError> {
        let restored = match before.list(name) {
            Some(list) => self.rewrite(name, before.generation(), list),
            // The log first, as there must be none without a list.
            None => self.unmake(name),
        };
        restored.map_err(|(operation, error)| self.io(operation, &file_of(name), error))
    }

    /// Removes all files of a list.
    fn unmake(&mut self, name: &ListName) -> Result<(), Failed> {
        // The log first, as there must be none without a list.
        [log_of(name), file_of(name), draft_of(name)]
            .iter()
            .try_for_each(|file| self.disk.remove(file))
            .and_then(|()| self.disk.sync_directory())
            .map_err(|error| ("take back", error))?;
        self.files.remove(name);
        Ok(())
    }

    fn rewrite(&mut self, name: &ListName, generation: u64, list: &List) -> Result<(), Failed> {
        let length = self.draft(name, generation, list.enabled, list.entries.iter())?;
        self.put(name)?;
        // It may have the edit that failed.
        let removed = self.disk.remove(&log_of(name));
        removed
            .and_then(|()| self.disk.sync_directory())
            .map_err(|error| ("remove the log of", error))?;
        self.settled(name, length);
        Ok(())
    }

    /// Writes a list's file beside the one there is; tells its length.
    fn draft<'a>(
        &mut self,
        name: &ListName,
        generation: u64,
        enabled: bool,
        entries: impl Iterator<Item = (&'a Key, &'a Attributes)>,
    ) -> Result<u64, Failed> {
        let draft = draft_of(name);
        let disk = &mut self.disk;
        let write = || {
            disk.create(&draft)
                .map_err(|error| ("create a draft of", error))?;
            let length = snapshot::encode(name, generation, enabled, entries, |p| disk.write(p))
                .map_err(|error| ("write a draft of", error))?;
            disk.sync().map_err(|error| ("sync a draft of", error))?;
            Ok(length)
        };
        write().inspect_err(|_| {
            // On a full disk it would be in the way; else it is litter.
            let _ = self.disk.remove(&draft);
        })
    }

    /// Puts the draft in the place of a list's file.
    fn put(&mut self, name: &ListName) -> Result<(), Failed> {
        self.disk
            .rename(&draft_of(name), &file_of(name))
            .map_err(|error| ("put a draft in the place of", error))?;
        self.disk
            .sync_directory()
            .map_err(|error| ("sync the directory of", error))
    }

    /// A list's file has been written, and there is no log.
    fn settled(&mut self, name: &ListName, snapshot: u64) {
        let files = Files {
            snapshot,
            ..Files::default()
        };
        self.files.insert(name.clone(), files);
    }
}
