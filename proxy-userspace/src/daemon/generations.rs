//! Earlier daemons of this instance, whose connections have not ended yet.

use std::{
    io::Write as _,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixStream as Stream,
    },
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::UnixStream,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::sys::socket::has_hung_up;

/// So many may drain; if there is one more, the oldest is cut.
pub(super) const MOST: usize = 4;

/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(20);

/// How long one may take to end its connections when it is cut.
const CUT: Duration = Duration::from_secs(3);

/// Them, the oldest first.
#[derive(Clone, Default)]
pub(super) struct Generations(Vec<Arc<Generation>>);

struct Generation {
    pid: u32,
    since: Instant,
    active: Arc<AtomicU64>,
    /// The connection to it.
    stream: Stream,
    task: JoinHandle<()>,
}

impl Generation {
    fn new(pid: u32, stream: Stream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        let read = UnixStream::from_std(stream.try_clone()?)?;
        let active = Arc::new(AtomicU64::default());
        Ok(Self {
            pid,
            since: Instant::now(),
            active: Arc::clone(&active),
            stream,
            task: tokio::spawn(listen(read, active)),
        })
    }

    fn has_ended(&self) -> bool {
        has_hung_up(&self.stream)
    }

    /// One that takes nothing in is one that ends, or hangs.
    fn say(&self, words: &str) {
        let _ = (&self.stream).write_all(format!("{words}\n").as_bytes());
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(read: UnixStream, active: Arc<AtomicU64>) {
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(number) = line.strip_prefix("active ").and_then(|it| it.parse().ok()) {
            active.store(number, Relaxed);
        }
    }
}

impl Generations {
    /// Takes one on; if there are too many, the oldest is cut.
    pub(super) fn add(&mut self, pid: u32, stream: Stream) -> Result<()> {
        self.look();
        self.0.push(Arc::new(Generation::new(pid, stream)?));
        if self.0.len() > MOST {
            let oldest = self.0.remove(0);
            tracing::warn!(
                pid = oldest.pid,
                connections = oldest.active.load(Relaxed),
                "too many earlier daemons drain: the oldest is cut"
            );
            oldest.say("cut too many daemons drain");
        }
        Ok(())
    }

    /// Forgets those that have ended.
    pub(super) fn look(&mut self) {
        self.0.retain(|generation| {
            if generation.has_ended() {
                tracing::info!(pid = generation.pid, "an earlier daemon has drained");
            }
            !generation.has_ended()
        });
    }

    /// Connections that they have still.
    pub(super) fn active(&self) -> u64 {
        let active = self.0.iter().map(|it| it.active.load(Relaxed));
        active.sum()
    }

    /// The connections to them, to be handed on.
    pub(super) fn streams(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        self.0.iter().map(|it| (it.pid, it.stream.as_fd()))
    }

    /// For `weir status`.
    pub(super) fn status(&self) -> Value {
        let one = |it: &Arc<Generation>| {
            json!({
                "pid": it.pid,
                "since_s": it.since.elapsed().as_secs(),
                "active": it.active.load(Relaxed),
            })
        };
        self.0.iter().map(one).collect()
    }

    /// Has them end within `patience`.
    pub(super) async fn end(&self, patience: Duration) {
        let left = patience.as_millis();
        for generation in &self.0 {
            generation.say(&format!("stop {left}"));
        }
        let _ = timeout(patience, self.ended()).await;
        for generation in self.0.iter().filter(|it| !it.has_ended()) {
            generation.say("cut drain deadline reached");
        }
        let _ = timeout(CUT, self.ended()).await;
    }

    async fn ended(&self) {
        while !self.0.iter().all(|it| it.has_ended()) {
            sleep(LOOK).await;
        }
    }
}
