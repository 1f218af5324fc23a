//! The single writer of kernel state: every edit, event and tick passes here, one at a time.

use std::time::{Duration, Instant};

use anyhow::Result;
use proxy_ebpf::{counter::Event, verdict::Reason};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    Options,
    instance::Claim,
    interfaces::Interfaces,
    settings::{self, Lasting},
    status, stop,
    valve::{Sample, Valve},
    worker::Worker,
};
use crate::{
    bypass::{Set, Store},
    control::{Answer, Call, Request, Server},
    dataplane::{Dataplane, attach::ListenLink},
    netconf::{Handle, delivery::Plan, journal::Journal, watch::Change},
    session::Shared,
};

/// How often counters are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Changes of the network come in bursts; they are taken in together.
const SETTLE: Duration = Duration::from_millis(20);

/// The daemon's state.
pub(super) struct Keeper {
    pub(super) options: Options,
    pub(super) dataplane: Dataplane,
    pub(super) set: Set,
    pub(super) store: Store,
    pub(super) handle: Handle,
    pub(super) interfaces: Interfaces,
    pub(super) plan: Plan,
    /// 4 and 6, as far as they are wanted and on.
    pub(super) families: Vec<u8>,
    pub(super) workers: u32,
    pub(super) journal: Journal,
    pub(super) lasting: Lasting,
    pub(super) shared: Option<watch::Sender<std::sync::Arc<Shared>>>,
    pub(super) listen: Option<ListenLink>,
    pub(super) valve: Valve,
    /// The limit in force.
    pub(super) connections: usize,
    pub(super) started: Instant,
}

/// A daemon that intercepts.
pub(super) struct Running {
    pub(super) keeper: Keeper,
    pub(super) inputs: Inputs,
    pub(super) workers: Vec<Worker>,
    pub(super) claim: Claim,
}

/// What the keeper reacts to.
pub(super) struct Inputs {
    calls: mpsc::Receiver<Call>,
    changes: mpsc::Receiver<Change>,
    ticks: Interval,
    signals: Signals,
    _server: Server,
}

/// Caught from the beginning, so that a signal during the start is not the end of a process that
/// has changed half of the host.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
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
    pub(super) fn new(
        calls: mpsc::Receiver<Call>,
        changes: mpsc::Receiver<Change>,
        server: Server,
        signals: Signals,
    ) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            calls,
            changes,
            ticks,
            signals,
            _server: server,
        }
    }

    /// SIGTERM or SIGINT. Meanwhile commands are answered: the daemon is stopping.
    pub(super) async fn told_to_stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.signals.terminate.recv() => return,
                _ = self.signals.interrupt.recv() => return,
                Some((request, reply)) = self.calls.recv() => {
                    let _ = reply.send(match request {
                        Request::Stop => Answer::Done(serde_json::Value::Null),
                        _ => Answer::failed("the daemon is stopping"),
                    });
                }
            }
        }
    }
}

impl Running {
    /// Runs until it is told to stop, then undoes everything.
    pub(super) async fn run(mut self) -> Result<()> {
        status::announce(&self.keeper);
        while self.keeper.step(&mut self.inputs).await {}
        stop::stop(self).await
    }
}

