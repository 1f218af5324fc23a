//! What the daemon's own memory costs while something goes on.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::daemon::Weir;

/// Shorter than any transfer that is worth watching.
const SAMPLE: Duration = Duration::from_millis(5);

impl Weir {
    /// The daemon's anonymous resident memory (`RssAnon`), in octets: what it has allocated and
    /// used, without the executable's pages and without the kernel's socket buffers.
    ///
    /// # Panics
    ///
    /// When the process is gone.
    #[track_caller]
    #[must_use]
    pub fn memory(&self) -> u64 {
        anonymous(self.pid()).unwrap_or_else(|| panic!("no memory:\n{}", self.output()))
    }

    /// Follows [`Weir::memory`] from now on.
    #[must_use]
    pub fn watch_memory(&self) -> MemoryWatch {
        let (pid, before) = (self.pid(), self.memory());
        let (highest, stop) = (Arc::new(AtomicU64::new(before)), Arc::default());
        let thread = thread::spawn({
            let (highest, stop) = (Arc::clone(&highest), Arc::clone(&stop));
            move || watch(pid, &highest, &stop)
        });
        MemoryWatch {
            before,
            highest,
            stop,
            thread: Some(thread),
        }
    }
}

/// The highest that the daemon's memory has been, against what it was at the beginning.
#[derive(Debug)]
pub struct MemoryWatch {
    before: u64,
    highest: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// By how many octets it has grown at most so far.
    #[must_use]
    pub fn growth(&self) -> u64 {
        self.highest.load(Ordering::Relaxed) - self.before
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(pid: u32, highest: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Some(now) = anonymous(pid) else { return };
        highest.fetch_max(now, Ordering::Relaxed);
        thread::sleep(SAMPLE);
    }
}

fn anonymous(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
