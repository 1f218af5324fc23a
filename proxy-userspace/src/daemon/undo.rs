//! Undoing everything that Weir put on the host, whoever put it there and however far it came.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};

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

/// Undoes what dead daemons left: this instance's wherever it was, and any in the network
/// namespace `netns`. The caller holds the locks of both, so none of them is alive.
pub(super) fn leftovers(own_run_dir: &Path, netns: u64) -> Result<()> {
    let Ok(entries) = fs::read_dir(journal::RUN) else {
        return Ok(());
    };
    for run_dir in entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
    {
        let Some(journal) = Journal::read(&run_dir)? else {
            continue;
        };
        let own = run_dir == own_run_dir;
        if !own && journal.netns != netns {
            continue;
        }
        tracing::warn!(
            instance = journal.instance,
            pid = journal.pid,
            "cleaning up after a daemon that died"
        );
        undo_elsewhere(&journal)?;
        Journal::remove(&run_dir)?;
        if !own {
            fs::remove_dir_all(&run_dir)?;
        }
    }
    Ok(())
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
