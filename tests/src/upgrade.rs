//! `weir upgrade`, and the daemons that it leaves behind.

use std::mem;

use nix::sys::signal::Signal;

use crate::{daemon::Weir, process::Process, said::Said, wait::until};

impl Weir {
    /// `weir upgrade`, whatever comes of it; the daemon is the same still if it fails.
    #[must_use]
    pub fn try_upgrade(&self) -> Said {
        Process::adopt_orphans();
        Said::of(&self.command(&["upgrade"]))
    }

    /// `weir upgrade`: the daemon is another process from now on, with the output of the one
    /// before, which ends when its connections do.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn upgrade(&mut self) {
        let said = self.try_upgrade();
        assert_eq!(said.code, Some(0), "{said:?}\n{}", self.output());
        let new = self.status()["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok());
        let new = Process::grandchild(new.unwrap_or_else(|| panic!("no pid in the status")));
        let old = mem::replace(&mut self.process, new);
        assert_ne!(old.id(), self.pid(), "it is the same process still");
        self.retired.push(old);
    }

    /// Daemons that were upgraded, and have not ended yet.
    ///
    /// # Panics
    ///
    /// When one has failed.
    #[track_caller]
    pub fn draining(&mut self) -> usize {
        let mut failed = Vec::new();
        self.retired.retain_mut(|process| match process.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                failed
                    .extend((!status.success()).then(|| format!("pid {}: {status}", process.id())));
                false
            }
            Err(error) => panic!("pid {}: {error}", process.id()),
        });
        assert!(failed.is_empty(), "{failed:?}\n{}", self.output());
        self.retired.len()
    }

    /// Kills those that are left of them.
    pub(crate) fn kill_retired(&mut self) {
        for mut process in self.retired.drain(..) {
            crate::daemon::send(&process, Signal::SIGKILL).ok();
            process.wait().ok();
        }
    }

    /// Waits until all of them have ended.
    ///
    /// # Panics
    ///
    /// When they do not, or one has failed.
    #[track_caller]
    pub fn drained(&mut self) {
        until(crate::daemon::STOP, "the end of the daemons before", || {
            self.draining() == 0
        });
    }
}
