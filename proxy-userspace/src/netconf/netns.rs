//! Network namespaces: which one we are in, and entering another.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::sched::{CloneFlags, setns};

/// Where iproute2 keeps named namespaces.
const NAMED: &str = "/run/netns";

/// The current thread's network namespace.
///
/// # Errors
///
/// If `/proc` is not there.
pub fn current() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

/// The number that identifies the current thread's network namespace while it exists.
///
/// # Errors
///
/// If `/proc` is not there.
pub fn current_id() -> io::Result<u64> {
    Ok(current()?.metadata()?.ino())
}

/// The file of the namespace called `name`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    Path::new(NAMED).join(name)
}

/// Moves the calling thread into the namespace called `name`. Threads that it starts afterwards
/// are in there too; others are not.
///
/// # Errors
///
/// If there is no such namespace, or `CAP_SYS_ADMIN` is missing.
pub fn enter(name: &str) -> io::Result<()> {
    setns(File::open(path(name))?, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

/// Moves the calling thread into the namespace with this [`current_id`], by its name or by a
/// process that is in it. `false` if there is neither: then it is gone.
///
/// # Errors
///
/// If `CAP_SYS_ADMIN` is missing.
pub fn enter_id(id: u64) -> io::Result<bool> {
    let entries = |directory| fs::read_dir(directory).into_iter().flatten().flatten();
    let named = entries(NAMED).map(|entry| entry.path());
    let lived_in = entries("/proc").map(|entry| entry.path().join("ns/net"));
    for path in named.chain(lived_in) {
        if let Ok(file) = File::open(path)
            && file.metadata().is_ok_and(|metadata| metadata.ino() == id)
        {
            setns(file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
            return Ok(true);
        }
    }
    Ok(false)
}
