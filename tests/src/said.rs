//! `weir` commands that are told something on standard input, or are meant to fail.

use std::{
    io::Write as _,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use crate::{daemon::Weir, launch::weir_binary};

/// What a command said, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// The exit code; `None` if a signal was the end.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Of a process that has ended.
    #[must_use]
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It ended with exit code 0.
    ///
    /// # Panics
    ///
    /// When it did not.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It ended with that exit code, and said each of these on standard error.
    ///
    /// # Panics
    ///
    /// When it did not.
    #[track_caller]
    pub fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {}", self.err);
        }
        self
    }
}

impl Weir {
    /// `weir bypass ARGUMENTS --instance NAME`, whatever comes of it.
    #[must_use]
    pub fn say(&self, arguments: &[&str]) -> Said {
        self.say_with(arguments, "")
    }

    /// As [`Weir::say`], with this on standard input.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn say_with(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Said {
        let mut child = self.begin_saying(arguments);
        if let Some(mut pipe) = child.stdin.take() {
            // A command that fails early does not read to the end.
            let _ = pipe.write_all(input.as_ref());
        }
        Said::of(&child.wait_with_output().expect("weir bypass"))
    }

    /// Starts `weir bypass ARGUMENTS --instance NAME` with pipes for all that it says and hears.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn begin_saying(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(weir_binary());
        command.arg("bypass").args(arguments);
        command.args(["--instance", &self.instance]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// The entries of all lists, as `weir bypass list --json` tells them.
    ///
    /// # Panics
    ///
    /// When it fails or prints something else.
    #[track_caller]
    #[must_use]
    pub fn entries(&self) -> Value {
        let text = self.bypass(&["list", "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("list: {error}: {text}"))
    }

    /// The lines of `weir bypass export` of a list.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    #[must_use]
    pub fn exported(&self, list: &str) -> Vec<String> {
        let text = self.bypass(&["export", "--list", list]);
        text.lines().map(str::to_owned).collect()
    }

    /// The number of edits of the bypass lists so far.
    ///
    /// # Panics
    ///
    /// When `weir status --json` has none.
    #[track_caller]
    #[must_use]
    pub fn generation(&self) -> u64 {
        let generation = &self.status()["bypass"]["generation"];
        generation.as_u64().expect("a generation")
    }
}
