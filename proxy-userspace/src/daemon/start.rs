//! From a configuration to a daemon that intercepts, or back to the host as it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use proxy_ebpf::abi::MAX_WORKERS;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    astray::Astray,
    begin::{Beginning, begin},
    bridge::{self, Crossing},
    bypass::Lists,
    confine::{self, Identity, Landlocked},
    drift::AtStart,
    generations::Generations,
    inputs::{Inputs, Signals},
    instance::Claim,
    interfaces::{self, Interfaces},
    keeper::{Keeper, Running},
    learn,
    looping::Loops,
    measured::Measured,
    overload::Overload,
    ports, preflight,
    settings::{self, DECLINING, Lasting},
    surroundings,
    takeover::Takeover,
    tracking::Tracking,
    translations::{self, Translations},
    undo,
    valves::Valves,
    warden::Warden,
    watches::Watches,
    worker::Worker,
};
use crate::{
    config::Config,
    control::Groups,
    dataplane::{Dataplane, attach},
    fault::Fault,
    learn::{Learner, Reports},
    listener::{self, Family},
    netconf::{
        self, addresses,
        delivery::{self, DeliveryError},
        journal::Journal,
        links, netns, sysctl,
    },
    observe::{AccessLog, Stats},
    policy::Policy,
    session::{Clients, Flows},
    upstream::{Connects, Legs, Names, Pending},
};

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
    let groups = preflight::groups(&options.config.control)?;
    let identity = Identity::find(&options.config.security, groups)?;
    let mut takeover = match options.takeover {
        true => Takeover::ask(&options.instance)?,
        false => None,
    };
    let mut claim = match &mut takeover {
        Some(takeover) => takeover.claim(&options.instance)?,
        None => Claim::new(&options.instance)?,
    };
    let taking_over = takeover.is_some();
    let asked = Asked {
        signals,
        groups,
        identity,
    };
    match start_claimed(options, &mut claim, asked, takeover).await {
        Ok((keeper, inputs, workers)) => Ok(Running {
            keeper,
            inputs,
            workers,
            claim,
        }),
        // The claim is the other daemon's.
        Err(error) if taking_over => Err(error),
        Err(error) => {
            claim.release();
            Err(error)
        }
    }
}

/// What is found out before anything is claimed.
struct Asked {
    signals: Signals,
    groups: Groups,
    identity: Option<Identity>,
}

