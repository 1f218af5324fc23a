//! A `weir why --watch` that runs.

use std::{
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use proxy_userspace::lab::Output;
use serde_json::Value;

use crate::{
    daemon::Weir,
    launch::weir_binary,
    wait::{until, until_some},
};

/// How long a command may take to begin, or to end.
const SOON: Duration = Duration::from_secs(20);

/// Somebody who watches. Dropping it kills it.
#[derive(Debug)]
pub struct Watcher {
    child: Child,
    output: Output,
}

impl Weir {
    /// `weir why --watch ARGUMENTS --json`, when it has begun to watch.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    #[must_use]
    pub fn watch(&self, arguments: &[&str]) -> Watcher {
        self.watch_as(&[&["--json"], arguments].concat())
    }

    /// The same for people.
    ///
    /// # Panics
    ///
    /// When it does not begin to watch.
    #[track_caller]
    #[must_use]
    pub fn watch_as(&self, arguments: &[&str]) -> Watcher {
        let before = self.watching();
        let mut command = Command::new(weir_binary());
        command.args(["why", "--watch", "--instance", &self.instance]);
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Output::of(&mut child);
        let watcher = Watcher { child, output };
        until(SOON, "a watch", || {
            assert_eq!(watcher.output.line("weir:"), None);
            self.watching() > before
        });
        watcher
    }

    /// How many watch, as `weir status --json` says.
    ///
    /// # Panics
    ///
    /// When it does not say.
    #[track_caller]
    #[must_use]
    pub fn watching(&self) -> u64 {
        self.status()["watching"].as_u64().expect("a number")
    }
}

impl Watcher {
    /// What it has printed so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.output.text()
    }

    /// The decisions that it has printed so far.
    #[must_use]
    pub fn decisions(&self) -> Vec<Value> {
        self.told("decision")
    }

    /// How many it has said that it does not print: left out by the sample, by the rate, lost.
    ///
    /// # Panics
    ///
    /// When it has said something else.
    #[must_use]
    pub fn hidden(&self) -> [u64; 3] {
        let all = self.told("hidden");
        ["sampled", "limited", "lost"].map(|part| {
            let numbers = all.iter().map(|it| it[part].as_u64().expect("a number"));
            numbers.sum()
        })
    }

    fn told(&self, kind: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
        let told = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        told.filter_map(|told| told.get(kind).cloned()).collect()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|errno| panic!("{signal}: {errno}"));
    }

    /// How it ended, which it does by itself or has been told to, and all that it printed.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[track_caller]
    pub fn ended(&mut self) -> (ExitStatus, String) {
        let status = until_some(SOON, "the watcher's end", || {
            self.child.try_wait().ok().flatten()
        });
        self.output.finish();
        (status, self.text())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- weir why --watch said:\n{}---", self.text());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
