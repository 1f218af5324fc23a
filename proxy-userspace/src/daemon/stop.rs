//! Ending a daemon: one's own, somebody else's, or what a dead one left behind.

use std::{
    fs,
    io::ErrorKind,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use proxy_ebpf::settings::{MODE_DRAIN, Settings};
use tokio::time::{interval_at, sleep, timeout};

use super::{
    Source,
    inputs::Inputs,
    instance::{self, Claim},
    interfaces,
    keeper::{Keeper, Running},
    service, undo,
    worker::Worker,
};
use crate::{
    config::Config,
    control::{self, Answer, FailureKind, Request},
    fault::Fault,
    netconf::journal::{self, Journal},
};

/// After the drain's deadline: for the sessions to notice that they are cut.
pub(super) const CUT: Duration = Duration::from_secs(2);

/// How often it is said how far the drain has come.
const PROGRESS: Duration = Duration::from_secs(5);

/// How often `weir down` looks whether the daemon has gone; it has deadlines of its own.
const POLL: Duration = Duration::from_millis(20);

/// Lets new flows go direct at once, waits for those under way, undoes everything.
pub(super) async fn stop(running: Running) -> Result<()> {
    let Running {
        mut keeper,
        mut inputs,
        mut workers,
        claim,
    } = running;
    let patience = drain(&mut keeper, &mut inputs, &mut workers).await;
    for worker in workers {
        worker.join();
    }

    // The programs still steer new flows around our dying sockets while these are ended.
    let undone = {
        let warden = Arc::clone(&keeper.warden);
        let undo = tokio::task::spawn_blocking(move || warden.undo(patience));
        let mut undone = std::pin::pin!(undo);
        loop {
            tokio::select! {
                undone = &mut undone => break undone.map_err(Into::into).flatten(),
                _ = inputs.while_stopping(&keeper) => {}
            }
        }
    };
    if let Some(link) = keeper.listen.take()
        && let Err(error) = keeper.dataplane.detach_listen(link)
    {
        tracing::debug!(%error, "the socket lookup program goes with the process");
    }
    keeper.lasting.log.close();
    undone.context("not everything could be undone; `weir down` tries again")?;
    // The control socket goes with the run directory: whoever still asks finds that it is gone.
    claim.release();
    drop(inputs);
    tracing::info!("stopped: the host is as it was");
    Ok(())
}

/// Lets new flows go direct, and waits for those under way, here and in earlier daemons, up to the
/// deadline. For how long what they have sent may be waited for.
async fn drain(keeper: &mut Keeper, inputs: &mut Inputs, workers: &mut [Worker]) -> Duration {
    // What comes is all the same, and nobody passes it on any more.
    keeper.end_watches(|_| true);
    let draining = Settings {
        mode: MODE_DRAIN,
        ..*keeper.dataplane.settings()
    };
    if let Err(error) = keeper.dataplane.set_settings(draining) {
        tracing::error!(%error, "cannot tell the kernel to let new flows pass");
    }
    keeper.lasting.drain.cancel();
    // From now on they are the workers' alone, and closed when those are done with them.
    keeper.listeners.clear();
    let started = Instant::now();
    let deadline = keeper.options.config.limits.drain;
    keeper.stopping = Some(started + deadline);
    let active = keeper.under_way();
    tracing::info!(active, ?deadline, "stopping: new flows go direct");
    service::stopping(active, deadline);

    let generations = keeper.generations.clone();
    let mut done = std::pin::pin!(async {
        let own = async {
            for worker in workers {
                let _ = (&mut worker.done).await;
            }
        };
        tokio::join!(own, generations.end(deadline));
    });
    let mut deadline_reached = std::pin::pin!(sleep(deadline));
    let mut progress = interval_at((started + PROGRESS).into(), PROGRESS);
    let cut = loop {
        tokio::select! {
            () = &mut done => break None,
            () = &mut deadline_reached => break Some("drain deadline reached"),
            _ = progress.tick() => {
                let left = deadline.saturating_sub(started.elapsed());
                let active = keeper.under_way();
                tracing::info!(active, ?left, "draining");
                service::stopping(active, left);
            }
            again = inputs.while_stopping(keeper) => if again {
                break Some("told to stop twice");
            },
        }
    };
    let Some(why) = cut else {
        return undo::LAST_WORDS.max(deadline.saturating_sub(started.elapsed()));
    };
    tracing::warn!(active = keeper.under_way(), "{why}: cutting what is left");
    keeper.lasting.cut.cancel();
    let _ = timeout(CUT, done).await;
    undo::LAST_WORDS
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
    let asked = match control::call(&run_dir, &Request::Stop) {
        // The daemon's own failure is that it stops already.
        Ok(
            Answer::Done(_)
            | Answer::Failed {
                kind: FailureKind::Other,
                ..
            },
        ) => true,
        Ok(Answer::Failed {
            kind: FailureKind::NotPermitted,
            message,
        }) => return Err(Fault::NotPermitted(message).into()),
        Ok(Answer::Failed { message, .. }) => bail!("the daemon refuses to stop: {message}"),
        Err(error) => match error.kind() {
            ErrorKind::PermissionDenied => {
                let message = format!("not permitted to stop instance {name}: run it as root");
                return Err(Fault::NotPermitted(message).into());
            }
            // It ends already, and had no time for an answer.
            ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                true
            }
            // No daemon, or one that hangs: the lock tells.
            _ => false,
        },
    };
    let claim = loop {
        // A daemon that stops removes its directory last.
        if !fs::exists(&run_dir)? {
            return if asked {
                Ok(())
            } else {
                Err(no_instance(name))
            };
        }
        match Claim::left_behind(name)? {
            Some(claim) => break claim,
            None if asked => std::thread::sleep(POLL),
            None => {
                bail!("instance {name} runs but does not answer: kill its process, and try again")
            }
        }
    };
    let was_there = undo_left(name, claim)?;
    if !was_there && !asked {
        return Err(no_instance(name));
    }
    Ok(())
}

/// Removes what a daemon of the instance has left that died, unless new connections are to be
/// refused until there is another. Nothing to do is no failure.
///
/// Must be called while the process has one thread only.
///
/// # Errors
///
/// If something cannot be undone, or the configuration cannot be read that tells.
pub fn clear(name: &str, source: &Source) -> Result<()> {
    instance::check_name(name)?;
    if !journal::run_dir(name).exists() {
        return Ok(());
    }
    let Some(claim) = Claim::left_behind(name)? else {
        return Ok(());
    };
    // Only now: after a stop, a configuration that is wrong by now is nobody's business.
    if interfaces::any_closed(&source.read()?.intercept) {
        eprintln!("weir: left as it is: new connections are refused until a daemon is started");
        return Ok(());
    }
    undo_left(name, claim).map(|_| ())
}

/// Undoes everything of an instance without a daemon. Whether there was anything.
fn undo_left(name: &str, claim: Claim) -> Result<bool> {
    let run_dir = journal::run_dir(name);
    // A damaged journal does not tell the mark: then it is most likely the usual one.
    let usual = Config::default().host;
    let left = undo::left_by(name, &run_dir, &usual)?;
    for journal in &left {
        undo::undo_elsewhere(journal)?;
    }
    Journal::remove(&run_dir)?;
    claim.release();
    Ok(!left.is_empty())
}

fn no_instance(name: &str) -> anyhow::Error {
    Fault::NoInstance(format!("no instance {name} here, and nothing left of one")).into()
}
