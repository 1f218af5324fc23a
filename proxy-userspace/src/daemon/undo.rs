//! Undoing everything that Weir put on the host, whoever put it there and however far it came.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{
    dataplane::attach,
    netconf::{
        self, delivery,
        journal::Journal,
        links,
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
                tracing::warn!(error = format!("{error:#}"), "new connections may stall for a minute");
                return;
            }
        }
    }
    if let Err(error) = end(Which::All) {
        tracing::warn!(error = format!("{error:#}"), "new connections may stall for a minute");
    }
}
