//! Undoing everything that Weir put on the host, whoever put it there and however far it came.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};

use super::instance;
use crate::{
    dataplane::attach,
    netconf::{
        self, delivery,
        journal::{self, Journal},
        links, netns,
        sockets::{self, Which},
    },
};

/// How long sockets that die by themselves are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Undoes what `journal` stands for, in the calling thread's network namespace. Idempotent.
///
/// The order matters: sockets first, since one in TIME_WAIT would swallow a direct SYN on its
/// tuple as soon as no program steers around it; then the programs; then rules and routes, which
/// only concern packets that a program has marked.
pub(super) async fn undo(journal: &Journal) -> Result<()> {
    end_sockets(journal.socket_mark).await;
    let handle = netconf::connect()?;
    for link in links::list(&handle).await? {
        attach::detach_all(&link.name, link.index)?;
    }
    delivery::remove_all(&handle).await?;
    // Whatever was still closing while the programs went.
    end_sockets(journal.socket_mark).await;
    Ok(())
}

/// The same in the network namespace that the journal names, from a thread of its own. A
/// namespace that is gone has taken everything with it.
pub(super) fn undo_elsewhere(journal: &Journal) -> Result<()> {
    let work = || -> Result<()> {
        if netns::current_id()? != journal.netns && !netns::enter_id(journal.netns)? {
            tracing::info!(
                netns = journal.netns,
                "its network namespace is gone or has no name"
            );
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(undo(journal))
    };
    let undone = thread::scope(|scope| scope.spawn(work).join());
    undone
        .map_err(|_| anyhow!("undoing panicked"))?
        .with_context(|| format!("cannot undo what instance {} left", journal.instance))
}

/// What an instance that the caller has claimed left behind: its journal, or, if that is damaged,
/// one for each network namespace that the instance has locked, with `socket_mark`.
pub(super) fn left_by(instance: &str, run_dir: &Path, socket_mark: u32) -> Result<Vec<Journal>> {
    if let Some(journal) = Journal::read(run_dir)? {
        return Ok(vec![journal]);
    }
    if !Journal::is_there(run_dir) {
        return Ok(Vec::new());
    }
    let somewhere = |netns| Journal {
        instance: instance.to_owned(),
        pid: 0,
        netns,
        interfaces: Vec::new(),
        socket_mark,
    };
    let namespaces = instance::namespaces_of(instance);
    Ok(namespaces.into_iter().map(somewhere).collect())
}

/// Undoes what dead daemons left: `instance` wherever it was, and any in the network namespace
/// `netns`. The caller holds the locks of both, so none of them is alive.
pub(super) fn leftovers(instance: &str, netns: u64, socket_mark: u32) -> Result<()> {
    let own_run_dir = journal::run_dir(instance);
    for journal in left_by(instance, &own_run_dir, socket_mark)? {
        clean_up(&journal)?;
        if journal.netns != netns {
            instance::forget_namespace(instance, journal.netns)?;
        }
    }
    Journal::remove(&own_run_dir)?;
    let Ok(entries) = fs::read_dir(journal::RUN) else {
        return Ok(());
    };
    for run_dir in entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && *path != own_run_dir)
    {
        if let Some(journal) = Journal::read(&run_dir)?
            && journal.netns == netns
        {
            clean_up(&journal)?;
            fs::remove_dir_all(&run_dir)?;
        }
    }
    Ok(())
}

fn clean_up(journal: &Journal) -> Result<()> {
    tracing::warn!(
        instance = journal.instance,
        pid = journal.pid,
        "cleaning up after a daemon that died"
    );
    undo_elsewhere(journal)
}

/// Ends our sockets: those in TIME_WAIT at once, the others once they had time for their last
/// segments.
async fn end_sockets(mark: u32) {
    let end = |which| sockets::destroy_marked(mark, which).context("cannot end our old sockets");
    let started = Instant::now();
    loop {
        let left = end(Which::TimeWait).and_then(|_| Ok(sockets::count_marked(mark)?));
        match left {
            Ok(0) => return,
            Ok(_) if started.elapsed() < LAST_WORDS => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(_) => break,
            Err(error) => {
                // Without CONFIG_INET_DIAG_DESTROY they go by themselves within a minute.
                tracing::warn!(
                    error = format!("{error:#}"),
                    "new connections may stall for a minute"
                );
                return;
            }
        }
    }
    if let Err(error) = end(Which::All) {
        tracing::warn!(
            error = format!("{error:#}"),
            "new connections may stall for a minute"
        );
    }
}