impl Keeper {
    /// Reacts to one thing. False when that was the word to stop.
    async fn step(&mut self, inputs: &mut Inputs) -> bool {
        tokio::select! {
            _ = inputs.ticks.tick() => self.tick(),
            Some((request, reply)) = inputs.calls.recv() => {
                let stop = matches!(request, Request::Stop);
                let _ = reply.send(self.answer(request));
                return !stop;
            }
            Some(change) = inputs.changes.recv() => {
                let mut changes = vec![change];
                tokio::time::sleep(SETTLE).await;
                while let Ok(change) = inputs.changes.try_recv() {
                    changes.push(change);
                }
                self.network_changed(changes).await;
            }
            _ = inputs.signals.hangup.recv() => match self.reload() {
                Ok(()) => tracing::info!("configuration reloaded"),
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "configuration not reloaded, the old one stays"
                ),
            },
            _ = inputs.signals.reopen.recv() => self.lasting.log.reopen(),
            _ = inputs.signals.terminate.recv() => return false,
            _ = inputs.signals.interrupt.recv() => return false,
        }
        true
    }

    fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::Status => match status::status(self) {
                Ok(status) => Answer::Done(status),
                Err(error) => Answer::failed(error),
            },
            Request::BypassList => self.bypass_list(),
            Request::BypassAdd { entries } => self.bypass_add(entries),
            Request::BypassDel { entries } => self.bypass_del(entries),
            Request::Reload => match self.reload() {
                Ok(()) => Answer::Done(serde_json::Value::Null),
                Err(error) => Answer::refused(format!("{error:#}")),
            },
            Request::Stop => Answer::Done(serde_json::Value::Null),
        }
    }

    fn reload(&mut self) -> Result<()> {
        let new = self.options.source.read()?;
        let old = &self.options.config;
        let fixed = old.unchangeable_differences(&new);
        if !fixed.is_empty() {
            anyhow::bail!(
                "cannot be changed while running, restart for it: {}",
                fixed.join(", ")
            );
        }
        if old.log.access != new.log.access {
            self.lasting.log.redirect(&settings::sink(&new))?;
        }
        if new.valve.enabled {
            self.valve.tolerate(new.valve.window);
        } else {
            self.valve = Valve::new(new.valve.window);
        }
        let mut kernel = settings::kernel(&new, &self.families, self.workers);
        kernel.valve = self.valve.reason().map_or(0, |reason| reason as u32);
        kernel.overload = self.dataplane.settings().overload;
        self.dataplane.set_settings(kernel)?;
        self.connections = super::preflight::connection_limit(new.limits.connections);
        if let Some(shared) = &self.shared {
            shared.send_replace(self.lasting.shared(&new, self.connections));
        }
        self.options.config = new;
        Ok(())
    }

    fn tick(&mut self) {
        let mut settings = *self.dataplane.settings();
        settings.overload = u32::from(self.overloaded(settings.overload != 0));
        if self.options.config.valve.enabled {
            self.look_at_valve();
            settings.valve = self.valve.reason().map_or(0, |reason| reason as u32);
        }
        if settings != *self.dataplane.settings()
            && let Err(error) = self.dataplane.set_settings(settings)
        {
            tracing::error!(%error, "cannot tell the kernel");
        }
    }

    /// Whether new flows should go direct: from 7/8 of the limit up, until 3/4 is reached again.
    fn overloaded(&self, already: bool) -> bool {
        let active = self.lasting.stats.active();
        let limit = self.connections as u64;
        let overloaded = if already {
            active > limit * 3 / 4
        } else {
            active >= limit * 7 / 8
        };
        if overloaded != already {
            tracing::warn!(
                active,
                limit,
                overloaded,
                "new flows go direct while overloaded"
            );
        }
        overloaded
    }

    fn look_at_valve(&mut self) {
        let Ok(counters) = self.dataplane.counters() else {
            return;
        };
        let pending = &self.lasting.pending;
        let sample = Sample {
            marked: counters.event(Event::SynMarked),
            delivered: counters.event(Event::SynDelivered),
            silent_origins: pending.silent_origins(self.options.config.valve.window),
            answered: self
                .valve
                .opened()
                .is_some_and(|then| pending.answered_since(then)),
        };
        if !self.valve.look(Instant::now(), sample) {
            return;
        }
        match self.valve.reason() {
            Some(reason) => {
                tracing::error!(
                    reason = reason.as_str(),
                    "valve opened: {}; new flows go direct, one in {} is tried",
                    advice(reason),
                    self.options.config.valve.probe
                );
                if reason == Reason::NoReturnPath {
                    self.lasting.valve.send_modify(|times| *times += 1);
                }
            }
            None => tracing::warn!("valve closed: intercepting again"),
        }
    }
}

fn advice(reason: Reason) -> &'static str {
    if reason == Reason::NoReturnPath {
        "no origin answers our connections (NAT on the WAN, or answers take another way)"
    } else {
        "intercepted SYNs do not reach the listener (does the firewall's INPUT chain drop TCP to \
         the watched ports from the LAN?)"
    }
}
