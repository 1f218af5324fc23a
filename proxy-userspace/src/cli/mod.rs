//! The command line. The only room that names clap, and the only one that prints.

#![allow(clippy::print_stdout, reason = "printing is what the commands are for")]

mod bypass;
mod config;
mod doctor;
mod down;
mod flows;
mod generate;
mod lab;
mod run;
mod status;
#[cfg(feature = "top")]
mod top;
mod upgrade;
mod why;

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::{
    control::{self, Answer, FailureKind, Request},
    fault::Fault,
    netconf::journal,
};

/// Transparent HTTP interception for Linux routers.
///
/// Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 not permitted, 4 this host can't,
/// 5 no such instance.
#[derive(Parser)]
#[command(name = "weir", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Intercepts: the daemon, in the foreground.
    Run(run::Args),
    /// Shows it all in a throwaway network of namespaces; nothing on this host changes.
    Lab(lab::Args),
    /// Edits and reads the bypass lists, live.
    Bypass(bypass::Args),
    /// What is happening now.
    Status(status::Args),
    /// What happens, as it happens, in a terminal: rates, flows, clients, hosts, reasons.
    #[cfg(feature = "top")]
    Top(top::Args),
    /// What would become of a connection, and what decides that.
    Why(why::Args),
    /// The live connections: client, origin, age, bytes, rates, host, state; and `flows kill`.
    Flows(flows::Args),
    /// Looks for what of this host interception does not go with; mends it with --fix.
    Doctor(doctor::Args),
    /// Has the daemon read its configuration again; one that is wrong, or that cannot be had without
    /// a restart, changes nothing.
    Reload(Instance),
    /// Starts another process, of a new version perhaps, that takes over from the running daemon.
    Upgrade(upgrade::Args),
    /// Ends the daemon and undoes everything, also after a crash.
    Down(down::Args),
    /// Checks the configuration, or shows a sample.
    Config(config::Args),
    /// Writes manual pages, completions and a configuration, for who makes a package.
    #[command(hide = true)]
    Generate(generate::Args),
    /// What a daemon starts beside itself.
    #[command(name = crate::daemon::WARDEN, hide = true)]
    Warden {
        /// How much it says.
        log_level: String,
    },
}

/// Which daemon.
#[derive(clap::Args)]
struct Instance {
    /// Instance name, as given to `weir run`.
    #[arg(long, default_value = "default", value_name = "NAME")]
    instance: String,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Lab(args) => lab::run(&args),
        Command::Bypass(args) => bypass::run(args),
        Command::Status(args) => status::run(&args),
        #[cfg(feature = "top")]
        Command::Top(args) => top::run(&args),
        Command::Why(args) => why::run(args),
        Command::Flows(args) => flows::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Reload(instance) => ask(&instance.instance, &Request::Reload).map(|_| ()),
        Command::Upgrade(args) => upgrade::run(&args),
        Command::Down(args) => down::run(args),
        Command::Config(args) => config::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Warden { log_level } => run::warden(&log_level),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let fault = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Fault>());
    fault.map_or(1, Fault::exit_code)
}

/// Asks a daemon.
fn ask(instance: &str, request: &Request) -> Result<Value> {
    let run_dir = journal::run_dir(instance);
    match control::call(&run_dir, request) {
        Ok(answer) => outcome(answer),
        Err(error) => Err(unreachable(instance, &run_dir, &error)),
    }
}

/// What an answer tells, or the fault that it is.
fn outcome(answer: Answer) -> Result<Value> {
    match answer {
        Answer::Done(value) => Ok(value),
        Answer::Failed { kind, message } => Err(match kind {
            FailureKind::Usage => Fault::Usage(message).into(),
            FailureKind::NotPermitted => Fault::NotPermitted(message).into(),
            FailureKind::Other | FailureKind::Moved => anyhow::anyhow!(message),
        }),
    }
}

fn unreachable(instance: &str, run_dir: &Path, error: &std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied, TimedOut, WouldBlock};
    match error.kind() {
        NotFound | ConnectionRefused => Fault::NoInstance(format!(
            "no instance {instance} is running (no daemon in {}): `weir run` starts one",
            run_dir.display()
        ))
        .into(),
        PermissionDenied => Fault::NotPermitted(format!(
            "not permitted to ask instance {instance}: run it as root, or as a member of the group \
             that control.group names"
        ))
        .into(),
        // What the socket's deadlines come as.
        WouldBlock | TimedOut => anyhow::anyhow!(
            "instance {instance} does not answer: its daemon hangs or is stopped; nothing was done"
        ),
        _ => anyhow::anyhow!("instance {instance} does not answer: {error}"),
    }
}
