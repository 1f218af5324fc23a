//! Network namespaces: which one we are in, and entering another.

use std::{
    collections::BTreeMap,
    ffi::CStr,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::{
    net::if_::if_nameindex,
    sched::{CloneFlags, setns},
};

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
    let Some(namespace) = all().remove(&id) else {
        return Ok(false);
    };
    namespace.enter().map(|()| true)
}

/// A network namespace.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Moves the calling thread into it.
    ///
    /// # Errors
    ///
    /// If `CAP_SYS_ADMIN` is missing.
    pub fn enter(&self) -> io::Result<()> {
        setns(&self.0, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
    }
}

/// The namespaces that have a name or a process, but for the calling thread's.
#[must_use]
pub fn others() -> Vec<Namespace> {
    let mut others = all();
    if let Ok(id) = current_id() {
        others.remove(&id);
    }
    others.into_values().collect()
}

/// By their [`current_id`].
fn all() -> BTreeMap<u64, Namespace> {
    let entries = |directory| fs::read_dir(directory).into_iter().flatten().flatten();
    let named = entries(NAMED).map(|entry| entry.path());
    let lived_in = entries("/proc").map(|entry| entry.path().join("ns/net"));
    // What is no namespace's file has a number too, of another device.
    let Ok(device) = current()
        .and_then(|own| own.metadata())
        .map(|own| own.dev())
    else {
        return BTreeMap::new();
    };
    let mut all = BTreeMap::new();
    for path in named.chain(lived_in) {
        if let Ok(file) = File::open(path)
            && let Ok(metadata) = file.metadata()
            && metadata.dev() == device
        {
            all.entry(metadata.ino()).or_insert(Namespace(file));
        }
    }
    all
}

/// Name and index of the links in the calling thread's namespace; none if it cannot be asked.
#[must_use]
pub fn links() -> Vec<(String, u32)> {
    let Ok(links) = if_nameindex() else {
        return Vec::new();
    };
    let name = |name: &CStr| name.to_string_lossy().into_owned();
    let links = links.iter().map(|link| (name(link.name()), link.index()));
    links.collect()
}
