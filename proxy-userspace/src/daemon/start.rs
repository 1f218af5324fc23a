//! From a configuration to a daemon that intercepts, or back to the host as it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, Result};
use nix::unistd::Gid;
use proxy_ebpf::abi::MAX_WORKERS;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    astray::Astray,
    bridge::{self, Crossing},
    bypass::Lists,
    instance::Claim,
    interfaces::Interfaces,
    keeper::{Inputs, Keeper, Running, Signals},
    learn,
    looping::Loops,
    ports, preflight,
    settings::{self, DECLINING, Lasting},
    surroundings,
    tracking::Tracking,
    translations::{self, Translations},
    undo,
    valves::Valves,
    worker::{Assignment, Worker},
};
use crate::{
    config::Config,
    control::Server,
    dataplane::{Dataplane, attach},
    fault::Fault,
    learn::{Learner, Reports},
    listener::{self, Family},
    netconf::{
        self, addresses,
        delivery::{self, DeliveryError},
        journal::Journal,
        links, netns, sysctl,
        watch::{self as network, Changes},
    },
    observe::{AccessLog, Stats},
    policy::Policy,
    session::{Clients, Flows},
    upstream::{Connects, Legs, Names, Pending},
};

/// Heartbeats written before the first would be stale.
const BEATS: u32 = 5;

/// Starts everything. On an error everything is undone.
pub(super) async fn start(options: Options) -> Result<Running> {
    let intercept = &options.config.intercept;
    if intercept.lan.is_empty() || intercept.wan.is_empty() {
        return Err(Fault::Usage(
            "no interfaces: give at least one --lan (clients' side) and one --wan (origins' side)"
                .to_owned(),
        )
        .into());
    }
    let signals = Signals::catch()?;
    let claim = Claim::new(&options.instance)?;
    match start_claimed(options, &claim, signals).await {
        Ok((keeper, inputs, workers)) => Ok(Running {
            keeper,
            inputs,
            workers,
            claim,
        }),
        Err(error) => {
            claim.release();
            Err(error)
        }
    }
}

async fn start_claimed(
    options: Options,
    claim: &Claim,
    signals: Signals,
) -> Result<(Keeper, Inputs, Vec<Worker>)> {
    let config = &options.config;
    undo::leftovers(&options.instance, netns::current_id()?, &config.host)?;
    let handle = netconf::connect()?;
    let links = links::list(&handle).await?;
    let mut interfaces = Interfaces::new(config, &links)?;
    ports::check_sources(config, &interfaces)?;
    ports::check_names(config, &addresses::connected(&handle).await?)?;
    // We hold the namespace's lock, so whatever of ours is still here is a dead daemon's, also
    // where its journal is lost.
    for link in &links {
        attach::detach_all(&link.name, link.index)?;
    }
    let plan = settings::plan(config);
    delivery::remove_all(&handle, plan.table).await?;
    plan.check(&handle).await.map_err(|error| match error {
        in_use @ DeliveryError::InUse { .. } => Fault::HostCannot(in_use.to_string()).into(),
        DeliveryError::Netlink(error) => anyhow::Error::from(error),
    })?;
    let families = preflight::families(config.intercept.families);
    surroundings::check(&handle, &interfaces, &links, &families).await?;
    if interfaces.bridge().is_none() {
        preflight::mention_forwarding(&families);
    }

    let mut lists = Lists::open(
        &config.bypass.path(&options.instance),
        config.bypass.entries,
        config.bypass.damaged,
        Some(interfaces.roles.clone()),
    )?;
    let group = preflight::group(config.control.group.as_deref())?;
    let policy = Policy::compile(&config.rules).map_err(|error| Fault::Usage(error.to_string()))?;
    let log = AccessLog::open(&settings::sink(config), settings::style(config))?;
    let workers = settings::workers(config);
    let connections = preflight::connection_limit(config.limits.connections);
    let room = translations::capacity(connections);
    let mut dataplane = Dataplane::load(room)?;
    interfaces.number(&mut lists);
    lists.load(&mut dataplane)?;
    let listeners = open_listeners(&mut dataplane, config, &families, workers)?;

    let journal = Journal {
        instance: options.instance.clone(),
        pid: std::process::id(),
        netns: netns::current_id()?,
        socket_mark: plan.socket_mark,
        programs: dataplane.program_numbers()?,
        table: plan.table,
        sysctls: previous(&interfaces)?,
    };
    journal.write(claim.run_dir())?;
    let cut = CancellationToken::new();
    let (reports, seen) = Reports::new();
    let mut keeper = Keeper {
        lasting: Lasting {
            stats: Stats::new(),
            log,
            drain: CancellationToken::new(),
            cut: cut.clone(),
            valve: watch::Sender::new([0; 2]),
            pressure: Arc::new(Notify::new()),
            pending: Arc::new(Pending::default()),
            connects: Arc::new(Connects::default()),
            legs: Arc::new(Legs::new(config.spoof.ports.clone())),
            conntrack: Arc::default(),
            names: Arc::new(Names::default()),
            clients: Arc::new(Clients::default()),
            flows: Arc::new(Flows::new(cut)),
            reports,
            declining: Arc::new(Semaphore::new(DECLINING)),
            hops: u8::from(interfaces.bridge().is_none()),
        },
        valves: Valves::default(),
        output: None,
        loops: Loops::default(),
        translations: Translations::new(room),
        tracking: Tracking::default(),
        defragmentation: Vec::new(),
        learner: Learner::new(learn::terms(&options.config)),
        astray: Astray::default(),
        seen,
        started: Instant::now(),
        shared: None,
        listen: None,
        connections,
        overload_told: None,
        feeds_looked_at: None,
        options,
        dataplane,
        lists,
        handle,
        strict: netconf::connect_strictly()?,
        interfaces,
        crossing: Crossing::new(&families),
        warnings: BTreeSet::new(),
        firewall: None,
        plan,
        families,
        workers,
        journal,
    };
    keeper.remember_lessons();
    keeper.read_feeds();
    match begin(&mut keeper, policy, claim, listeners, signals, group).await {
        Ok((inputs, workers)) => Ok((keeper, inputs, workers)),
        Err(error) => {
            // Listeners and programs go with the keeper, the rest by the journal.
            let journal = keeper.journal.clone();
            drop(keeper);
            match undo::undo(&journal, undo::LAST_WORDS).await {
                Ok(()) => Journal::remove(claim.run_dir())?,
                Err(undoing) => tracing::error!(
                    error = format!("{undoing:#}"),
                    "not everything could be undone; `weir down` tries again"
                ),
            }
            Err(error)
        }
    }
}

