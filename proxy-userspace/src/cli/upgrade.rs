//! `weir upgrade`.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStringExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use super::{outcome, unreachable};
use crate::{
    control::{self, Request},
    daemon,
    fault::Fault,
    netconf::{journal, netns},
};

/// How long the new process may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked whether it has taken over.
const LOOK: Duration = Duration::from_millis(50);
/// Of the old process's environment the new one gets this, unless the command has its own.
const LOG: &str = "WEIR_LOG";
/// What is the service manager's goes from main process to main process, whatever the command has.
const SERVICE: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "INVOCATION_ID"];

/// The new daemon gets the arguments and the configuration file of the old one.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Instance name, as given to `weir run`.
    #[arg(long, default_value = "default", value_name = "NAME")]
    instance: String,
    /// The program to run [default: this one].
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Starts a new process that takes over from the running daemon, and waits until it has.
pub(super) fn run(args: &Args) -> Result<()> {
    let old = Daemon::ask(&args.instance)?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => std::env::current_exe().context("cannot find out which program this is")?,
    };
    let mut new = old.start_successor(&binary)?;
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(status) = new.try_wait()? {
            let message = format!(
                "the new process ({}) has ended ({status}): pid {} of instance {} goes on",
                binary.display(),
                old.pid,
                args.instance
            );
            return Err(fault(status.code(), message));
        }
        match Daemon::ask(&args.instance) {
            Ok(now) if now.pid == new.id() => {
                println!(
                    "weir {} (pid {}) has taken over from {} (pid {})",
                    now.version, now.pid, old.version, old.pid
                );
                return Ok(());
            }
            _ => thread::sleep(LOOK),
        }
    }
    let _ = new.kill();
    let _ = new.wait();
    bail!(
        "the new process has not taken over within {} s, and was ended: pid {} goes on",
        PATIENCE.as_secs(),
        old.pid
    )
}

/// The new process has said why; this one ends with the same exit code.
fn fault(code: Option<i32>, message: String) -> anyhow::Error {
    match code {
        Some(2) => Fault::Usage(message).into(),
        Some(3) => Fault::NotPermitted(message).into(),
        Some(4) => Fault::HostCannot(message).into(),
        _ => anyhow!(message),
    }
}

/// A daemon that runs.
struct Daemon {
    pid: u32,
    version: String,
    netns: u64,
}

impl Daemon {
    fn ask(instance: &str) -> Result<Self> {
        let run_dir = journal::run_dir(instance);
        let answer = control::call(&run_dir, &Request::Status)
            .map_err(|error| unreachable(instance, &run_dir, &error))?;
        let status = outcome(answer)?;
        let number = |key: &str| {
            let number = status.get(key).and_then(Value::as_u64);
            number.with_context(|| format!("the daemon does not tell its {key}"))
        };
        Ok(Self {
            pid: u32::try_from(number("pid")?)?,
            version: status["version"].as_str().unwrap_or("?").to_owned(),
            netns: number("netns")?,
        })
    }

    /// Starts `binary` as this daemon was started, to take over from it.
    fn start_successor(&self, binary: &std::path::Path) -> Result<Child> {
        let arguments = self.arguments()?;
        let is = |wanted: &str| {
            arguments
                .iter()
                .any(|it| it == wanted || starts(it, wanted))
        };
        if !is("--netns") && netns::current_id()? != self.netns && !netns::enter_id(self.netns)? {
            bail!("cannot find the network namespace of pid {}", self.pid);
        }
        let environment = self.environment();
        let is_service = environment.iter().any(|(name, _)| name == SERVICE[0]);
        let group = daemon::control_group(&self.pid.to_string());
        if is_service && group != daemon::control_group("self") {
            return Err(elsewhere(&group).into());
        }
        let mut command = Command::new(binary);
        command
            .args(
                arguments
                    .iter()
                    .filter(|it| !OWN.iter().any(|own| it == own)),
            )
            .args(OWN)
            .current_dir(format!("/proc/{}/cwd", self.pid))
            .stdin(Stdio::null())
            // What is typed at this terminal is not for it.
            .process_group(0);
        for name in SERVICE.iter().chain(&["WATCHDOG_PID"]) {
            command.env_remove(name);
        }
        for (name, value) in environment {
            if name != LOG || std::env::var_os(LOG).is_none() {
                command.env(name, value);
            }
        }
        command
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))
    }

    fn arguments(&self) -> Result<Vec<OsString>> {
        let path = format!("/proc/{}/cmdline", self.pid);
        let line = fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => Fault::NotPermitted(format!(
                "cannot read the arguments of pid {}: run it as root",
                self.pid
            ))
            .into(),
            _ => anyhow::Error::from(error).context(format!("cannot read {path}")),
        })?;
        let all: Vec<_> = zero_separated(&line).skip(1).collect();
        if all.first().is_none_or(|command| command != "run") {
            bail!(
                "pid {} was not started as `weir run`: start its successor with `weir run --takeover`",
                self.pid
            );
        }
        Ok(all)
    }

    fn environment(&self) -> Vec<(String, OsString)> {
        let all = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        let wanted = |entry: OsString| {
            let entry = entry.into_string().ok()?;
            let (name, value) = entry.split_once('=')?;
            let wanted = name == LOG || SERVICE.contains(&name);
            wanted.then(|| (name.to_owned(), OsString::from(value)))
        };
        zero_separated(&all).filter_map(wanted).collect()
    }
}

/// A process that is started here would have nothing of the unit: no watchdog, no limits, and not
/// its end.
fn elsewhere(group: &str) -> Fault {
    let unit = group.rsplit('/').next().unwrap_or_default();
    Fault::Usage(format!(
        "the daemon is the service {unit}: `systemctl reload {unit}` has it taken over within the \
         service"
    ))
}

/// Arguments of a daemon that takes over.
const OWN: [&str; 2] = ["--takeover", "--adopt-output"];

/// Whether it is `--option=…`.
fn starts(argument: &OsStr, option: &str) -> bool {
    let rest = argument.to_str().and_then(|it| it.strip_prefix(option));
    rest.is_some_and(|rest| rest.starts_with('='))
}

fn zero_separated(octets: &[u8]) -> impl Iterator<Item = OsString> {
    let parts = octets.split(|octet| *octet == 0);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| OsString::from_vec(part.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named() {
        let fault = elsewhere("/system.slice/weir.service").to_string();
        assert!(fault.contains("`systemctl reload weir.service`"), "{fault}");
    }

    #[test]
    fn a_command_line_is_taken_apart() {
        let all: Vec<_> = zero_separated(b"weir\0run\0--lan\0eth 1\0").collect();
        assert_eq!(all, ["weir", "run", "--lan", "eth 1"]);
        assert!(starts(OsStr::new("--netns=a"), "--netns"));
        assert!(!starts(OsStr::new("--netns"), "--netns"));
    }
}
