//! The user that the daemon becomes.

use std::{
    ffi::CString,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use caps::{CapSet, Capability};
use nix::{
    errno::Errno,
    fcntl::{self, AtFlags, OFlag},
    sys::stat::Mode,
    unistd::{Gid, Uid, User, fchownat, getegid, geteuid, getgrouplist, getgroups},
    unistd::{setegid, seteuid, setgroups},
};

use crate::{config::Security, control::Groups, fault::Fault};

/// The user that it becomes where there is one and nothing else is said.
const USUAL: &str = "weir";

/// In whose directory others may make files of their own, but not touch each other's.
const SHARED: u32 = 0o1775;

/// A user that this process is not, and can become.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Identity {
    pub(super) name: String,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// Supplementary groups: its own, and those that may talk to the daemon, since only a member
    /// can give the control socket to a group.
    pub(super) groups: Vec<Gid>,
}

impl Identity {
    /// The one that the configuration means; `None` if this process stays who it is.
    pub(in crate::daemon) fn find(
        security: &Security,
        groups: Groups,
    ) -> Result<Option<Self>, Fault> {
        let wanted = security.user.as_deref();
        let name = wanted.unwrap_or(USUAL);
        let user = User::from_name(name).map_err(|error| {
            Fault::HostCannot(format!(
                "cannot look user {name} up (security.user): {error}"
            ))
        })?;
        let Some(user) = user else {
            return match wanted {
                None => Ok(None),
                Some(_) => Err(Fault::Usage(format!(
                    "security.user: this host has no user {name}; `useradd --system {name}` makes \
                     one"
                ))),
            };
        };
        if user.uid.is_root() || user.uid == geteuid() {
            return Ok(None);
        }
        let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
        let may = has(Capability::CAP_SETUID) && has(Capability::CAP_SETGID);
        match (may, wanted) {
            (true, _) => Ok(Some(Self::of(user, groups))),
            (false, None) => Ok(None),
            (false, Some(_)) => Err(Fault::NotPermitted(format!(
                "not permitted to become user {name} (security.user): CAP_SETUID and CAP_SETGID \
                 are needed"
            ))),
        }
    }

    fn of(user: User, groups: Groups) -> Self {
        let name = CString::new(user.name.as_bytes()).unwrap_or_default();
        let mut all = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
        all.extend(groups.all());
        all.sort_unstable_by_key(|group| group.as_raw());
        all.dedup();
        Self {
            name: user.name,
            uid: user.uid,
            gid: user.gid,
            groups: all,
        }
    }

    /// The owner of a directory, if that is somebody else than this process.
    pub(in crate::daemon) fn owner_of(directory: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(directory).ok()?;
        let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
        let strange = metadata.is_dir() && geteuid().is_root() && !uid.is_root();
        strange.then(|| Self {
            name: uid.to_string(),
            uid,
            gid,
            groups: vec![gid],
        })
    }

    /// Does something with the rights of this user, and files that it makes are its own. The
    /// process must have no other threads.
    pub(in crate::daemon) fn act<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let _actor = Actor::dress(self)
            .with_context(|| format!("cannot act as user {} (security.user)", self.name))?;
        Ok(work())
    }

    /// Lets this user make files in a directory of root's, and none but its own be touched by it.
    pub(in crate::daemon) fn admit(&self, directory: &Path) -> Result<()> {
        let give = || {
            let directory = open(directory, OFlag::O_DIRECTORY)?;
            fchownat(&directory, "", None, Some(self.gid), AtFlags::AT_EMPTY_PATH)?;
            directory.set_permissions(Permissions::from_mode(SHARED))
        };
        give().with_context(|| self.cannot_have(directory))
    }

    /// Gives a directory and the files in it to this user.
    pub(in crate::daemon) fn give(&self, directory: &Path) -> Result<()> {
        let give = || {
            self.own(&open(directory, OFlag::O_DIRECTORY)?)?;
            for file in fs::read_dir(directory)? {
                self.own_file(&file?.path())?;
            }
            Ok::<_, io::Error>(())
        };
        give().with_context(|| self.cannot_have(directory))
    }

    /// Gives a file to this user, if it is there.
    ///
    /// Who can write to its directory may have made a link of it to another file: one that is
    /// symbolic is not followed, and one with a second name is nobody's to give.
    pub(in crate::daemon) fn own_file(&self, path: &Path) -> io::Result<()> {
        let file = match open(path, OFlag::O_PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let metadata = file.metadata()?;
        if metadata.is_symlink() || metadata.is_dir() || metadata.nlink() != 1 {
            return Ok(());
        }
        self.own(&file)
    }

    fn own(&self, file: &File) -> io::Result<()> {
        let (user, group) = (Some(self.uid), Some(self.gid));
        Ok(fchownat(file, "", user, group, AtFlags::AT_EMPTY_PATH)?)
    }

    fn cannot_have(&self, directory: &Path) -> String {
        let directory = directory.display();
        format!(
            "cannot give {directory} to user {} (security.user)",
            self.name
        )
    }
}

/// The standard library takes `O_PATH` for an access mode where the C library is musl.
fn open(path: &Path, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(fcntl::open(path, flags, Mode::empty())?.into())
}

/// This process as somebody else, until it is dropped.
struct Actor {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Actor {
    fn dress(identity: &Identity) -> Result<Self, Errno> {
        let own = Self {
            uid: geteuid(),
            gid: getegid(),
            groups: getgroups()?,
        };
        setgroups(&identity.groups)?;
        setegid(identity.gid)?;
        seteuid(identity.uid)?;
        Ok(own)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let undress = || {
            seteuid(self.uid)?;
            setegid(self.gid)?;
            setgroups(&self.groups)
        };
        // The saved IDs are root's still.
        if let Err(error) = undress() {
            tracing::error!(%error, "cannot become root again");
        }
    }
}
