//! What something costs in memory while it goes on.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

const SAMPLE: Duration = Duration::from_millis(2);

/// The most that was taken meanwhile, in octets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    /// This process's own: anonymous memory.
    pub(crate) process: u64,
    /// The machine's, whoever took it: others that run meanwhile count, too.
    pub(crate) machine: u64,
}

/// Runs `work` and watches.
pub(crate) fn watch<T>(work: impl FnOnce() -> T) -> (T, Peak) {
    let (process, machine) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        let (own, available) = (anonymous(), available());
        scope.spawn({
            let (process, machine, done) = (&process, &machine, &done);
            move || {
                while !done.load(Ordering::Relaxed) {
                    process.fetch_max(anonymous().saturating_sub(own), Ordering::Relaxed);
                    machine.fetch_max(
                        available.saturating_sub(self::available()),
                        Ordering::Relaxed,
                    );
                    thread::sleep(SAMPLE);
                }
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    });
    let peak = Peak {
        process: process.into_inner(),
        machine: machine.into_inner(),
    };
    (result, peak)
}

fn anonymous() -> u64 {
    field("/proc/self/status", "RssAnon:")
}

fn available() -> u64 {
    field("/proc/meminfo", "MemAvailable:")
}

fn field(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.unwrap_or(0) * 1024
}
