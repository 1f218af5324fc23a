//! What is left of the daemon's privileges once everything is in place that takes more.
//!
//! The order in which they go is that of a start: what can be done as the user that the daemon
//! becomes, is done as that user from the beginning ([`Identity::act`]), so that nothing works at
//! first that does not after a reload, and so that root never writes where that user may write.

mod files;
mod identity;
mod landlock;
mod status;

use std::path::Path;

use anyhow::{Context as _, Error, Result};
use caps::{CapSet, Capability, CapsHashSet};
use nix::{sys::prctl, unistd};

use crate::{bypass::make_directory, config::Config, control};

pub(super) use files::Files;
pub(super) use identity::Identity;
pub(super) use landlock::Landlocked;
pub(super) use status::status;

/// What serving takes: transparent sockets and marks; clients' ports below 1024
/// (`spoof.source = "client-port"`, `metrics.listen`); rules, routes, neighbours, programs on links
/// that come, sockets that are ended; maps that are made anew.
const KEPT: [Capability; 4] = [
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_RAW,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_BPF,
];

/// Does something as the user that this process becomes, if it becomes one.
pub(super) fn act<T, E: Into<Error>>(
    identity: Option<&Identity>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T> {
    let Some(identity) = identity else {
        return work().map_err(Into::into);
    };
    let done = identity.act(work)?.map_err(Into::into);
    done.with_context(|| format!("as user {} (security.user)", identity.name))
}

/// Makes what it will write in, and gives it to the user that this process becomes.
pub(super) fn prepare(
    identity: Option<&Identity>,
    run_dir: &Path,
    lists: &Path,
    config: &Config,
) -> Result<()> {
    // Later it could not be made.
    let made = match (identity, &config.bypass.directory) {
        (Some(identity), Some(_)) => identity.act(|| make_directory(lists))?,
        _ => make_directory(lists),
    };
    if let Err(error) = made {
        tracing::warn!(%error, directory = %lists.display(), "bypass lists cannot be changed");
    }
    let Some(identity) = identity else {
        return Ok(());
    };
    identity.admit(run_dir)?;
    // Of a daemon that was somebody else.
    let socket = control::socket_path(run_dir);
    identity
        .own_file(&socket)
        .with_context(|| format!("cannot take {} over", socket.display()))?;
    // One that was chosen may have other files in it.
    if config.bypass.directory.is_none() && lists.is_dir() {
        identity.give(lists)?;
    }
    Ok(())
}

/// Gives everything up that serving does not take, for good. Only threads that are started from
/// now on are concerned besides the calling one, which must be the only one.
pub(super) fn confine(identity: Option<&Identity>, files: Option<&Files>) -> Result<Landlocked> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    // The bounding set is what a program that is executed could get back.
    if has(Capability::CAP_SETPCAP) {
        for capability in caps::runtime::thread_all_supported() {
            if !KEPT.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability)
                    .with_context(|| format!("cannot give {capability} up"))?;
            }
        }
    }
    if let Some(identity) = identity {
        prctl::set_keepcaps(true).context("cannot keep capabilities")?;
        become_for_good(identity)
            .with_context(|| format!("cannot become user {} (security.user)", identity.name))?;
        prctl::set_keepcaps(false).context("cannot stop keeping capabilities")?;
    }
    caps::clear(None, CapSet::Ambient).context("cannot give ambient capabilities up")?;
    let permitted = caps::read(None, CapSet::Permitted).context("cannot read capabilities")?;
    let kept: CapsHashSet = KEPT
        .into_iter()
        .filter(|it| permitted.contains(it))
        .collect();
    for (set, kept) in [
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
        (CapSet::Inheritable, &CapsHashSet::new()),
    ] {
        caps::set(None, set, kept).with_context(|| format!("cannot give up {set:?}"))?;
    }
    prctl::set_no_new_privs().context("cannot set no_new_privs")?;
    files.map_or(Ok(Landlocked::Off), landlock::restrict)
}

/// `setresuid(2)` of the C library is for all threads, and cannot be undone: the saved IDs go, too.
fn become_for_good(identity: &Identity) -> nix::Result<()> {
    unistd::setgroups(&identity.groups)?;
    unistd::setresgid(identity.gid, identity.gid, identity.gid)?;
    unistd::setresuid(identity.uid, identity.uid, identity.uid)
}