/// Everything that changes the host.
async fn begin(
    keeper: &mut Keeper,
    policy: Policy,
    claim: &Claim,
    listeners: Vec<Vec<TcpListener>>,
    signals: Signals,
    group: Option<Gid>,
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

    let config = &keeper.options.config;
    let shared = watch::Sender::new(keeper.lasting.shared(config, policy, keeper.connections));
    let mut workers = Vec::new();
    for (index, listeners) in (0..).zip(listeners) {
        let worker = Worker::start(Assignment {
            index,
            listeners,
            heartbeats: keeper.dataplane.heartbeats(),
            beat: config.intercept.heartbeat_stale / BEATS,
            shared: shared.subscribe(),
        })
        .context("cannot start a worker")?;
        workers.push(worker);
    }
    keeper.shared = Some(shared);

    let settings = settings::kernel(config, &keeper.families, keeper.workers);
    keeper.listen = Some(keeper.dataplane.attach_listen(netns::current()?)?);
    let links = links::list(&keeper.handle).await?;
    if let Some(fault) = keeper.follow_links(&links).await.into_iter().next() {
        return Err(fault);
    }
    keeper.tend_bridge().await;
    // Until here no port is watched.
    keeper.dataplane.set_settings(settings)?;

    keeper.begin_output().await?;

    let (calls, call_inputs) = mpsc::channel(16);
    let server = Server::start(claim.run_dir(), calls, group)
        .with_context(|| format!("cannot listen in {}", claim.run_dir().display()))?;
    keeper.look_around().await;
    Ok((Inputs::new(call_inputs, changes, server, signals), workers))
}

/// A worker's listeners of all families, each in its slot.
fn open_listeners(
    dataplane: &mut Dataplane,
    config: &Config,
    families: &[u8],
    workers: u32,
) -> Result<Vec<Vec<TcpListener>>> {
    let mut all = Vec::new();
    for worker in 0..workers {
        let mut listeners = Vec::new();
        for family in families {
            let (kind, base) = if *family == 4 {
                (Family::V4, 0)
            } else {
                (Family::V6, MAX_WORKERS)
            };
            let listener = listener::open(kind, config.host.socket_mark)?;
            dataplane.set_listener(base + worker, &listener)?;
            listeners.push(listener);
        }
        all.push(listeners);
    }
    Ok(all)
}

/// The kernel parameters that will be changed, as they are.
fn previous(interfaces: &Interfaces) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    if let Some(bridge) = interfaces.bridge()
        && let Some(name) = bridge::sysctl(&bridge.name)?
    {
        let value = sysctl::read(&name)?;
        values.insert(name, value);
    }
    Ok(values)
}
