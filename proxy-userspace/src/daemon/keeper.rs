//! The single writer of kernel state: every edit, event and tick passes here, one at a time.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use proxy_ebpf::settings::Settings;
use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
    time,
};

use super::{
    Options,
    astray::Astray,
    bridge::Crossing,
    bypass::Lists,
    confine::Landlocked,
    defragment,
    drift::AtStart,
    generations::Generations,
    handover::{self, Outcome},
    inputs::Inputs,
    instance::Claim,
    interfaces::Interfaces,
    learn,
    looping::Loops,
    measured::Measured,
    output::Output,
    overload::Overload,
    ports, retire, service,
    settings::{self, Lasting},
    status, stop,
    surroundings::Warning,
    tracking::Tracking,
    translations::Translations,
    valves::Valves,
    warden::Warden,
    watches::Watches,
    worker::Worker,
};
use crate::{
    control::{Answer, Exporter, Request},
    dataplane::{Dataplane, attach::ListenLink},
    learn::{Event, Learner},
    netconf::{Handle, delivery::Plan, firewall::Ruleset, journal::Journal},
    policy::Policy,
    session::Shared,
};

/// How long changes of the network are let settle before warnings are looked at: they come in
/// bursts. Links and addresses are not let wait.
const SETTLE: Duration = Duration::from_millis(20);

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
    /// The listeners of each worker, by family, for who is to be told of them.
    pub(super) listeners: Vec<Vec<(u8, TcpListener)>>,
    pub(super) overload: Overload,
    pub(super) watches: Watches,
    /// Counters of the last minute.
    pub(super) measured: Measured,
    /// What others may have changed since.
    pub(super) at_start: AtStart,
    /// The endpoint for Prometheus.
    pub(super) exporter: Option<Exporter>,
    /// What keeps the privileges that this process gives up.
    pub(super) warden: Arc<Warden>,
    /// How far this process is confined to its files.
    pub(super) landlocked: Landlocked,
    pub(super) feeds_looked_at: Option<Instant>,
    /// Daemons that this one has taken over from.
    pub(super) generations: Generations,
    /// When what is under way will be cut, while the daemon stops.
    pub(super) stopping: Option<Instant>,
    pub(super) started: Instant,
}

/// A daemon that intercepts.
pub(super) struct Running {
    pub(super) keeper: Keeper,
    pub(super) inputs: Inputs,
    pub(super) workers: Vec<Worker>,
    pub(super) claim: Claim,
}

/// What comes of a step.
enum Step {
    On,
    Stop,
    /// Another process wants to take over.
    HandOver(UnixStream),
}

impl Running {
    /// Runs until it is told to stop, then undoes everything; or until another process has taken
    /// over, then ends what is under way.
    pub(super) async fn run(mut self) -> Result<()> {
        status::announce(&self.keeper);
        service::ready(&self.keeper);
        loop {
            match self.keeper.step(&mut self.inputs).await {
                Step::On => {}
                Step::Stop => return stop::stop(self).await,
                Step::HandOver(successor) => {
                    match handover::hand_over(&mut self, successor).await {
                        Outcome::Kept(false) => {}
                        Outcome::Kept(true) => return stop::stop(self).await,
                        Outcome::Taken(successor) => return retire::retire(self, successor).await,
                    }
                }
            }
        }
    }
}

impl Keeper {
    /// Reacts to one thing.
    async fn step(&mut self, inputs: &mut Inputs) -> Step {
        tokio::select! {
            _ = inputs.ticks.tick() => {
                self.tick();
                if self.look_at_loops() {
                    self.look_around().await;
                }
            }
            Some((request, reply)) = inputs.asked.next() => {
                let stop = matches!(request, Request::Stop);
                if matches!(request, Request::Reload) {
                    service::reloading();
                    let reloaded = self.reload();
                    let _ = reply.send(match &reloaded {
                        Ok(()) => Answer::Done(serde_json::Value::Null),
                        Err(error) => Answer::refused(format!("{error:#}")),
                    });
                    self.after_reload(&reloaded).await;
                    return Step::On;
                }
                let answer = self.respond(request).await;
                let _ = reply.send(answer);
                if stop {
                    return Step::Stop;
                }
            }
            Some(watcher) = inputs.watchers.recv() => self.begin_watch(watcher),
            Some(successor) = inputs.successors.recv() => return Step::HandOver(successor),
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
            _ = inputs.signals.hangup.recv() => {
                service::reloading();
                let reloaded = self.reload();
                match &reloaded {
                    Ok(()) => tracing::info!("configuration reloaded"),
                    Err(error) => tracing::error!(
                        error = format!("{error:#}"),
                        "configuration not reloaded, the old one stays"
                    ),
                }
                self.after_reload(&reloaded).await;
            }
            () = inputs.watchdog.due() => inputs.watchdog.feed(self),
            _ = inputs.signals.reopen.recv() => self.lasting.log.reopen(),
            _ = inputs.signals.terminate.recv() => return Step::Stop,
            _ = inputs.signals.interrupt.recv() => return Step::Stop,
        }
        Step::On
    }

