//! The part of a start that changes the host.

use std::{net::TcpListener, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use proxy_ebpf::settings::Settings;
use tokio::sync::watch;

use super::{
    Options,
    confine::{self, Files, Identity},
    inputs::{Inputs, Signals},
    instance::Claim,
    keeper::Keeper,
    service::Watchdog,
    settings,
    worker::{Assignment, Worker},
};
use crate::{
    control::Groups,
    netconf::{
        links, netns,
        watch::{self as network, Changes},
    },
    policy::Policy,
};

/// Heartbeats written before the first would be stale.
const BEATS: u32 = 5;

/// What the beginning needs besides the keeper.
pub(super) struct Beginning {
    pub(super) policy: Policy,
    pub(super) settings: Settings,
    pub(super) signals: Signals,
    pub(super) groups: Groups,
    pub(super) identity: Option<Identity>,
    pub(super) taking_over: bool,
    /// The programs of a daemon that died are attached still, and refuse what is closed.
    pub(super) replacing: bool,
}

/// Everything that changes the host.
pub(super) async fn begin(
    keeper: &mut Keeper,
    beginning: Beginning,
    claim: &Claim,
) -> Result<(Inputs, Vec<Worker>)> {
    let changes = Arc::new(Changes::default());
    let bridge = keeper.interfaces.bridge().cloned();
    network::spawn(Arc::clone(&changes), bridge.is_some())?;
    keeper.refresh_own_addresses().await?;
    if let Some(held) = keeper.defragmentation(keeper.options.config.intercept.defragment)? {
        keeper.defragmentation = held;
    }
    keeper
        .plan
        .add_routes(&keeper.handle, &keeper.families)
        .await?;
    // What comes in by a port comes up through the bridge.
    let entrances: Vec<_> = match bridge {
        Some(bridge) => vec![bridge.name],
        None => keeper.interfaces.iter().map(|it| it.name.clone()).collect(),
    };
    for name in entrances {
        keeper
            .plan
            .add_rules(&keeper.handle, &name, &keeper.families)
            .await?;
    }

    keeper.listen = Some(keeper.dataplane.attach_listen(netns::current()?)?);
    let links = links::list(&keeper.handle).await?;
    if beginning.replacing {
        // What is closed is not to be open for a moment. Without heartbeats nothing is
        // intercepted yet.
        keeper.dataplane.set_settings(beginning.settings)?;
        keeper.tell_roles(&links)?;
    }
    if let Some(fault) = keeper.follow_links(&links).await.into_iter().next() {
        return Err(fault);
    }
    if beginning.taking_over {
        keeper.dataplane.show_bypass()?;
    }
    if beginning.taking_over || beginning.replacing {
        keeper.replace_predecessor(&links)?;
    }
    keeper.tend_bridge().await;
    keeper.begin_output().await?;

    let run_dir = claim.run_dir();
    let watchdog = Watchdog::new(keeper.options.config.intercept.heartbeat_stale);
    let identity = beginning.identity.as_ref();
    let (signals, groups) = (beginning.signals, beginning.groups);
    let listen = || Inputs::new(changes, signals, watchdog, run_dir, groups);
    let inputs = confine::act(identity, listen)?;
    keeper.exporter = Some(inputs.exporter());
    keeper.export(&keeper.options.config.clone())?;
    keeper.confine(run_dir, identity)?;
    // If another daemon is there still, both accept until it gives up.
    let workers = begin_work(keeper, beginning.policy)?;
    // Until here no port is watched, but those that were.
    keeper.dataplane.set_settings(Settings {
        families: settings::bits(&keeper.families),
        ..beginning.settings
    })?;
    keeper.look_around().await;
    keeper.remember_start().await;
    keeper.measure();
    Ok((inputs, workers))
}

impl Keeper {
    /// Gives everything up that is not needed from now on. Threads that are started later have no
    /// more than this one.
    fn confine(&mut self, run_dir: &Path, identity: Option<&Identity>) -> Result<()> {
        let Options {
            instance,
            config,
            source,
            ..
        } = &self.options;
        let files = Files::of(run_dir, instance, config, source);
        let files = config.security.landlock.then_some(&files);
        self.landlocked = confine::confine(identity, files)?;
        self.dataplane.expect_no_predecessors();
        self.lasting.log.serve()?;
        Ok(())
    }
}

/// Starts the workers.
fn begin_work(keeper: &mut Keeper, policy: Policy) -> Result<Vec<Worker>> {
    let config = &keeper.options.config;
    let shared = watch::Sender::new(keeper.lasting.shared(config, policy, keeper.connections));
    let heartbeats = keeper.dataplane.heartbeats();
    let start = |(index, listeners): (u32, &Vec<(u8, TcpListener)>)| {
        let listeners = listeners.iter().map(|(_, listener)| listener.try_clone());
        let listeners = listeners.collect::<Result<_, _>>()?;
        // Its own first one may come later than the first client.
        heartbeats.beat(index);
        Worker::start(Assignment {
            index,
            listeners,
            heartbeats: heartbeats.clone(),
            beat: config.intercept.heartbeat_stale / BEATS,
            shared: shared.subscribe(),
        })
        .context("cannot start a worker")
    };
    let workers = (0..).zip(&keeper.listeners).map(start).collect();
    keeper.shared = Some(shared);
    workers
}
