//! What the keeper reacts to: calls, changes of the network, ticks, signals.

use std::{collections::VecDeque, mem, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::{
    net::UnixStream,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::{self, Interval, MissedTickBehavior, interval},
};

use super::{keeper::Keeper, service::Watchdog};
use crate::{
    control::{Answer, Call, Calls, Exporter, Groups, Request, Server, Watcher},
    netconf::watch::Changes,
};

/// How often counters are looked at.
const TICK: Duration = Duration::from_millis(100);

/// What the keeper reacts to.
pub(super) struct Inputs {
    pub(super) asked: Asked,
    pub(super) successors: mpsc::Receiver<UnixStream>,
    pub(super) watchers: mpsc::Receiver<Watcher>,
    pub(super) changes: Arc<Changes>,
    /// When changes of the network will have settled, if there are some.
    pub(super) settled: Option<time::Instant>,
    pub(super) ticks: Interval,
    pub(super) signals: Signals,
    pub(super) watchdog: Watchdog,
    gate: Gate,
    server: Server,
}

/// What is asked for.
pub(super) struct Asked {
    calls: mpsc::Receiver<Call>,
    /// What was asked for while another process was taking over.
    waiting: VecDeque<Call>,
}

impl Asked {
    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Call> {
        match self.waiting.pop_front() {
            Some(call) => Some(call),
            None => self.calls.recv().await,
        }
    }
}

/// What the control socket is made with.
struct Gate {
    calls: Calls,
    groups: Groups,
}

impl Gate {
    fn open(&self, run_dir: &Path) -> Result<Server> {
        Server::start(run_dir, self.calls.clone(), self.groups)
            .with_context(|| format!("cannot listen in {}", run_dir.display()))
    }
}

/// Caught from the beginning, so that a signal during the start is not the end of a process that
/// has changed half of the host.
pub(super) struct Signals {
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
    pub(super) hangup: Signal,
    pub(super) reopen: Signal,
}

impl Signals {
    pub(super) fn catch() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }
}

impl Inputs {
    /// Listens in `run_dir`.
    pub(super) fn new(
        changes: Arc<Changes>,
        signals: Signals,
        watchdog: Watchdog,
        run_dir: &Path,
        groups: Groups,
    ) -> Result<Self> {
        let (requests, calls) = mpsc::channel(16);
        let (next, successors) = mpsc::channel(1);
        let (watch, watchers) = mpsc::channel(1);
        let calls_in = Calls {
            requests,
            successors: next,
            watchers: watch,
        };
        let gate = Gate {
            calls: calls_in,
            groups,
        };
        let server = gate.open(run_dir)?;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            asked: Asked {
                calls,
                waiting: VecDeque::new(),
            },
            successors,
            watchers,
            changes,
            settled: None,
            ticks,
            signals,
            watchdog,
            gate,
            server,
        })
    }

    /// An exporter that asks here.
    pub(super) fn exporter(&self) -> Exporter {
        Exporter::new(self.gate.calls.requests.clone())
    }

    /// Puts a new control socket in the place of one that another process has made.
    pub(super) fn serve_again(&mut self, run_dir: &Path) -> Result<()> {
        if !self.server.is_in_place() {
            let before = mem::replace(&mut self.server, self.gate.open(run_dir)?);
            tokio::spawn(before.retire());
        }
        Ok(())
    }

    /// Takes one thing in while another process takes over: it is still answered what is
    /// happening, the rest waits. True for SIGTERM and SIGINT.
    pub(super) async fn while_handing_over(&mut self, keeper: &Keeper) -> bool {
        tokio::select! {
            _ = self.signals.terminate.recv() => true,
            _ = self.signals.interrupt.recv() => true,
            () = self.watchdog.due() => {
                self.watchdog.feed(keeper);
                false
            }
            Some((request, reply)) = self.asked.calls.recv() => {
                match keeper.look(&request) {
                    Some(answer) => {
                        let _ = reply.send(answer);
                    }
                    None => self.asked.waiting.push_back((request, reply)),
                }
                false
            }
        }
    }

    /// Takes one thing in while the daemon drains: it still answers, but takes no more edits.
    /// True for another SIGTERM or SIGINT.
    pub(super) async fn while_stopping(&mut self, keeper: &Keeper) -> bool {
        tokio::select! {
            _ = self.signals.terminate.recv() => true,
            _ = self.signals.interrupt.recv() => true,
            Some(watcher) = self.watchers.recv() => {
                let _ = watcher.reply.send(Answer::failed("the daemon is stopping"));
                false
            }
            () = self.watchdog.due() => {
                self.watchdog.feed(keeper);
                false
            }
            Some((request, reply)) = self.asked.next() => {
                let _ = reply.send(match keeper.look(&request) {
                    Some(answer) => answer,
                    None if matches!(request, Request::Stop) => Answer::Done(Value::Null),
                    None => Answer::failed("the daemon is stopping"),
                });
                false
            }
        }
    }

    /// Sends those who ask to the process that has taken over, from a task that ends when all have
    /// been, and keeps the signals.
    pub(super) fn retire(self) -> (Signals, JoinHandle<()>) {
        let Self {
            mut asked,
            mut watchers,
            signals,
            server,
            ..
        } = self;
        let answered = tokio::spawn(async move {
            let answer = async {
                while let Some((_, reply)) = asked.next().await {
                    let _ = reply.send(Answer::moved());
                }
            };
            let turn_away = async {
                while let Some(watcher) = watchers.recv().await {
                    let _ = watcher.reply.send(Answer::moved());
                }
            };
            tokio::join!(server.retire(), answer, turn_away);
        });
        (signals, answered)
    }
}

impl Signals {
    /// SIGTERM or SIGINT.
    pub(super) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
