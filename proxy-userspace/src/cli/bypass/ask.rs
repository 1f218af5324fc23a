//! Asks the daemon, or does what it would.

use std::io::ErrorKind::{ConnectionRefused, NotFound};

use anyhow::Result;
use serde_json::Value;

use super::Whom;
use crate::{
    cli::{outcome, unreachable},
    config::{Config, DEFAULT_PATH},
    control::{self, Request},
    daemon::offline,
    fault::Fault,
    netconf::journal,
};

/// What was answered.
pub(super) struct Answered {
    pub(super) value: Value,
    /// Whether a daemon did; else the files alone are what it is about.
    pub(super) live: bool,
}

pub(super) fn ask(whom: &Whom, request: &Request) -> Result<Answered> {
    let run_dir = journal::run_dir(&whom.instance);
    let call = || match control::call(&run_dir, request) {
        Ok(answer) => Ok(Ok(Answered {
            value: outcome(answer)?,
            live: true,
        })),
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => Ok(Err(error)),
        Err(error) => Err(unreachable(&whom.instance, &run_dir, &error)),
    };
    let absent = match call()? {
        Ok(answered) => return Ok(answered),
        Err(absent) => absent,
    };
    if let Some(answered) = offline(whom, request)? {
        return Ok(answered);
    }
    // One may have started meanwhile.
    if control::is_listening(&run_dir)
        && let Ok(answered) = call()?
    {
        return Ok(answered);
    }
    Err(unreachable(&whom.instance, &run_dir, &absent))
}

/// `None` if there is nothing that could be asked: a mistyped instance must not become a new one.
fn offline(whom: &Whom, request: &Request) -> Result<Option<Answered>> {
    let usage = |error: crate::config::ConfigError| Fault::Usage(error.to_string());
    let config = match &whom.config {
        Some(file) => Config::load(file).map_err(usage)?,
        None if std::path::Path::new(DEFAULT_PATH).exists() => {
            Config::load(std::path::Path::new(DEFAULT_PATH)).map_err(usage)?
        }
        None => Config::default(),
    };
    if !config.bypass.path(&whom.instance).exists() {
        return Ok(None);
    }
    let is_edit = matches!(request, Request::BypassEdit { .. });
    if is_edit && !nix::unistd::geteuid().is_root() {
        return Err(Fault::NotPermitted(format!(
            "no daemon of instance {} is running, and without one only root edits its lists",
            whom.instance
        ))
        .into());
    }
    let run_dir = journal::run_dir(&whom.instance);
    let is_running = || control::is_listening(&run_dir);
    let Some(answer) = offline::answer(&whom.instance, &config, request, is_running)? else {
        return Ok(None);
    };
    let answered = Answered {
        value: outcome(answer)?,
        live: false,
    };
    Ok(Some(answered))
}
