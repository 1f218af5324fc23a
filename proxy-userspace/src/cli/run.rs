//! `weir run`.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use anyhow::Result;
use tracing_subscriber::EnvFilter;

use super::upgrade;
use crate::{
    config::DEFAULT_PATH,
    daemon::{self, Options, Source},
};

/// Flags win over the configuration file.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Interfaces that clients come from, by name or by pattern, such as 'ppp*'.
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "IF")]
    lan: Vec<String>,
    /// Interfaces that origins are behind, likewise.
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "IF")]
    wan: Vec<String>,
    /// Intercepts this host's own connections as well.
    #[arg(long)]
    output: bool,
    /// Configuration file [default: /etc/weir/weir.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Instance name: how the other commands find this daemon.
    #[arg(long, default_value = "default", value_name = "NAME")]
    instance: String,
    /// Named network namespace to run in [default: the current one].
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// Worker threads [default: one for each CPU].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: Option<u16>,
    /// Takes over from the running daemon of the instance, if there is one: no connection is
    /// refused or cut.
    #[arg(long)]
    takeover: bool,
    /// Writes to that daemon's standard output and standard error from then on.
    #[arg(long, hide = true, requires = "takeover")]
    adopt_output: bool,
}

pub(super) fn run(args: Args) -> Result<()> {
    // The main process of a service is the one that it would take over from.
    let (takeover, is_successor) = (args.takeover, args.adopt_output);
    let result = intercept(args);
    if let Err(error) = &result {
        if !takeover {
            daemon::failed(error);
        }
        if is_successor {
            upgrade::report(super::exit_code(error));
        }
    }
    result
}

fn intercept(args: Args) -> Result<()> {
    let file = configured(args.config);
    let workers = args.workers.map(usize::from);
    let source = Source {
        file,
        lan: args.lan,
        wan: args.wan,
        output: args.output,
        workers,
    };
    let config = source.read()?;
    log_to_stderr(&config.log.level);
    daemon::run(Options {
        instance: args.instance,
        netns: args.netns,
        config,
        source,
        takeover: args.takeover,
        adopt_output: args.adopt_output,
    })
}

/// The configuration file: the one that is named, or the usual one, if there is that.
pub(super) fn configured(named: Option<PathBuf>) -> Option<PathBuf> {
    let default = Path::new(DEFAULT_PATH);
    named.or_else(|| default.exists().then(|| default.to_owned()))
}

/// For a daemon, at whose end this ends.
pub(super) fn warden(log_level: &str) -> Result<()> {
    log_to_stderr(log_level);
    daemon::warden()
}

fn log_to_stderr(level: &str) {
    let filter = EnvFilter::try_from_env("WEIR_LOG")
        .or_else(|_| EnvFilter::try_new(level))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
