//! What Weir changes on the host besides BPF programs, and how it is undone.
//!
//! Policy rules and one route per family through rtnetlink, the sockets that outlive a
//! connection through sock_diag, and the journal of all of it. The only room that names
//! rtnetlink.

pub mod addresses;
mod crossing;
pub mod delivery;
pub mod drift;
pub mod firewall;
pub mod journal;
pub mod links;
pub mod netns;
pub mod own;
pub mod routes;
pub mod rules;
pub mod sockets;
pub mod stations;
pub mod sysctl;
pub mod tc;
pub mod watch;

use std::fmt;

/// A connection to rtnetlink ([`connect`]).
pub use rtnetlink::Handle;
use thiserror::Error;

/// Protocol number of our routes and rules (`ip route … protocol 87`): what carries it is ours,
/// and nothing else is touched.
pub const PROTOCOL: u8 = 87;

/// A failed rtnetlink operation.
#[derive(Debug, Error)]
#[error("cannot {operation}: {cause}")]
pub struct NetlinkError {
    operation: String,
    cause: String,
}

impl NetlinkError {
    fn new(operation: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self {
            operation: operation.into(),
            cause: cause.to_string(),
        }
    }
}

/// Opens a connection to rtnetlink in the network namespace of the calling thread; a task on
/// the current tokio runtime serves it.
///
/// # Errors
///
/// If the netlink socket cannot be opened.
pub fn connect() -> Result<Handle, NetlinkError> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|e| NetlinkError::new("open rtnetlink", e))?;
    tokio::spawn(connection);
    Ok(handle)
}

/// As [`connect`], but the kernel heeds what a list is asked to be of (`NETLINK_GET_STRICT_CHK`),
/// and refuses what it does not know.
///
/// # Errors
///
/// If the netlink socket cannot be opened.
pub fn connect_strictly() -> Result<Handle, NetlinkError> {
    let (connection, handle, _) = rtnetlink::new_connection_with_strict_check()
        .map_err(|e| NetlinkError::new("open rtnetlink", e))?;
    tokio::spawn(connection);
    Ok(handle)
}
