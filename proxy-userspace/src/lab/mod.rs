//! Throwaway networks in namespaces, an origin that tells who asked it, and `weir lab`.
//!
//! The integration tests build on the same [`Network`] and [`Origin`], so that what anyone can
//! try with `weir lab` is what is tested. Needs root and iproute2, nothing of the host's own
//! network: no packet leaves the namespaces.

mod child;
mod error;
mod fetch;
mod layout;
mod link;
mod namespace;
mod network;
pub mod origin;
mod output;
mod story;

pub use child::READY_LINE;
pub use error::{LabError, Result};
pub use layout::{ASIDE, Family, Hop, LAN, Layout, ORIGINS, Side, WAN};
pub use namespace::{Namespace, require};
pub use network::Network;
pub use origin::Origin;
pub use output::Output;

use std::{future::Future, io::Write, path::PathBuf};

use tokio::signal::unix::{SignalKind, signal};

/// What `weir lab` was asked for.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Whether to end in a shell in the client's namespace, with the daemon running.
    pub shell: bool,
    /// The `weir` executable that becomes the daemon: the running one, normally.
    pub weir: PathBuf,
}

/// Builds a network, runs Weir on its router, makes real requests and writes an account of them.
///
/// Everything is removed at the end, also on SIGINT, SIGTERM and SIGHUP. Blocks the calling
/// thread, which must not be inside an async runtime.
///
/// # Errors
///
/// When the network cannot be built, the daemon does not intercept, or an observation is not what
/// the account would say; [`LabError::Interrupted`] after a signal.
pub fn run(options: &LabOptions, out: &mut dyn Write) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LabError::io("starting the lab's runtime"))?;
    runtime.block_on(async {
        let interrupted = interrupted()?;
        tokio::select! {
            biased;
            () = interrupted => Err(LabError::Interrupted),
            told = story::tell(options, out) => told,
        }
    })
}

/// Ends at the first signal that asks the process to end. They are caught from the call on, not
/// from the first poll.
fn interrupted() -> Result<impl Future<Output = ()>> {
    let catch = |kind| signal(kind).map_err(LabError::io("catching signals"));
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut terminate = catch(SignalKind::terminate())?;
    let mut hangup = catch(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
