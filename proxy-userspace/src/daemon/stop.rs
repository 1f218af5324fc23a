//! Ending a daemon: one's own, somebody else's, or what a dead one left behind.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use proxy_ebpf::settings::{MODE_DRAIN, Settings};
use tokio::time::{sleep, timeout};

use super::{
    instance::{self, Claim},
    keeper::Running,
    undo,
};
use crate::{
    control::{self, Answer, Request},
    fault::Fault,
    netconf::journal::{self, Journal},
};

/// After the drain's deadline: for the sessions to notice that they are cut.
const CUT: Duration = Duration::from_secs(2);

/// How long `weir down` waits behind the daemon's own deadlines.
const PATIENCE: Duration = Duration::from_secs(3600 + 30);

/// Lets new flows go direct at once, waits for those under way, undoes everything.
pub(super) async fn stop(running: Running) -> Result<()> {
    let Running {
        mut keeper,
        mut inputs,
        workers,
        claim,
    } = running;
    let draining = Settings {
        mode: MODE_DRAIN,
        ..*keeper.dataplane.settings()
    };
    keeper.dataplane.set_settings(draining)?;
    keeper.lasting.drain.cancel();
    let active = keeper.lasting.stats.active();
    let deadline = keeper.options.config.limits.drain;
    tracing::info!(active, deadline = ?deadline, "stopping: new flows go direct");

    let mut workers = workers;
    let mut done = std::pin::pin!(async {
        for worker in &mut workers {
            let _ = (&mut worker.done).await;
        }
    });
    let cut = tokio::select! {
        () = &mut done => None,
        () = sleep(deadline) => Some("drain deadline reached"),
        () = inputs.told_to_stop() => Some("told to stop twice"),
    };
    if let Some(why) = cut {
        tracing::warn!(
            active = keeper.lasting.stats.active(),
            "{why}: cutting what is left"
        );
        keeper.lasting.cut.cancel();
        let _ = timeout(CUT, done).await;
    }
    for worker in workers {
        worker.join();
    }

    // The programs still steer new flows around our dying sockets while these are ended.
    let undone = undo::undo(&keeper.journal).await;
    if let Some(link) = keeper.listen.take() {
        keeper.dataplane.detach_listen(link)?;
    }
    keeper.lasting.log.close();
    undone.context("not everything could be undone; `weir down` tries again")?;
    Journal::remove(claim.run_dir())?;
    drop(inputs);
    claim.release();
    tracing::info!("stopped: the host is as it was");
    Ok(())
}

/// Ends the instance, whatever state it is in, and removes everything of it from the host.
///
/// Must be called while the process has one thread only.
///
/// # Errors
///
/// [`Fault::NoInstance`] if there is neither a daemon nor anything left of one.
pub fn down(name: &str) -> Result<()> {
    instance::check_name(name)?;
    let run_dir = journal::run_dir(name);
    if !run_dir.exists() {
        return Err(no_instance(name));
    }
    match control::call(&run_dir, &Request::Stop) {
        Ok(Answer::Done(_)) => return wait_until_gone(&run_dir),
        Ok(Answer::Failed { message, .. }) => bail!("the daemon refuses to stop: {message}"),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let message = format!("not permitted to stop instance {name}: run it as root");
            return Err(Fault::NotPermitted(message).into());
        }
        // No daemon: clean up after it.
        Err(_) => {}
    }
    let journal = Journal::read(&run_dir)?;
    let claim = Claim::left_behind(name, journal.as_ref().map_or(0, |journal| journal.netns))?;
    if let Some(journal) = &journal {
        undo::undo_elsewhere(journal)?;
        Journal::remove(&run_dir)?;
    }
    claim.release();
    if journal.is_none() {
        return Err(no_instance(name));
    }
    Ok(())
}

fn no_instance(name: &str) -> anyhow::Error {
    Fault::NoInstance(format!("no instance {name} here, and nothing left of one")).into()
}

fn wait_until_gone(run_dir: &Path) -> Result<()> {
    let started = Instant::now();
    while fs::exists(run_dir)? {
        if started.elapsed() > PATIENCE {
            bail!(
                "the daemon has not stopped; {} is still there",
                run_dir.display()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
