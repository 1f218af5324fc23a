//! One daemon per instance name, and one per network namespace.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::warden::Warden;
use crate::{
    control,
    fault::Fault,
    netconf::{
        journal::{self, Journal},
        netns,
    },
};

/// How long a command that edits in place of a daemon may keep one from starting.
const EDIT: Duration = Duration::from_secs(2);

/// How often it is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(20);

/// How often the run directory may vanish before it is somebody's mistake.
const ATTEMPTS: u32 = 100;

/// The right to be this instance, and the only one in its network namespace.
///
/// Its locks are of the open files (`flock(2)`), not of the process: who is handed those holds
/// them, and they end when nobody has them open any more.
pub(super) struct Claim {
    run_dir: PathBuf,
    /// Held for as long as this lives.
    instance: File,
    /// Locks of network namespaces, with their files.
    namespaces: Vec<(PathBuf, File)>,
    /// Who removes its files, once this process may not.
    warden: Option<Arc<Warden>>,
}

impl Claim {
    /// Claims the instance and the calling thread's network namespace.
    pub(super) fn new(instance: &str) -> Result<Self> {
        check_name(instance)?;
        let run_dir = journal::run_dir(instance);
        let began = Instant::now();
        let claim = loop {
            if let Some(claim) = make(&run_dir, instance)? {
                break claim;
            }
            // Who is not listening may be a command that edits.
            if control::is_listening(&run_dir) || began.elapsed() > EDIT {
                bail!(
                    "instance {instance} is running already: `weir down --instance {instance}` \
                     ends it"
                );
            }
            thread::sleep(AGAIN);
        };
        let netns_lock = netns_lock(netns::current_id()?);
        let Some(netns) = lock(&netns_lock, instance, true)? else {
            let other = fs::read_to_string(&netns_lock).unwrap_or_default();
            // Nothing of ours may stay behind a refusal.
            remove_run_dir(&run_dir);
            drop(claim);
            bail!(
                "instance {other} is running in this network namespace: one weir per namespace; \
                 give that one all interfaces, or end it with `weir down --instance {other}`"
            );
        };
        Ok(Self {
            run_dir,
            instance: claim,
            namespaces: vec![(netns_lock, netns)],
            warden: None,
        })
    }

    /// Claims the instance for a command that does what a daemon would, but no network namespace.
    /// `None` if a daemon has it.
    pub(super) fn for_edit(instance: &str) -> Result<Option<Self>> {
        check_name(instance)?;
        let run_dir = journal::run_dir(instance);
        Ok(make(&run_dir, instance)?.map(|claim| Self {
            run_dir,
            instance: claim,
            namespaces: Vec::new(),
            warden: None,
        }))
    }

    /// Claims what a dead daemon of the instance left. `None` if it is not dead.
    pub(super) fn left_behind(instance: &str) -> Result<Option<Self>> {
        let run_dir = journal::run_dir(instance);
        let Some(claim) = lock(&run_dir.join("lock"), instance, false)? else {
            return Ok(None);
        };
        let mut namespaces = Vec::new();
        for netns in namespaces_of(instance) {
            let path = netns_lock(netns);
            if let Some(lock) = lock(&path, instance, false)? {
                namespaces.push((path, lock));
            }
        }
        Ok(Some(Self {
            run_dir,
            instance: claim,
            namespaces,
            warden: None,
        }))
    }

    /// The claim that another process of the instance has handed over: the lock of the instance,
    /// and that of this network namespace.
    pub(super) fn inherited(instance: &str, locks: [OwnedFd; 2]) -> Result<Self> {
        let [of_instance, of_netns] = locks.map(File::from);
        Ok(Self {
            run_dir: journal::run_dir(instance),
            instance: of_instance,
            namespaces: vec![(netns_lock(netns::current_id()?), of_netns)],
            warden: None,
        })
    }

    /// The locks, to be handed over. `None` if this is not a daemon's claim.
    pub(super) fn locks(&self) -> Option<[BorrowedFd<'_>; 2]> {
        let (_, netns) = self.namespaces.first()?;
        Some([self.instance.as_fd(), netns.as_fd()])
    }

    /// Where this instance keeps its journal and control socket.
    pub(super) fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Gives back what [`Claim::for_edit`] claimed, and removes what that made and no more: the
    /// next one may be making its own this moment.
    pub(super) fn release_edit(self) {
        if !Journal::is_there(&self.run_dir) {
            let _ = fs::remove_file(self.run_dir.join("lock"));
            let _ = fs::remove_dir(&self.run_dir);
            let _ = fs::remove_dir(journal::RUN);
        }
    }

    /// Has somebody else remove its files in the end.
    pub(super) fn entrust(&mut self, warden: Arc<Warden>) {
        self.warden = Some(warden);
    }

