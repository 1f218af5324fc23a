//! How the other `weir` commands talk to a running daemon: one JSON line each way over a Unix
//! socket below `/run/weir/INSTANCE/`.

mod client;
mod exporter;
pub mod handover;
mod protocol;
mod server;
mod watching;

pub use client::{call, is_listening};
pub use exporter::Exporter;
pub use protocol::{Answer, FailureKind, ListEdit, Query, Request};
pub use server::{Call, Calls, Groups, Server};
pub use watching::{Decided, Told, Wanted, Watcher, Watching, watch};

use std::path::{Path, PathBuf};

/// The socket of the instance with this run directory.
#[must_use]
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}
