//! The daemon, and the commands that talk to it, as child processes of `weir lab`.

use std::{
    ffi::OsStr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    error::{LabError, Result},
    output::Output,
};

/// How the line begins that says that the daemon intercepts.
pub const READY_LINE: &str = "weir: intercepting";
/// How long the daemon may take until it says so.
const READY: Duration = Duration::from_secs(30);
/// How long the daemon may take to undo everything after SIGTERM.
const STOP: Duration = Duration::from_secs(15);
/// How often the state of a child is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A `weir run` of the lab's own. Dropping it stops it: SIGTERM first, and what is left after
/// that by force.
#[derive(Debug)]
pub(super) struct Daemon {
    weir: PathBuf,
    instance: String,
    child: Child,
    output: Output,
}

impl Daemon {
    /// Starts `weir run` with `arguments` and waits until it intercepts.
    pub(super) async fn start(
        weir: &Path,
        instance: &str,
        arguments: &[&OsStr],
    ) -> Result<(Self, String)> {
        let mut child = Command::new(weir)
            .args(["run", "--instance", instance])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The terminal's Ctrl-C reaches the lab alone, which then stops its daemon.
            .process_group(0)
            .spawn()
            .map_err(LabError::io(format!("starting {}", weir.display())))?;
        let output = Output::of(&mut child);
        let instance = instance.to_owned();
        let mut daemon = Self {
            weir: weir.to_owned(),
            instance,
            child,
            output,
        };
        let deadline = Instant::now() + READY;
        loop {
            if let Some(line) = daemon.output.line(READY_LINE) {
                return Ok((daemon, line));
            }
            if let Ok(Some(status)) = daemon.child.try_wait() {
                daemon.output.finish();
                return Err(daemon.failed(&format!("ended with {status}")));
            }
            if Instant::now() >= deadline {
                return Err(daemon.failed("did not intercept in time"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stops the daemon; an error, with its output, unless it undid everything by itself.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.stop() {
            return Ok(());
        }
        Err(self.failed("did not end well after SIGTERM"))
    }

    /// Runs `weir` with `arguments` and this daemon's instance, and returns what it printed.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<String> {
        let what = format!("weir {} --instance {}", arguments.join(" "), self.instance);
        let child = Command::new(&self.weir)
            .args(arguments)
            .args(["--instance", &self.instance])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(LabError::io(&what))?;
        let mut child = KillOnDrop(child);
        let mut errors = Output::default();
        errors.follow(child.0.stderr.take());
        let mut printed = Output::default();
        printed.follow(child.0.stdout.take());
        let status = child.wait().await?;
        errors.finish();
        printed.finish();
        if status.success() {
            return Ok(printed.text());
        }
        Err(LabError::Command {
            what,
            detail: format!("{status}: {}", errors.text().trim()),
        })
    }

    fn failed(&self, what: &str) -> LabError {
        LabError::Daemon {
            binary: self.weir.clone(),
            what: what.to_owned(),
            output: self.output.text(),
        }
    }

    /// Sends SIGTERM and waits; whether the daemon ended by itself, and well.
    fn stop(&mut self) -> bool {
        let _ = terminate(&self.child);
        let deadline = Instant::now() + STOP;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                _ => return false,
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(status)) if status.success()) || self.stop() {
            return;
        }
        let _ = self.child.kill().and_then(|()| self.child.wait());
        let _ = Command::new(&self.weir)
            .args(["down", "--instance", &self.instance])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// A child that does not outlive its owner.
pub(super) struct KillOnDrop(pub(super) Child);

impl KillOnDrop {
    /// Waits for its end without blocking the runtime.
    pub(super) async fn wait(&mut self) -> Result<std::process::ExitStatus> {
        loop {
            match self
                .0
                .try_wait()
                .map_err(LabError::io("waiting for a child"))?
            {
                Some(status) => return Ok(status),
                None => tokio::time::sleep(POLL).await,
            }
        }
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill().and_then(|()| self.0.wait());
        }
    }
}

fn terminate(child: &Child) -> nix::Result<()> {
    let pid = i32::try_from(child.id()).map_err(|_| nix::errno::Errno::ESRCH)?;
    kill(Pid::from_raw(pid), Signal::SIGTERM)
}
