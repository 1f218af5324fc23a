//! A process that is this one's child, or has become so when its parent ended.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
};

use nix::{
    sys::{
        prctl,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// The process of a daemon.
#[derive(Debug)]
pub(crate) enum Process {
    /// Started here.
    Child(Child),
    /// Started by a child that has ended, and how it ended, if that has been asked for.
    Grandchild(Pid, Option<ExitStatus>),
}

impl Process {
    /// Has orphans of this process's children become its own children, from now on.
    ///
    /// # Panics
    ///
    /// When the kernel does not do that.
    pub(crate) fn adopt_orphans() {
        prctl::set_child_subreaper(true).unwrap_or_else(|errno| panic!("subreaper: {errno}"));
    }

    pub(crate) fn grandchild(pid: u32) -> Self {
        let pid = i32::try_from(pid).unwrap_or_else(|error| panic!("{pid}: {error}"));
        Self::Grandchild(Pid::from_raw(pid), None)
    }

    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Child(child) => child.id(),
            Self::Grandchild(pid, _) => pid.as_raw().unsigned_abs(),
        }
    }

    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.wait_for(WaitPidFlag::WNOHANG)
    }

    pub(crate) fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.wait_for(WaitPidFlag::empty())
    }

    fn wait_for(&mut self, flags: WaitPidFlag) -> io::Result<Option<ExitStatus>> {
        match self {
            Self::Child(child) if flags.is_empty() => child.wait().map(Some),
            Self::Child(child) => child.try_wait(),
            Self::Grandchild(_, Some(status)) => Ok(Some(*status)),
            Self::Grandchild(pid, ended) => {
                *ended = match waitpid(*pid, Some(flags))? {
                    WaitStatus::Exited(_, code) => Some(ExitStatus::from_raw(code << 8)),
                    WaitStatus::Signaled(_, signal, _) => Some(ExitStatus::from_raw(signal as i32)),
                    _ => None,
                };
                Ok(*ended)
            }
        }
    }
}
