//! The single writer of kernel state: every edit, event and tick passes here, one at a time.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use proxy_ebpf::settings::Settings;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    time::{self, Interval, MissedTickBehavior, interval},
};

use super::{
    Options,
    astray::Astray,
    bridge::Crossing,
    bypass::Lists,
    defragment,
    instance::Claim,
    interfaces::Interfaces,
    learn,
    looping::Loops,
    output::Output,
    ports,
    settings::{self, Lasting},
    status, stop,
    surroundings::Warning,
    tracking::Tracking,
    translations::Translations,
    valves::Valves,
    worker::Worker,
};
use crate::{
    control::{Answer, Call, Request, Server},
    dataplane::{Dataplane, attach::ListenLink},
    learn::{Event, Learner},
    netconf::{Handle, delivery::Plan, firewall::Ruleset, journal::Journal, watch::Changes},
    policy::Policy,
    session::Shared,
};

/// How often counters are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long changes of the network are let settle before warnings are looked at: they come in
/// bursts. Links and addresses are not let wait.
const SETTLE: Duration = Duration::from_millis(20);

/// Clients can cause an overload as often as they like; it is told no oftener than this.
const OVERLOAD_QUIET: Duration = Duration::from_secs(10);

/// The daemon's state.
pub(super) struct Keeper {
    pub(super) options: Options,
    pub(super) dataplane: Dataplane,
    pub(super) lists: Lists,
    pub(super) handle: Handle,
    /// One that lists what it is asked for.
    pub(super) strict: Handle,
    pub(super) interfaces: Interfaces,
    pub(super) crossing: Crossing,
    /// What `weir status` warns of.
    pub(super) warnings: BTreeSet<Warning>,
    /// nftables' rules, with the generation that they are of.
    pub(super) firewall: Option<(u32, Ruleset)>,
    pub(super) plan: Plan,
    /// 4 and 6, as far as they are wanted and on.
    pub(super) families: Vec<u8>,
    pub(super) workers: u32,
    pub(super) journal: Journal,
    pub(super) lasting: Lasting,
    pub(super) shared: Option<watch::Sender<Arc<Shared>>>,
    pub(super) listen: Option<ListenLink>,
    pub(super) valves: Valves,
    pub(super) loops: Loops,
    /// This host's own connections, if they are intercepted.
    pub(super) output: Option<Output>,
    pub(super) translations: Translations,
    pub(super) tracking: Tracking,
    pub(super) defragmentation: defragment::Held,
    pub(super) learner: Learner,
    /// Whose answers go around us.
    pub(super) astray: Astray,
    /// What sessions have seen, for the learner.
    pub(super) seen: mpsc::Receiver<Event>,
    /// The limit in force.
    pub(super) connections: usize,
    pub(super) overload_told: Option<Instant>,
    pub(super) feeds_looked_at: Option<Instant>,
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
    changes: Arc<Changes>,
    /// When changes of the network will have settled, if there are some.
    settled: Option<time::Instant>,
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
        changes: Arc<Changes>,
        server: Server,
        signals: Signals,
    ) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            calls,
            changes,
            settled: None,
            ticks,
            signals,
            _server: server,
        }
    }

    /// Takes one thing in while the daemon drains: it still answers, but takes no more edits.
    /// True for another SIGTERM or SIGINT.
    pub(super) async fn while_stopping(&mut self, keeper: &Keeper) -> bool {
        tokio::select! {
            _ = self.signals.terminate.recv() => true,
            _ = self.signals.interrupt.recv() => true,
            Some((request, reply)) = self.calls.recv() => {
                let _ = reply.send(match request {
                    Request::Status => keeper.status(),
                    Request::Stop => Answer::Done(serde_json::Value::Null),
                    _ => Answer::failed("the daemon is stopping"),
                });
                false
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
            _ = inputs.ticks.tick() => {
                self.tick();
                if self.look_at_loops() {
                    self.look_around().await;
                }
            }
            Some((request, reply)) = inputs.calls.recv() => {
                let stop = matches!(request, Request::Stop);
                let reload = matches!(request, Request::Reload);
                let _ = reply.send(self.answer(request));
                if reload {
                    self.look_around().await;
                }
                return !stop;
            }
            () = inputs.changes.links.notified() => {
                self.links_changed().await;
                self.look_elsewhere(&inputs.changes.moved);
            }
            () = inputs.changes.own.notified() => self.own_addresses_changed().await,
            () = inputs.changes.network.notified() => {
                inputs.settled.get_or_insert_with(|| time::Instant::now() + SETTLE);
            }
            () = until(inputs.settled) => {
                inputs.settled = None;
                self.look_around().await;
            }
            // The first connection to a station comes right behind its first frame.
            () = inputs.changes.stations.notified() => self.look_at_stations().await,
            () = self.lasting.pressure.notified() => self.tick(),
            _ = inputs.signals.hangup.recv() => match self.reload() {
                Ok(()) => {
                    tracing::info!("configuration reloaded");
                    self.look_around().await;
                }
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
            Request::Status => self.status(),
            Request::BypassEdit { list, edit, end } => self.bypass_edit(&list, &edit, end),
            Request::BypassRead { list } => self.lists.read(Some(&self.dataplane), list.as_ref()),
            Request::BypassLists => self.lists.overview(),
            Request::BypassTest(query) => self.lists.test(Some(&mut self.dataplane), &query),
            Request::BypassLearn => self.candidates(),
            Request::Reload => match self.reload() {
                Ok(()) => Answer::Done(serde_json::Value::Null),
                Err(error) => Answer::refused(format!("{error:#}")),
            },
            Request::Stop => Answer::Done(serde_json::Value::Null),
        }
    }

    fn status(&self) -> Answer {
        match status::status(self) {
            Ok(status) => Answer::Done(status),
            Err(error) => Answer::failed(error),
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
        ports::check_sources(&new, &self.interfaces)?;
        let policy = Policy::compile(&new.rules)?;
        let now = *self.dataplane.settings();
        let kernel = settings::kernel(&new, &self.families, self.workers);
        let Some(kernel) = settings::keep_following(kernel, &now) else {
            anyhow::bail!(
                "connections to too many different ports may be under way, restart for it: \
                 intercept.ports"
            );
        };
        self.lists.mend(&mut self.dataplane)?;
        let defragmentation = self.defragmentation(new.intercept.defragment)?;
        // Also where it stays what it was: a reload is a rotation.
        self.lasting
            .log
            .redirect(&settings::sink(&new), settings::style(&new))?;
        self.dataplane.set_settings(Settings {
            overload: now.overload,
            ..kernel
        })?;
        self.connections = super::preflight::connection_limit(new.limits.connections);
        if let Some(shared) = &self.shared {
            shared.send_replace(self.lasting.shared(&new, policy, self.connections));
        }
        self.learner.set_terms(learn::terms(&new));
        if let Some(held) = defragmentation {
            self.defragmentation = held;
        }
        self.options.config = new;
        self.close_valves();
        self.tracking.begin_anew(self.lasting.conntrack.found());
        self.read_feeds();
        Ok(())
    }

    fn tick(&mut self) {
        self.look_at_valves();
        self.look_for_strays();
        self.learn();
        self.tend_lists();
        self.tend_translations();
        self.look_at_conntrack();
        let mut settings = *self.dataplane.settings();
        settings.overload = u32::from(self.overloaded(settings.overload != 0));
        settings.valve = self.way_out();
        if settings != *self.dataplane.settings()
            && let Err(error) = self.dataplane.set_settings(settings)
        {
            tracing::error!(%error, "cannot tell the kernel");
        }
    }

    /// Whether new flows should go direct: from 7/8 of a limit up, until 3/4 is reached again.
    fn overloaded(&mut self, already: bool) -> bool {
        let active = self.lasting.stats.active();
        let limit = self.connections as u64;
        let memory = self.lasting.stats.memory();
        let memory_limit = self.options.config.limits.memory as u64;
        let translations = self.translations.count();
        let overloaded = self.translations.full(already)
            || if already {
                active > limit * 3 / 4 || memory > memory_limit / 4 * 3
            } else {
                active >= settings::pressure(self.connections) || memory > memory_limit / 8 * 7
            };
        let quiet = self
            .overload_told
            .is_some_and(|then| then.elapsed() < OVERLOAD_QUIET);
        if overloaded && !already && !quiet {
            tracing::warn!(
                active,
                limit,
                memory,
                memory_limit,
                translations,
                "overloaded: new flows go direct"
            );
            self.overload_told = Some(Instant::now());
        }
        overloaded
    }
}

/// Until then; for ever, if it is never.
async fn until(moment: Option<time::Instant>) {
    match moment {
        Some(moment) => time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
