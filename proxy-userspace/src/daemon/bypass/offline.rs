//! Lists without a daemon: root's command does what the daemon would, under its lock.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::Lists;
use crate::{
    config::{Config, Damaged},
    control::{Answer, ListEdit, Request},
    daemon::{
        confine::{self, Identity},
        instance::Claim,
    },
};

/// How long another command, or a daemon that is starting, may have the instance.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is tried.
const AGAIN: Duration = Duration::from_millis(20);

/// Answers what needs no daemon; `None` for what does, and for an edit if a daemon has started
/// meanwhile, as `is_running` tells: then that one is to be asked.
///
/// # Errors
///
/// If the lists cannot be read, or the instance runs after all and does not answer.
pub fn answer(
    instance: &str,
    config: &Config,
    request: &Request,
    is_running: impl Fn() -> bool,
) -> Result<Option<Answer>> {
    let look = || {
        let mut lists = Lists::look(&config.bypass.path(instance), config.bypass.entries)?;
        lists.know_feeds(&config.bypass.feeds);
        anyhow::Ok(lists)
    };
    Ok(Some(match request {
        Request::BypassEdit { list, edit, .. } => {
            let began = Instant::now();
            let claim = loop {
                if let Some(claim) = Claim::for_edit(instance)? {
                    break claim;
                }
                if is_running() {
                    return Ok(None);
                }
                if began.elapsed() > PATIENCE {
                    anyhow::bail!(
                        "instance {instance} is starting, stopping or hanging, or another command \
                         edits its lists; nothing was changed, try again"
                    );
                }
                thread::sleep(AGAIN);
            };
            // What is made is to belong to whom the daemon was, and will be.
            let owner = Identity::owner_of(&config.bypass.path(instance));
            let edit = || edited(instance, config, list, edit);
            let answer = confine::act(owner.as_ref(), edit);
            claim.release_edit();
            answer?
        }
        Request::BypassRead { list } => look()?.read(None, list.as_ref()),
        Request::BypassLists => look()?.overview(),
        Request::BypassTest(query) => look()?.test(None, query),
        _ => return Ok(None),
    }))
}

/// Under the instance's lock.
fn edited(
    instance: &str,
    config: &Config,
    list: &crate::bypass::ListName,
    edit: &ListEdit,
) -> Result<Answer> {
    let bypass = &config.bypass;
    let directory = bypass.path(instance);
    let mut lists = Lists::open(&directory, bypass.entries, Damaged::Refuse, None)?;
    lists.know_feeds(&bypass.feeds);
    Ok(match lists.change(None, list, edit, None) {
        Ok(change) => Answer::Done(lists.told(&change)),
        Err(fault) => fault.answer(),
    })
}
