//! Lists without a daemon: root's command does what the daemon would, under its lock.

use std::{
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::Lists;
use crate::{
    config::{Config, Damaged},
    control::{self, Answer, Request},
    daemon::instance::Claim,
    netconf::journal,
};

/// How long other commands are waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(20);

/// Answers what needs no daemon; `None` for what does.
///
/// # Errors
///
/// If the lists cannot be read, or the instance runs after all and does not answer.
pub fn answer(instance: &str, config: &Config, request: &Request) -> Result<Option<Answer>> {
    let open = || {
        let bypass = &config.bypass;
        let directory = bypass.path(instance);
        let mut lists = Lists::open(
            &directory,
            bypass.entries,
            Damaged::Refuse,
            std::collections::BTreeMap::new(),
        )?;
        lists.know_feeds(&bypass.feeds);
        anyhow::Ok(lists)
    };
    Ok(Some(match request {
        Request::BypassEdit { list, edit, .. } => {
            let Some(claim) = claim(instance)? else {
                // It has begun to run meanwhile.
                return Ok(None);
            };
            let answer = open().map(|mut lists| match lists.change(None, list, edit, None) {
                Ok(change) => Answer::Done(lists.told(&change)),
                Err(fault) => fault.answer(),
            });
            claim.release();
            answer?
        }
        Request::BypassRead { list } => open()?.read(None, list.as_ref()),
        Request::BypassLists => open()?.overview(),
        Request::BypassTest(query) => open()?.test(None, query),
        _ => return Ok(None),
    }))
}

/// Waits for other commands that are at it. `None` if a daemon is.
fn claim(instance: &str) -> Result<Option<Claim>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(claim) = Claim::for_edit(instance)? {
            return Ok(Some(claim));
        }
        if UnixStream::connect(control::socket_path(&journal::run_dir(instance))).is_ok() {
            return Ok(None);
        }
        if Instant::now() > deadline {
            anyhow::bail!(
                "instance {instance} is starting or stopping, or another command edits its lists; \
                 nothing was changed, try again"
            );
        }
        std::thread::sleep(AGAIN);
    }
}
