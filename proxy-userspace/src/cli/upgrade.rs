//! `weir upgrade`.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    os::{
        fd::AsFd as _,
        unix::{ffi::OsStringExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
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
    /// Starts the new process, and ends.
    #[arg(long, hide = true)]
    begin: bool,
}

/// Starts a new process that takes over from the running daemon, and waits until it has.
pub(super) fn run(args: &Args) -> Result<()> {
    let old = Daemon::ask(&args.instance)?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => std::env::current_exe().context("cannot find out which program this is")?,
    };
    if args.begin {
        return old.begin_successor(&binary);
    }
    let mut new = Successor::start(&args.instance, &binary)?;
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let has_ended = new.look();
        match Daemon::ask(&args.instance) {
            Ok(now) if Some(now.pid) == new.pid => {
                println!(
                    "weir {} (pid {}) has taken over from {} (pid {})",
                    now.version, now.pid, old.version, old.pid
                );
                return Ok(());
            }
            _ if has_ended => return Err(new.fault(&binary, &old, &args.instance)),
            _ => {}
        }
    }
    new.kill();
    bail!(
        "the new process has not taken over within {} s, and was ended: pid {} goes on",
        PATIENCE.as_secs(),
        old.pid
    )
}

/// The new process. It is nobody's child but the first process's, or of whoever else takes orphans
/// in: a service manager wants to be the parent of what it is told is the main process.
struct Successor {
    pid: Option<u32>,
    code: Option<u8>,
    /// What it says on its standard input; this ends with it, or with its takeover.
    words: Receiver<String>,
}

impl Successor {
    fn start(instance: &str, binary: &Path) -> Result<Self> {
        let (words, saying) = io::pipe().context("cannot make a pipe")?;
        let status = Command::new("/proc/self/exe")
            .args(["upgrade", "--begin", "--instance", instance, "--binary"])
            .arg(binary)
            .stdin(saying)
            .status()
            .context("cannot start this program once more")?;
        if !status.success() {
            // It has said why.
            return Err(of_code(
                status.code().and_then(|code| u8::try_from(code).ok()),
                "no process was started".to_owned(),
            ));
        }
        let (heard, receiver) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(words).lines().map_while(Result::ok);
            lines.for_each(|line| drop(heard.send(line)));
        });
        Ok(Self {
            pid: None,
            code: None,
            words: receiver,
        })
    }

    /// Listens for a while. Whether it has ended, or taken over.
    fn look(&mut self) -> bool {
        match self.words.recv_timeout(LOOK) {
            Ok(line) => {
                match line.split_once(' ') {
                    Some(("pid", pid)) => self.pid = pid.parse().ok(),
                    Some(("exit", code)) => self.code = code.parse().ok(),
                    _ => {}
                }
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        }
    }

    /// It has said why; this process ends with the same exit code.
    fn fault(&self, binary: &Path, old: &Daemon, instance: &str) -> anyhow::Error {
        let code = self.code.map(|code| format!(" (exit code {code})"));
        let message = format!(
            "the new process ({}) has ended{}: pid {} of instance {instance} goes on",
            binary.display(),
            code.unwrap_or_default(),
            old.pid,
        );
        of_code(self.code, message)
    }

    fn kill(&self) {
        if let Some(pid) = self.pid.and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn of_code(code: Option<u8>, message: String) -> anyhow::Error {
    match code {
        Some(2) => Fault::Usage(message).into(),
        Some(3) => Fault::NotPermitted(message).into(),
        Some(4) => Fault::HostCannot(message).into(),
        _ => anyhow!(message),
    }
}

/// Has whoever started this process as a successor know how it ends.
pub(super) fn report(code: u8) {
    say(&format!("exit {code}"));
}

/// Says something to `weir upgrade`; if that is not at the other end, nobody hears it.
fn say(words: &str) {
    if let Ok(stdin) = io::stdin().as_fd().try_clone_to_owned() {
        let _ = File::from(stdin).write_all(format!("{words}\n").as_bytes());
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

    /// Starts `binary` as this daemon was started, to take over from it, with the standard input of
    /// this process, and says there which process it is.
    fn begin_successor(&self, binary: &Path) -> Result<()> {
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
            return Err(elsewhere(group.as_deref().unwrap_or_default()).into());
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
        let new = command
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        say(&format!("pid {}", new.id()));
        Ok(())
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
