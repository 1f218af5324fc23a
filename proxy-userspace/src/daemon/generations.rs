//! Earlier daemons of this instance, whose connections have not ended yet.

use std::{
    collections::HashMap,
    io::Write as _,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixStream as Stream,
    },
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::UnixStream,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::elsewhere::{Counted, Question};
use crate::sys::socket::has_hung_up;

/// So many may drain; if there is one more, the oldest is cut.
pub(super) const MOST: usize = 4;

/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(20);

/// How long one may take to end its connections when it is cut.
const CUT: Duration = Duration::from_secs(3);

/// How long one may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Them, the oldest first.
#[derive(Clone, Default)]
pub(super) struct Generations {
    list: Vec<Arc<Generation>>,
    /// What they have counted, also those that have ended.
    hits: Hits,
}

type Hits = Arc<Mutex<Vec<Counted>>>;

pub(super) struct Generation {
    pid: u32,
    since: Instant,
    heard: Arc<Heard>,
    /// The connection to it.
    stream: Stream,
    task: JoinHandle<()>,
}

/// What one has said.
#[derive(Default)]
struct Heard {
    active: AtomicU64,
    /// Where answers go, by what they are asked for with.
    asked: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    hits: Hits,
}

impl Heard {
    fn hear(&self, line: &str) {
        let Some((word, rest)) = line.split_once(' ') else {
            return;
        };
        match word {
            "active" => {
                if let Ok(number) = rest.parse() {
                    self.active.store(number, Relaxed);
                }
            }
            "answer" => {
                if let Some((tag, answer)) = rest.split_once(' ')
                    && let Some(asked) = lock(&self.asked).remove(tag)
                    && let Ok(answer) = serde_json::from_str(answer)
                {
                    let _ = asked.send(answer);
                }
            }
            "hits" => {
                if let Ok(counted) = serde_json::from_str::<Vec<Counted>>(rest) {
                    lock(&self.hits).extend(counted);
                }
            }
            // Of another version, or the rest of what was said to a daemon before this one.
            _ => {}
        }
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Generation {
    /// Connections that it has still, as it said last.
    pub(super) fn active(&self) -> u64 {
        self.heard.active.load(Relaxed)
    }

    /// What it says to that. `None` if it does not answer.
    pub(super) async fn ask(&self, question: &Question) -> Option<Value> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // What a daemon before this one has asked is not to be taken for it.
        let number = NUMBER.fetch_add(1, Relaxed);
        let tag = format!("{}.{number}", std::process::id());
        let (reply, answer) = oneshot::channel();
        lock(&self.heard.asked).insert(tag.clone(), reply);
        self.say(&format!(
            "ask {tag} {}",
            serde_json::to_string(question).ok()?
        ));
        let answer = timeout(ANSWER, answer).await;
        lock(&self.heard.asked).remove(&tag);
        answer.ok()?.ok()
    }

    fn new(pid: u32, stream: Stream, hits: Hits) -> Result<Self> {
        stream.set_nonblocking(true)?;
        let read = UnixStream::from_std(stream.try_clone()?)?;
        let heard = Arc::new(Heard {
            hits,
            ..Heard::default()
        });
        Ok(Self {
            pid,
            since: Instant::now(),
            heard: Arc::clone(&heard),
            stream,
            task: tokio::spawn(listen(read, heard)),
        })
    }

    /// And all that it has said is heard.
    fn has_ended(&self) -> bool {
        has_hung_up(&self.stream) && self.task.is_finished()
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

async fn listen(read: UnixStream, heard: Arc<Heard>) {
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        heard.hear(&line);
    }
}

impl Generations {
    /// Takes one on; if there are too many, the oldest is cut.
    pub(super) fn add(&mut self, pid: u32, stream: Stream) -> Result<()> {
        self.look();
        self.list.push(Arc::new(Generation::new(
            pid,
            stream,
            Arc::clone(&self.hits),
        )?));
        if self.list.len() > MOST {
            let oldest = self.list.remove(0);
            tracing::warn!(
                pid = oldest.pid,
                connections = oldest.active(),
                "too many earlier daemons drain: the oldest is cut"
            );
            oldest.say("cut too many daemons drain");
        }
        Ok(())
    }

    /// Forgets those that have ended.
    pub(super) fn look(&mut self) {
        self.list.retain(|generation| {
            if generation.has_ended() {
                tracing::info!(pid = generation.pid, "an earlier daemon has drained");
            }
            !generation.has_ended()
        });
    }

    /// Connections that they have still.
    pub(super) fn active(&self) -> u64 {
        self.list.iter().map(|it| it.active()).sum()
    }

    /// What each says to that, all at once.
    pub(super) async fn ask(&self, question: &Question) -> Vec<(Arc<Generation>, Option<Value>)> {
        let ask = |generation: &Arc<Generation>| {
            let (generation, question) = (Arc::clone(generation), question.clone());
            tokio::spawn(async move {
                let said = generation.ask(&question).await;
                (generation, said)
            })
        };
        let asked: Vec<_> = self.list.iter().map(ask).collect();
        let mut all = Vec::new();
        for task in asked {
            all.extend(task.await.ok());
        }
        all
    }

    /// What they have counted, once.
    pub(super) fn take_hits(&self) -> Vec<Counted> {
        std::mem::take(&mut *lock(&self.hits))
    }

    /// The connections to them, to be handed on.
    pub(super) fn streams(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        self.list.iter().map(|it| (it.pid, it.stream.as_fd()))
    }

    /// For `weir status`.
    pub(super) fn status(&self) -> Value {
        let one = |it: &Arc<Generation>| {
            json!({
                "pid": it.pid,
                "since_s": it.since.elapsed().as_secs(),
                "active": it.active(),
            })
        };
        self.list.iter().map(one).collect()
    }

    /// Has them end within `patience`.
    pub(super) async fn end(&self, patience: Duration) {
        let left = patience.as_millis();
        for generation in &self.list {
            generation.say(&format!("stop {left}"));
        }
        let _ = timeout(patience, self.ended()).await;
        for generation in self.list.iter().filter(|it| !it.has_ended()) {
            generation.say("cut drain deadline reached");
        }
        let _ = timeout(CUT, self.ended()).await;
    }

    async fn ended(&self) {
        while !self.list.iter().all(|it| it.has_ended()) {
            sleep(LOOK).await;
        }
    }
}
