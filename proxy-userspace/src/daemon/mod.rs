//! The daemon: puts the rooms together, and takes them apart again.

mod astray;
mod begin;
mod bridge;
mod bypass;
mod config;
mod confine;
mod cure;
mod defragment;
mod doctor;
mod drift;
mod edit;
mod elsewhere;
mod flows;
mod follow;
mod generations;
mod handover;
mod inputs;
mod instance;
mod interfaces;
mod keeper;
mod learn;
mod looping;
mod measured;
mod metrics;
mod moved;
mod output;
mod overload;
mod ports;
mod preflight;
mod retire;
mod roles;
mod service;
mod settings;
mod start;
mod status;
mod stop;
mod surroundings;
mod takeover;
mod told;
mod tracking;
mod translations;
mod undo;
mod valve;
mod valves;
mod warden;
mod watches;
mod why;
mod worker;

use std::path::PathBuf;

use anyhow::Result;

pub use bypass::offline;
pub use cure::{Cure, Cured, fix, undo as undo_fixes};
pub use doctor::{Patient, examine};
pub use service::{control_group, failed};
pub use stop::{clear, down};
pub use warden::{COMMAND as WARDEN, serve as warden};

use crate::{config::Config, fault::Fault, netconf::netns};

/// What `weir run` was told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The instance's name: its run directory, and how the other commands find it.
    pub instance: String,
    /// Named network namespace to run in; the current one if none.
    pub netns: Option<String>,
    /// The configuration, flags included.
    pub config: Config,
    /// Where it came from and is read from again on SIGHUP.
    pub source: Source,
    /// Whether to take over from a daemon of the instance that runs, if there is one.
    pub takeover: bool,
    /// Whether to write to that daemon's standard output and standard error then.
    pub adopt_output: bool,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// `--lan`.
    pub lan: Vec<String>,
    /// `--wan`.
    pub wan: Vec<String>,
    /// `--output`.
    pub output: bool,
    /// `--workers`.
    pub workers: Option<usize>,
}

impl Source {
    /// Reads the configuration; flags win over the file.
    ///
    /// # Errors
    ///
    /// [`Fault::Usage`] with file, line and column.
    pub fn read(&self) -> Result<Config, Fault> {
        let usage = |error: crate::config::ConfigError| Fault::Usage(error.to_string());
        let config = match &self.file {
            Some(file) => Config::load(file).map_err(usage)?,
            None => Config::default(),
        };
        let mut config = config
            .with_interfaces(&self.lan, &self.wan)
            .map_err(usage)?;
        if let Some(workers) = self.workers {
            config.workers.count = workers;
        }
        if self.output {
            config = config.with_output().map_err(usage)?;
        }
        Ok(config)
    }
}

/// Runs the daemon in the foreground until it is told to stop, and undoes everything.
///
/// Must be called while the process has one thread only: it enters the network namespace.
///
/// # Errors
///
/// A [`Fault`] in the chain tells the kind; the host is as it was.
pub fn run(options: Options) -> Result<()> {
    instance::check_name(&options.instance)?;
    enter(options.netns.as_deref())?;
    preflight::check()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let running = start::start(options).await?;
        running.run().await
    })
}

/// Enters the network namespace, if one is named.
fn enter(name: Option<&str>) -> Result<(), Fault> {
    let Some(name) = name else { return Ok(()) };
    netns::enter(name).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::Usage(format!(
            "no network namespace {name} ({}): `ip netns list` shows those that there are",
            netns::path(name).display()
        )),
        std::io::ErrorKind::PermissionDenied => Fault::NotPermitted(format!(
            "cannot enter network namespace {name}: CAP_SYS_ADMIN missing; run it as root"
        )),
        _ => Fault::HostCannot(format!("cannot enter network namespace {name}: {error}")),
    })
}
