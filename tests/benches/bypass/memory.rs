//! What something costs in memory while it goes on.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

const SAMPLE: Duration = Duration::from_millis(2);

/// The kernel gives memory back some time after it was let go of: how long to see nothing more
/// of that, and how long at most to wait for it.
const QUIET: Duration = Duration::from_millis(400);
const QUIET_WITHIN: u32 = 20;

/// The most that was taken meanwhile, in octets. What is not this process's own is also taken
/// and given back by whoever else runs on the machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    /// This process's anonymous memory.
    pub(crate) process: u64,
    /// The kernel's small objects.
    pub(crate) slab: u64,
    /// Everything.
    pub(crate) machine: u64,
}

/// Runs `work` and watches.
pub(crate) fn watch<T>(work: impl FnOnce() -> T) -> (T, Peak) {
    settle();
    let done = AtomicBool::new(false);
    let before = Taken::now();
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = Peak::default();
            while !done.load(Ordering::Relaxed) {
                let now = Taken::now();
                peak.process = peak.process.max(now.process.saturating_sub(before.process));
                peak.slab = peak.slab.max(now.slab.saturating_sub(before.slab));
                let machine = before.available.saturating_sub(now.available);
                peak.machine = peak.machine.max(machine);
                thread::sleep(SAMPLE);
            }
            peak
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, watcher.join().expect("the watcher"))
    })
}

struct Taken {
    process: u64,
    slab: u64,
    available: u64,
}

impl Taken {
    fn now() -> Self {
        Self {
            process: field("/proc/self/status", "RssAnon:"),
            slab: field("/proc/meminfo", "Slab:"),
            available: available(),
        }
    }
}

fn settle() {
    let mut before = available();
    for _ in 0..QUIET_WITHIN {
        thread::sleep(QUIET);
        let now = available();
        if now.abs_diff(before) < 2 << 20 {
            return;
        }
        before = now;
    }
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