    /// Gives the claim back and removes its files: nothing is left of the instance.
    pub(super) fn release(self) {
        if let Some(warden) = &self.warden {
            if let Err(error) = warden.release() {
                tracing::warn!(
                    error = format!("{error:#}"),
                    path = %self.run_dir.display(),
                    "cannot remove the run directory; `weir down` does"
                );
            }
            return;
        }
        for (path, _lock) in &self.namespaces {
            let _ = fs::remove_file(path);
        }
        remove_run_dir(&self.run_dir);
    }
}

/// The instance's lock, and the run directory that it is in. `None` if somebody else has it.
fn make(run_dir: &Path, instance: &str) -> Result<Option<File>> {
    let mut attempts = 0;
    loop {
        let made = fs::create_dir_all(run_dir)
            .with_context(|| format!("cannot create {}", run_dir.display()))
            .and_then(|()| lock(&run_dir.join("lock"), instance, true));
        attempts += 1;
        match made {
            // Whoever had it has just removed the directory that we were about to use, perhaps
            // between being told that it is there and looking at it.
            Err(error) if attempts < ATTEMPTS && is_fleeting(&error) => {}
            made => return made,
        }
    }
}

fn is_fleeting(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, NotFound};
    let error = error.root_cause().downcast_ref::<io::Error>();
    error.is_some_and(|error| matches!(error.kind(), NotFound | AlreadyExists))
}

/// The network namespaces ([`netns::current_id`]) that the instance was the last to lock.
pub(super) fn namespaces_of(instance: &str) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(journal::RUN) else {
        return Vec::new();
    };
    let of_instance = |entry: fs::DirEntry| {
        let netns = entry
            .file_name()
            .to_str()?
            .strip_prefix(NETNS_LOCK)?
            .parse();
        let owner = fs::read_to_string(entry.path()).ok()?;
        netns.ok().filter(|_| owner == instance)
    };
    entries.flatten().filter_map(of_instance).collect()
}

/// Removes the lock that the instance, which the caller has claimed, left on a network namespace.
pub(super) fn forget_namespace(instance: &str, netns: u64) -> Result<()> {
    let path = netns_lock(netns);
    if path.exists()
        && let Some(_lock) = lock(&path, instance, false)?
    {
        let _ = fs::remove_file(&path);
    }
    Ok(())
}

/// Beginning of the name of a lock below [`journal::RUN`]; its content is an instance's name.
const NETNS_LOCK: &str = ".netns-";

fn netns_lock(netns: u64) -> PathBuf {
    Path::new(journal::RUN).join(format!("{NETNS_LOCK}{netns}"))
}

/// Instance names become directory names.
pub(super) fn check_name(instance: &str) -> Result<(), Fault> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if instance.is_empty()
        || instance.len() > 64
        || instance.starts_with('.')
        || !instance.chars().all(fine)
    {
        return Err(Fault::Usage(format!(
            "{instance:?} is no instance name: 1 to 64 letters, digits, `-`, `_` and `.`, not \
             beginning with `.`"
        )));
    }
    Ok(())
}

/// The lock, or `None` if somebody else has it, or if it is not there and not to be made. It
/// holds the instance's name.
fn lock(path: &Path, instance: &str, create: bool) -> Result<Option<File>> {
    loop {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(create)
            .truncate(false);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !create => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot open {}", path.display()));
            }
        };
        match file.try_lock() {
            // Whoever had it may have removed it before we locked what we had opened.
            Ok(()) if !is_still(path, &file) => {}
            Ok(()) => {
                let mut file = file;
                file.set_len(0)?;
                file.write_all(instance.as_bytes())?;
                return Ok(Some(file));
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

/// Whether `path` still names `file`.
fn is_still(path: &Path, file: &File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => named.ino() == open.ino() && named.dev() == open.dev(),
        _ => false,
    }
}

/// Removes the files of an instance that was in this network namespace.
pub(super) fn remove_files(instance: &str, netns: u64) {
    let _ = fs::remove_file(netns_lock(netns));
    remove_run_dir(&journal::run_dir(instance));
}

/// Removes the run directory, unless its journal says that there is something left to undo.
fn remove_run_dir(run_dir: &Path) {
    if Journal::is_there(run_dir) {
        return;
    }
    if let Err(error) = fs::remove_dir_all(run_dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %run_dir.display(), %error, "cannot remove the run directory");
    }
    // Gone with the last instance; fails while there are others.
    let _ = fs::remove_dir(journal::RUN);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_directory_names() {
        for good in ["default", "a", "lab-1.2_x"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".netns-1",
            "a/b",
            "a b",
            "ä",
            &"x".repeat(65),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
