//! A worker: one thread, one current-thread runtime, its own listeners, its own heartbeat.

use std::{io, net::TcpListener, rc::Rc, sync::Arc, thread, time::Duration};

use tokio::{
    sync::{oneshot, watch},
    task::LocalSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    dataplane::Heartbeats,
    listener::{Accepted, Listener},
    observe::Seldom,
    reason::Reason,
    session::{self, Shared},
};

/// Wait after an `accept` that failed for want of something that takes time to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// While draining, handshakes that began before may still complete: accept until none has for
/// this long.
const LAST_HANDSHAKES: Duration = Duration::from_millis(300);

/// How long a worker's thread may take to end when its work is done.
const JOIN: Duration = Duration::from_secs(1);

/// What a worker is given.
pub(super) struct Assignment {
    pub(super) index: u32,
    pub(super) listeners: Vec<TcpListener>,
    pub(super) heartbeats: Heartbeats,
    /// A heartbeat is written this often.
    pub(super) beat: Duration,
    /// What new connections begin with; replaced by a reload.
    pub(super) shared: watch::Receiver<Arc<Shared>>,
}

/// A running worker.
pub(super) struct Worker {
    /// Cancelled when its listeners have been handed over.
    retired: CancellationToken,
    /// Resolves when the worker has nothing left to do, after a drain.
    pub(super) done: oneshot::Receiver<()>,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Worker {
    /// Starts a worker in the calling thread's network namespace.
    pub(super) fn start(assignment: Assignment) -> io::Result<Self> {
        let (finished, done) = oneshot::channel();
        let retired = CancellationToken::new();
        let is_retired = retired.clone();
        let thread = thread::Builder::new()
            .name(format!("worker-{}", assignment.index))
            .spawn(move || {
                let result = run(assignment, is_retired);
                let _ = finished.send(());
                result
            })?;
        Ok(Self {
            retired,
            done,
            thread,
        })
    }

    /// Another process has the listeners: nothing is accepted here any more, and no heartbeat
    /// written. What is under way goes on.
    pub(super) fn retire(&self) {
        self.retired.cancel();
    }

    /// Waits for the thread, which should have nothing left to do. One that hangs goes with the
    /// process.
    pub(super) fn join(self) {
        let started = std::time::Instant::now();
        while !self.thread.is_finished() {
            if started.elapsed() > JOIN {
                return tracing::error!("a worker does not end");
            }
            thread::sleep(Duration::from_millis(5));
        }
        match self.thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a worker failed"),
            Err(_) => tracing::error!("a worker panicked"),
        }
    }
}

fn run(assignment: Assignment, retired: CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    let Assignment {
        index,
        listeners,
        heartbeats,
        beat,
        shared,
    } = assignment;
    let result = local.block_on(&runtime, async move {
        let until_retired = retired.clone();
        let stats = Arc::clone(&shared.borrow().stats);
        let pulse = tokio::task::spawn_local(until_retired.run_until_cancelled_owned(async move {
            let mut ticks = interval(beat);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let due = ticks.tick().await;
                heartbeats.beat(index);
                stats.late(due.elapsed());
            }
        }));
        let sessions = Rc::new(TaskTracker::new());
        let mut acceptors = Vec::new();
        for socket in listeners {
            let listener = Listener::new(socket)?;
            let acceptor = Acceptor {
                listener,
                shared: shared.clone(),
                sessions: Rc::clone(&sessions),
                retired: retired.clone(),
            };
            acceptors.push(tokio::task::spawn_local(acceptor.run()));
        }
        for acceptor in acceptors {
            let _ = acceptor.await;
        }
        sessions.close();
        let cut = shared.borrow().cut.clone();
        tokio::select! {
            () = sessions.wait() => {}
            () = async { cut.cancelled().await; sleep(LAST_HANDSHAKES).await } => {}
        }
        pulse.abort();
        Ok(())
    });
    // A resolver that has not answered yet is not waited for.
    runtime.shutdown_background();
    result
}

struct Acceptor {
    listener: Listener,
    shared: watch::Receiver<Arc<Shared>>,
    sessions: Rc<TaskTracker>,
    retired: CancellationToken,
}

impl Acceptor {
    /// Accepts until the daemon drains and no handshake is left, or another process goes on.
    async fn run(self) {
        let drain = self.shared.borrow().drain.clone();
        loop {
            tokio::select! {
                biased;
                () = self.retired.cancelled() => return,
                accepted = self.listener.accept() => {
                    self.room().await;
                    self.take(accepted).await;
                }
                () = drain.cancelled() => break,
            }
        }
        let mut deadline = Instant::now() + LAST_HANDSHAKES;
        while let Ok(accepted) = timeout_at(deadline, self.listener.accept()).await {
            deadline = Instant::now() + LAST_HANDSHAKES;
            self.take(accepted).await;
        }
    }

    /// Waits until there is room for one more connection, if those beyond the limit are to wait:
    /// the first of them here, the others to be accepted.
    async fn room(&self) {
        loop {
            {
                let shared = self.shared.borrow();
                if !shared.queue || shared.stats.active() < shared.connections as u64 {
                    return;
                }
            }
            sleep(ACCEPT_PAUSE).await;
        }
    }

    async fn take(&self, accepted: io::Result<Accepted>) {
        match accepted {
            Ok(accepted) => self.begin(accepted),
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    static TOLD: Seldom = Seldom::new(1);
                    if let Some(held_back) = TOLD.pass() {
                        tracing::warn!(%error, held_back, "cannot accept");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
                // Of that one connection alone.
                _ => tracing::debug!(%error, "accept"),
            },
        }
    }

    fn begin(&self, accepted: Accepted) {
        let shared = Arc::clone(&self.shared.borrow());
        shared.stats.accepted();
        if self.listener.is_own(accepted.origin) {
            tracing::debug!(client = %accepted.client, "connected to the listener itself");
            shared.stats.ended(Reason::OwnListener);
            return;
        }
        let active = shared.stats.active();
        // Listeners that saw room at the same time may be one too many each.
        if active >= shared.connections as u64 && !shared.queue {
            self.sessions
                .spawn_local(session::decline(accepted, shared, Reason::Overload));
            return;
        }
        if active + 1 >= shared.relief {
            shared.pressure.notify_one();
        }
        self.sessions.spawn_local(session::serve(accepted, shared));
    }
}
