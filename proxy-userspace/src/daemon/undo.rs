//! Undoing everything that Weir put on the host, whoever put it there and however far it came.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use tokio::time::sleep;

use super::{
    instance::{self, Claim},
    moved,
};
use crate::{
    config::Host,
    dataplane::attach,
    netconf::{
        self, delivery,
        journal::{self, Journal},
        links, netns,
        sockets::{self, Which},
        sysctl,
    },
};

/// How long sockets that die by themselves are waited for at least.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(500);

/// Undoes what `journal` stands for, in the calling thread's network namespace. Idempotent.
/// What our sockets have sent and the other side has not yet taken is waited for up to `patience`.
///
/// The order matters: sockets first, since one in TIME_WAIT would swallow a direct SYN on its
/// tuple as soon as no program steers around it; then the programs; then rules and routes, which
/// only concern packets that a program has marked.
pub(super) async fn undo(journal: &Journal, patience: Duration) -> Result<()> {
    undo_all(journal, patience, false).await
}

async fn undo_all(journal: &Journal, patience: Duration, keep_programs: bool) -> Result<()> {
    end_sockets(journal.socket_mark, patience).await;
    let handle = netconf::connect()?;
    if !keep_programs {
        for link in links::list(&handle).await? {
            attach::detach_all(&link.name, link.index)?;
        }
    }
    moved::detach_elsewhere(&journal.programs);
    delivery::remove_all(&handle, journal.table).await?;
    put_back(&journal.sysctls);
    // Whatever was still closing while the programs went.
    end_sockets(journal.socket_mark, Duration::ZERO).await;
    Ok(())
}

/// Puts kernel parameters back. Those of an interface that is gone went with it.
fn put_back(sysctls: &BTreeMap<String, String>) {
    for (name, value) in sysctls {
        match sysctl::write(name, value) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(%error, value, "a kernel parameter is not as it was");
            }
            _ => {}
        }
    }
}

/// The same in the network namespace that the journal names, from a thread of its own. A
/// namespace that is gone has taken everything with it.
pub(super) fn undo_elsewhere(journal: &Journal) -> Result<()> {
    undo_there(journal, false)
}

fn undo_there(journal: &Journal, keep_programs: bool) -> Result<()> {
    let work = || -> Result<()> {
        if netns::current_id()? != journal.netns && !netns::enter_id(journal.netns)? {
            tracing::info!(
                netns = journal.netns,
                "its network namespace is gone, and everything with it"
            );
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(undo_all(journal, LAST_WORDS, keep_programs))
    };
    let undone = thread::scope(|scope| scope.spawn(work).join());
    undone
        .map_err(|_| anyhow!("undoing panicked"))?
        .with_context(|| format!("cannot undo what instance {} left", journal.instance))
}

/// What an instance that the caller has claimed left behind: its journal, or, if that is damaged,
/// one for each network namespace that the instance has locked, with the `usual` marks.
pub(super) fn left_by(instance: &str, run_dir: &Path, usual: &Host) -> Result<Vec<Journal>> {
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
        socket_mark: usual.socket_mark,
        programs: Vec::new(),
        table: usual.table,
        sysctls: BTreeMap::new(),
    };
    let namespaces = instance::namespaces_of(instance);
    Ok(namespaces.into_iter().map(somewhere).collect())
}

/// Undoes what dead daemons left: `instance` wherever it was, and any in the network namespace
/// `netns`. The caller holds the locks of both, so none of them is alive. Programs of that
/// namespace may be `kept`, for others to take their place.
pub(super) fn leftovers(instance: &str, netns: u64, usual: &Host, kept: bool) -> Result<()> {
    let own_run_dir = journal::run_dir(instance);
    let clean_up = |journal: &Journal| clean_up(journal, kept && journal.netns == netns);
    for journal in left_by(instance, &own_run_dir, usual)? {
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
        let Some(journal) = Journal::read(&run_dir)?.filter(|journal| journal.netns == netns)
        else {
            continue;
        };
        // It may be starting anew in another namespace; then this is its own business.
        if let Some(claim) = Claim::left_behind(&journal.instance)? {
            clean_up(&journal)?;
            Journal::remove(&run_dir)?;
            claim.release();
        }
    }
    Ok(())
}

fn clean_up(journal: &Journal, keep_programs: bool) -> Result<()> {
    tracing::warn!(
        instance = journal.instance,
        pid = journal.pid,
        "cleaning up after a daemon that died"
    );
    undo_there(journal, keep_programs)
}

/// Ends our sockets: those in TIME_WAIT at once, those with bytes on the way when they have been
/// acknowledged or patience ends, the others when they had a moment for the other side's FIN.
async fn end_sockets(mark: u32, patience: Duration) {
    let started = Instant::now();
    while started.elapsed() < patience {
        let left = sockets::destroy_marked(mark, Which::TimeWait).and_then(|_| {
            let unacknowledged = sockets::count_marked(mark, Which::Unacknowledged)?;
            Ok((unacknowledged, sockets::count_marked(mark, Which::All)?))
        });
        match left {
            Ok((_, 0)) => return,
            Ok((0, _)) if started.elapsed() >= LAST_WORDS => break,
            Ok(_) => sleep(Duration::from_millis(20)).await,
            Err(_) => break,
        }
    }
    if let Err(error) = sockets::destroy_marked(mark, Which::All) {
        // Without CONFIG_INET_DIAG_DESTROY they go by themselves within a minute.
        tracing::warn!(
            %error,
            "cannot end our old sockets: new connections may stall for a minute"
        );
    }
}