    pub(super) fn answer(&mut self, request: Request) -> Answer {
        if let Some(answer) = self.look(&request) {
            return answer;
        }
        match request {
            Request::BypassEdit { list, edit, end } => self.bypass_edit(&list, &edit, end),
            Request::BypassRead { list } => self.lists.read(Some(&self.dataplane), list.as_ref()),
            Request::BypassLists => self.lists.overview(),
            Request::BypassTest(query) => self.lists.test(Some(&mut self.dataplane), &query),
            Request::Why(query) => self.why(&query),
            Request::BypassLearn => self.candidates(),
            Request::Stop => Answer::Done(serde_json::Value::Null),
            // The control socket gives its connection away.
            Request::TakeOver
            | Request::Watch(_)
            | Request::Reload
            | Request::Examine
            | Request::Mend
            | Request::Status
            | Request::Metrics
            | Request::Flows
            | Request::Config
            | Request::KillFlow { .. } => Answer::refused("not a request by itself"),
        }
    }

    /// What only looks, and can be answered at any time.
    pub(super) fn look(&self, request: &Request) -> Option<Answer> {
        match request {
            // While it stops, or hands over, as far as that is known.
            Request::Status | Request::Examine => Some(self.status()),
            Request::Metrics => Some(self.metrics()),
            Request::Flows => Some(self.flows()),
            Request::Config => Some(self.config()),
            Request::KillFlow { id } => Some(self.kill_flow(*id)),
            _ => None,
        }
    }

    fn status(&self) -> Answer {
        match status::status(self) {
            Ok(status) => Answer::Done(status),
            Err(error) => Answer::failed(error),
        }
    }

    /// What is happening, with what has changed since the start.
    pub(super) async fn examine(&mut self) -> Answer {
        self.look_around().await;
        let drift = self.drift().await;
        match (self.status(), drift) {
            (Answer::Done(mut status), Ok(drift)) => {
                status["drift"] = drift;
                Answer::Done(status)
            }
            (_, Err(error)) => Answer::failed(format!("{error:#}")),
            (failed, _) => failed,
        }
    }

    fn reload(&mut self) -> Result<()> {
        let new = self.options.source.read()?;
        let old = &self.options.config;
        let fixed = old.unchangeable_differences(&new);
        if !fixed.is_empty() {
            let fixed: Vec<_> = fixed.iter().map(ToString::to_string).collect();
            anyhow::bail!(
                "cannot be changed while running, restart for it: {}",
                fixed.join("; ")
            );
        }
        ports::check_sources(&new, &self.interfaces)?;
        let policy = Policy::compile(&new.rules)?;
        let now = *self.dataplane.settings();
        let kernel = settings::kernel(&new, &self.families, self.workers);
        let Some(kernel) = settings::keep_following(kernel, &now) else {
            anyhow::bail!(settings::TOO_MANY_PORTS);
        };
        self.lists.mend(&mut self.dataplane)?;
        let defragmentation = self.defragmentation(new.intercept.defragment)?;
        self.export(&new)?;
        // Also where it stays what it was: a reload is a rotation.
        self.lasting
            .log
            .redirect(&settings::sink(&new), settings::style(&new))?;
        self.dataplane.set_settings(Settings {
            overload: now.overload,
            watch: now.watch,
            ..kernel
        })?;
        if new.intercept.mode != self.options.config.intercept.mode {
            self.dataplane.forget_shadowed()?;
        }
        self.interfaces.set_closing(&new.intercept);
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
        self.measure_anew();
        self.tracking.begin_anew(self.lasting.conntrack.found());
        self.read_feeds();
        Ok(())
    }

    /// Has the network follow a configuration that has been reloaded, and the service manager know.
    async fn after_reload(&mut self, reloaded: &Result<()>) {
        match reloaded {
            Ok(()) => {
                self.links_changed().await;
                self.look_around().await;
                service::ready(self);
            }
            Err(error) => service::ready_but(self, &format!(" (not reloaded: {error:#})")),
        }
    }

    fn tick(&mut self) {
        self.measure();
        self.look_at_valves();
        self.look_for_strays();
        self.learn();
        self.tend_lists();
        self.tend_translations();
        self.look_at_conntrack();
        self.generations.look();
        self.carry_hits();
        self.tend_watches();
        let mut settings = *self.dataplane.settings();
        settings.overload = u32::from(self.overloaded());
        settings.valve = self.way_out();
        if settings != *self.dataplane.settings()
            && let Err(error) = self.dataplane.set_settings(settings)
        {
            tracing::error!(%error, "cannot tell the kernel");
        }
    }
}

/// Until then; for ever, if it is never.
async fn until(moment: Option<time::Instant>) {
    match moment {
        Some(moment) => time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
