//! A thread of the daemon that hangs, while the others go on.

use std::{
    fs,
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    sys::{
        ptrace::{self, Options},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

use crate::wait::until_some;

/// It hangs until this is dropped.
#[derive(Debug)]
pub struct HeldThread {
    release: Option<Sender<()>>,
    tracer: Option<JoinHandle<()>>,
}

impl HeldThread {
    /// Has the thread of that name hang.
    ///
    /// # Panics
    ///
    /// When there is none, or it may not be traced.
    #[must_use]
    pub fn of(pid: u32, name: &str) -> Self {
        let thread = until_some(Duration::from_secs(5), name, || find(pid, name));
        let (held, is_held) = channel();
        let (release, released) = channel();
        // Whoever began to trace is who has to end it.
        let tracer = thread::spawn(move || {
            let begun = ptrace::seize(thread, Options::empty())
                .and_then(|()| ptrace::interrupt(thread))
                .and_then(|()| waitpid(thread, Some(WaitPidFlag::__WALL)));
            let _ = held.send(begun);
            let _ = released.recv();
            let _ = ptrace::detach(thread, None);
        });
        let begun = is_held.recv().unwrap_or_else(|error| panic!("{error}"));
        begun.unwrap_or_else(|errno| panic!("tracing {name} of pid {pid}: {errno}"));
        Self {
            release: Some(release),
            tracer: Some(tracer),
        }
    }
}

impl Drop for HeldThread {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(tracer) = self.tracer.take() {
            let _ = tracer.join();
        }
    }
}

fn find(pid: u32, name: &str) -> Option<Pid> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut threads = threads.filter_map(|it| Some(it.ok()?.path()));
    let found = threads
        .find(|it| fs::read_to_string(it.join("comm")).is_ok_and(|comm| comm.trim_end() == name))?;
    let number = found.file_name()?.to_str()?.parse().ok()?;
    Some(Pid::from_raw(number))
}
