//! `weir` as an operator runs it: the daemon, and the commands that talk to it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{self, ExitStatus},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use proxy_userspace::lab::{Namespace, Output, READY_LINE};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    launch::{Failed, Options, run_weir, spawn, write_config},
    process::Process,
    wait::{until, until_some},
};

/// How long the daemon may take to intercept, on a machine that is busy with other tests.
const READY: Duration = Duration::from_secs(30);
/// How long the daemon may take to drain, undo everything and end.
pub(crate) const STOP: Duration = Duration::from_secs(30);

/// A running `weir run`. Dropping it kills it and runs `weir down`.
#[derive(Debug)]
pub struct Weir {
    /// The instance's name.
    pub instance: String,
    netns: String,
    options: Options,
    directory: TempDir,
    pub(crate) process: Process,
    /// Those that it was before `weir upgrade`.
    pub(crate) retired: Vec<Process>,
    output: Output,
    /// Whether it has ever intercepted: whoever never did has undone everything by itself, and
    /// the instance of this name may be another daemon's.
    intercepted: bool,
}

impl Weir {
    /// Starts the daemon in the namespace and waits until it intercepts.
    ///
    /// # Panics
    ///
    /// With its output when it does not.
    #[track_caller]
    #[must_use]
    pub fn start(router: &Namespace, options: &Options) -> Self {
        Self::try_start(router, options).unwrap_or_else(|Failed { status, output, .. }| {
            panic!("weir run ended with {status} before it intercepted:\n{output}")
        })
    }

    /// As [`Weir::start`], for daemons that are meant to fail.
    ///
    /// # Errors
    ///
    /// When it ends before it intercepts.
    ///
    /// # Panics
    ///
    /// When it does neither.
    pub fn try_start(router: &Namespace, options: &Options) -> Result<Self, Failed> {
        let mut weir = Self::begin(router, options);
        weir.wait_until_intercepting().map(|()| weir)
    }

