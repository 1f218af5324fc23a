//! Lists without a daemon: root's command does what the daemon would, under its lock.

use anyhow::Result;

use super::Lists;
use crate::{
    config::{Config, Damaged},
    control::{Answer, Request},
    daemon::instance::Claim,
};

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
            let Some(claim) = Claim::for_edit(instance)? else {
                anyhow::bail!(
                    "instance {instance} is running but does not answer; nothing was changed"
                );
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