async fn start_claimed(
    options: Options,
    claim: &mut Claim,
    asked: Asked,
    mut takeover: Option<Takeover>,
) -> Result<(Keeper, Inputs, Vec<Worker>)> {
    let config = &options.config;
    if let Some(takeover) = takeover.as_mut().filter(|_| options.adopt_output) {
        takeover.adopt_output()?;
    }
    let taking_over = takeover.is_some();
    let replacing = !taking_over && interfaces::any_closed(&config.intercept);
    if !taking_over {
        let netns = netns::current_id()?;
        undo::leftovers(&options.instance, netns, &config.host, replacing)?;
    }
    let families = preflight::families(config.intercept.families);
    if let Some(takeover) = &takeover {
        takeover.check(config, &families)?;
    }
    let handle = netconf::connect()?;
    let links = links::list(&handle).await?;
    let mut interfaces = Interfaces::new(config, &links)?;
    if let Some(takeover) = &takeover {
        interfaces.own.extend(&takeover.offer.own);
    }
    ports::check_sources(config, &interfaces)?;
    ports::check_names(config, &addresses::connected(&handle).await?)?;
    let plan = settings::plan(config);
    if !taking_over {
        // We hold the namespace's lock, so whatever of ours is still here is a dead daemon's, also
        // where its journal is lost.
        for link in links.iter().filter(|_| !replacing) {
            attach::detach_all(&link.name, link.index)?;
        }
        delivery::remove_all(&handle, plan.table).await?;
    }
    plan.check(&handle).await.map_err(|error| match error {
        in_use @ DeliveryError::InUse { .. } => Fault::HostCannot(in_use.to_string()).into(),
        DeliveryError::Netlink(error) => anyhow::Error::from(error),
    })?;
    surroundings::check(&handle, &interfaces, &links, &families).await?;
    if interfaces.bridge().is_none() {
        preflight::mention_forwarding(&families);
    }

    let Asked {
        signals,
        groups,
        identity,
    } = asked;
    let directory = config.bypass.path(&options.instance);
    confine::prepare(identity.as_ref(), claim.run_dir(), &directory, config)?;
    let open = || {
        Lists::open(
            &directory,
            config.bypass.entries,
            config.bypass.damaged,
            Some(interfaces.roles.clone()),
        )
    };
    let mut lists = confine::act(identity.as_ref(), open)?;
    let policy = Policy::compile(&config.rules).map_err(|error| Fault::Usage(error.to_string()))?;
    let open = || AccessLog::open(&settings::sink(config), settings::style(config));
    let log = confine::act(identity.as_ref(), open)?;
    let connections = preflight::connection_limit(config.limits.connections);
    let (workers, room) = match &takeover {
        Some(it) => (it.offer.workers, it.offer.room),
        None => (
            settings::workers(config),
            translations::capacity(connections),
        ),
    };
    let mut dataplane = match &mut takeover {
        Some(takeover) => Dataplane::adopt(room, takeover.maps()?)?,
        None => Dataplane::load(room)?,
    };
    if replacing {
        dataplane.expect_predecessors();
    }
    let settings = settings::kernel(config, &families, workers);
    let settings = settings::keep_following(settings, dataplane.settings())
        .ok_or_else(|| Fault::Usage(settings::TOO_MANY_PORTS.to_owned()))?;
    interfaces.number(&mut lists);
    lists.load(&mut dataplane)?;
    let listeners = match &mut takeover {
        Some(takeover) => takeover.listeners(),
        None => open_listeners(&mut dataplane, config, &families, workers)?,
    };

    let mut journal = Journal {
        instance: options.instance.clone(),
        pid: std::process::id(),
        netns: netns::current_id()?,
        socket_mark: plan.socket_mark,
        programs: dataplane.program_numbers()?,
        table: plan.table,
        sysctls: previous(&interfaces)?,
    };
    if let Some(takeover) = &takeover {
        takeover.carry_on(&mut journal);
    }
    let warden = Arc::new(Warden::start(&journal, &config.log.level)?);
    claim.entrust(Arc::clone(&warden));
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
            flows: Arc::new(Flows::numbered_from(
                takeover.as_ref().map_or(0, |it| it.offer.first_flow),
                cut,
            )),
            reports,
            declining: Arc::new(Semaphore::new(DECLINING)),
            hops: u8::from(interfaces.bridge().is_none()),
        },
        valves: Valves::default(),
        output: None,
        loops: Loops::default(),
        translations: Translations::new(room),
        tracking: Tracking::default(),
        defragmentation: takeover
            .as_mut()
            .map(Takeover::defragmentation)
            .unwrap_or_default(),
        learner: Learner::new(learn::terms(&options.config)),
        astray: Astray::default(),
        seen,
        started: Instant::now(),
        shared: None,
        listen: None,
        connections,
        listeners,
        overload: Overload::default(),
        watches: Watches::default(),
        measured: Measured::default(),
        at_start: AtStart::default(),
        exporter: None,
        warden,
        landlocked: Landlocked::Off,
        feeds_looked_at: None,
        generations: Generations::default(),
        stopping: None,
        options,
        dataplane,
        lists,
        handle,
        strict: netconf::connect_strictly()?,
        interfaces,
        crossing: Crossing::new(
            &families,
            takeover.iter().flat_map(|it| it.offer.stations.clone()),
        ),
        warnings: BTreeSet::new(),
        firewall: None,
        plan,
        families,
        workers,
        journal,
    };
    keeper.remember_lessons();
    let read = || {
        keeper.read_feeds();
        anyhow::Ok(())
    };
    confine::act(identity.as_ref(), read)?;
    let beginning = Beginning {
        policy,
        settings,
        signals,
        groups,
        identity,
        taking_over,
        replacing,
    };
    let begun = begin(&mut keeper, beginning, claim).await;
    let Some(takeover) = takeover else {
        return match begun {
            Ok((inputs, workers)) => Ok((keeper, inputs, workers)),
            Err(error) => {
                give_up(keeper);
                Err(error)
            }
        };
    };
    // On an error the other daemon puts back what is its own.
    let (inputs, workers) = begun?;
    takeover.finish(&mut keeper.generations)?;
    keeper.warden.speak()?;
    Ok((keeper, inputs, workers))
}

/// Undoes what a start that failed has done.
fn give_up(keeper: Keeper) {
    // Listeners and programs go with the keeper, the rest by the journal.
    let warden = Arc::clone(&keeper.warden);
    drop(keeper);
    if let Err(undoing) = warden.undo(undo::LAST_WORDS) {
        tracing::error!(
            error = format!("{undoing:#}"),
            "not everything could be undone; `weir down` tries again"
        );
    }
}

/// A worker's listeners of all families, each in its slot.
fn open_listeners(
    dataplane: &mut Dataplane,
    config: &Config,
    families: &[u8],
    workers: u32,
) -> Result<Vec<Vec<(u8, TcpListener)>>> {
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
            listeners.push((*family, listener));
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