    /// Starts the daemon and does not wait for anything.
    ///
    /// # Panics
    ///
    /// When there is no process.
    #[must_use]
    pub fn begin(router: &Namespace, options: &Options) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let unique = || {
            format!(
                "test-{}-{}",
                process::id(),
                NUMBER.fetch_add(1, Ordering::Relaxed)
            )
        };
        let instance = options.instance.clone().unwrap_or_else(unique);
        let netns = router.name().to_owned();
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("tempdir: {error}"));
        // A daemon that is not root any more reads its configuration again.
        let everybodys = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), everybodys)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.path().display()));
        write_config(directory.path(), &options.config);
        let mut child = spawn(&netns, &instance, options, directory.path());
        let output = Output::of(&mut child);
        let options = options.clone();
        Self {
            instance,
            netns,
            options,
            directory,
            process: Process::Child(child),
            retired: Vec::new(),
            output,
            intercepted: false,
        }
    }

    /// The failure of a daemon that is meant to fail.
    ///
    /// # Panics
    ///
    /// When it intercepts.
    #[track_caller]
    #[must_use]
    pub fn refused(router: &Namespace, options: &Options) -> Failed {
        match Self::try_start(router, options) {
            Err(failed) => failed,
            Ok(weir) => panic!("it intercepts:\n{}", weir.output()),
        }
    }

    /// Starts the same daemon again, after it ended: same instance, files and arguments.
    ///
    /// # Panics
    ///
    /// With its output when it does not come to intercepting.
    #[track_caller]
    pub fn start_again(&mut self) {
        let mut child = spawn(
            &self.netns,
            &self.instance,
            &self.options,
            self.directory.path(),
        );
        self.output = Output::of(&mut child);
        self.process = Process::Child(child);
        if let Err(Failed { status, output, .. }) = self.wait_until_intercepting() {
            panic!("weir run ended with {status} when started again:\n{output}");
        }
    }

    /// Runs `weir ARGUMENTS --instance NAME`, outside of the namespace.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> process::Output {
        let mut all = arguments.to_vec();
        all.extend(["--instance", &self.instance]);
        run_weir(&all)
    }

    /// As [`Weir::command`], for commands that are meant to succeed: what it printed.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn ask(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (status, errors) = (output.status, text(&output.stderr));
        assert!(
            status.success(),
            "weir {arguments:?}: {status}: {errors}\n{}",
            self.output()
        );
        text(&output.stdout)
    }

    /// `weir status --json`.
    ///
    /// # Panics
    ///
    /// When it fails or prints something else.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> Value {
        let text = self.ask(&["status", "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("status: {error}: {text}"))
    }

    /// How many SYNs the kernel counted under that reason.
    ///
    /// # Panics
    ///
    /// When `weir status --json` fails.
    #[track_caller]
    #[must_use]
    pub fn flows(&self, reason: &str) -> u64 {
        self.count("flows", reason)
    }

    /// How many packets the kernel counted under that word.
    ///
    /// # Panics
    ///
    /// When `weir status --json` fails.
    #[track_caller]
    #[must_use]
    pub fn packets(&self, event: &str) -> u64 {
        self.count("packets", event)
    }

    /// How many requests, or connections without any, ended for that reason.
    ///
    /// # Panics
    ///
    /// When `weir status --json` fails.
    #[track_caller]
    #[must_use]
    pub fn outcomes(&self, reason: &str) -> u64 {
        self.count("outcomes", reason)
    }

    #[track_caller]
    fn count(&self, section: &str, word: &str) -> u64 {
        self.status()[section][word].as_u64().unwrap_or_default()
    }

    /// `weir bypass ARGUMENTS`.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn bypass(&self, arguments: &[&str]) -> String {
        let mut all = vec!["bypass"];
        all.extend(arguments);
        self.ask(&all)
    }

    /// The access log's records so far. A file is not read in one piece with what is written to it
    /// meanwhile: a line without its end is still on its way.
    ///
    /// # Panics
    ///
    /// When a line is not JSON.
    #[must_use]
    pub fn access_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.directory.path().join("access.log"));
        text.unwrap_or_default()
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// Where this daemon's files are that a test chose: configuration, access log, bypass list.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `/run/weir/INSTANCE`.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        Path::new("/run/weir").join(&self.instance)
    }

    /// Puts another configuration in place, for who reads it next.
    pub fn configure(&self, config: &str) {
        write_config(self.directory.path(), config);
    }

    /// Puts another configuration in place and sends SIGHUP; what the daemon said to it.
    ///
    /// # Panics
    ///
    /// When it says nothing.
    #[track_caller]
    pub fn reload(&self, config: &str) -> String {
        write_config(self.directory.path(), config);
        let before = self.output().len();
        self.signal(Signal::SIGHUP);
        until_some(READY, "an answer to SIGHUP", || {
            let said = self.output().split_off(before);
            said.contains("reloaded").then_some(said)
        })
    }

    /// What the daemon has printed since it was started the last time.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Waits until the daemon has printed `words`: it tells what it did after it has done it, so
    /// perhaps after its effect is seen.
    ///
    /// # Panics
    ///
    /// With its output when the words do not come.
    #[track_caller]
    pub fn says(&self, words: &str) {
        until(READY, words, || self.output().contains(words));
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    ///
    /// With its output when it does not end with exit code 0.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = until_some(STOP, "the daemon's end after SIGTERM", || self.ended());
        self.output.finish();
        assert!(
            status.success(),
            "weir run ended with {status} after SIGTERM:\n{}",
            self.output()
        );
    }

    /// SIGKILL, and waits until the process has been reaped.
    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.process.wait();
    }

    /// SIGSTOP, and waits until the process has stopped.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn sigstop(&self) {
        self.signal(Signal::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.process.id());
        until(Duration::from_secs(5), "the daemon's stop", || {
            let state = fs::read_to_string(&stat).unwrap_or_default();
            state
                .rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('T'))
        });
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// When the process is gone.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        send(&self.process, signal)
            .unwrap_or_else(|errno| panic!("{signal}: {errno}\n{}", self.output()));
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How the process ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    fn wait_until_intercepting(&mut self) -> Result<(), Failed> {
        until_some(READY, "weir run intercepting or ending", || {
            if self.output.line(READY_LINE).is_some() {
                self.intercepted = true;
                return Some(Ok(()));
            }
            let status = self.ended()?;
            self.output.finish();
            Some(Err(Failed {
                instance: self.instance.clone(),
                status,
                output: self.output(),
            }))
        })
    }
}

/// Sends a process a signal.
pub(crate) fn send(process: &Process, signal: Signal) -> nix::Result<()> {
    let pid = i32::try_from(process.id()).map_err(|_| nix::errno::Errno::ESRCH)?;
    kill(Pid::from_raw(pid), signal)
}

impl Drop for Weir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- weir run --instance {} said:\n{}---",
                self.instance,
                self.output()
            );
        }
        let _ = send(&self.process, Signal::SIGKILL);
        let _ = self.process.wait();
        self.kill_retired();
        if self.intercepted {
            let _ = self.command(&["down"]);
        }
    }
}
