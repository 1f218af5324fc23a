//! A BPF file system of one's own that is mounted nowhere.
//!
//! Maps that are pinned there are found by everybody who is handed its descriptor, and by nobody
//! else, whatever mount namespace they are in; with the last descriptor the pins go.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    path::PathBuf,
    ptr,
};

const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;

/// The file system.
#[derive(Debug)]
pub struct Bpffs(OwnedFd);

impl Bpffs {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// As `fsopen(2)` and `fsmount(2)`: `EPERM` without `CAP_SYS_ADMIN`, `ENODEV` without
    /// `CONFIG_BPF_SYSCALL`.
    pub fn new() -> io::Result<Self> {
        // SAFETY: a string that ends with NUL, and flags.
        let context = descriptor(unsafe {
            libc::syscall(libc::SYS_fsopen, c"bpf".as_ptr(), FSOPEN_CLOEXEC)
        })?;
        // SAFETY: the command takes neither key nor value.
        let configured = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                context.as_raw_fd(),
                FSCONFIG_CMD_CREATE,
                ptr::null::<libc::c_char>(),
                ptr::null::<libc::c_void>(),
                0,
            )
        };
        if configured < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that is open for the call, and flags.
        descriptor(unsafe {
            libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0)
        })
        .map(Self)
    }

    /// Where a map of that name is pinned, or is to be; for this process alone, and while this
    /// lives.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()))
    }
}

impl From<OwnedFd> for Bpffs {
    fn from(mount: OwnedFd) -> Self {
        Self(mount)
    }
}

impl AsFd for Bpffs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it for us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
