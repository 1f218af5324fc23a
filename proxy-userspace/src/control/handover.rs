//! How a daemon is taken over: what it hands to its successor, and what the two say to each other
//! then.
//!
//! It begins as a [request](super::Request::TakeOver) like any other; then the control connection
//! is theirs. The old daemon sends an [`Offer`] with descriptors and holds still. The new one
//! starts beside it and says `taken`; the old one answers `yours`, and from then on the new one
//! keeps the host. If the new one goes without that word, or the old one answers `kept`, nothing
//! has happened. Afterwards the new one may say `stop MILLISECONDS`, `cut REASON` and
//! `ask TAG QUESTION`, and the old one says `hits LIST` once for some entries each,
//! `answer TAG ANSWER`, and `active NUMBER` until it ends.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Request, socket_path};
use crate::{netconf::journal::Journal, sys::passing};

/// The successor's word that it has taken over.
pub const TAKEN: &str = "taken";
/// The predecessor's word that it has given up what it had.
pub const YOURS: &str = "yours";
/// Its word that it has not.
pub const KEPT: &str = "kept";

/// How long the other daemon may take for a message that it need not work for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a daemon hands over, and what its successor has to know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Offer {
    /// [`ABI_VERSION`](proxy_ebpf::abi::ABI_VERSION) of its maps.
    pub abi: u32,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How many workers there are, and so slots for listeners.
    pub workers: u32,
    /// The families that it has listeners for, 4 and 6.
    pub families: Vec<u8>,
    /// Room for translated connections that the maps were made with.
    pub room: u32,
    /// Settings that cannot change with a takeover, as in the configuration file.
    pub held: BTreeMap<String, String>,
    /// The first number that its flows may have.
    #[serde(default)]
    pub first_flow: usize,
    /// Prefixes that the programs know as this host's own.
    pub own: Vec<IpNet>,
    /// Stations that the programs know.
    pub stations: Vec<[u8; 6]>,
    /// Its journal: what has to be undone in the end.
    pub journal: Journal,
    /// What the descriptors are, in their order.
    pub parts: Vec<Part>,
}

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The file system that the maps are pinned in.
    Maps,
    /// The instance's lock.
    InstanceLock,
    /// The network namespace's lock.
    NamespaceLock,
    /// A listener.
    Listener {
        /// Of which worker.
        worker: u32,
        /// 4 or 6.
        family: u8,
    },
    /// What has fragments put together.
    Defragmentation {
        /// 4 or 6.
        family: u8,
    },
    /// The connection to an earlier daemon that drains.
    Generation {
        /// Its process.
        pid: u32,
    },
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

/// Sends an offer, or why there is none. The stream is a blocking one.
///
/// # Errors
///
/// If the successor does not take it.
pub fn offer(
    stream: &UnixStream,
    offer: &Result<Offer, String>,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    passing::send(stream, &serde_json::to_vec(offer)?, descriptors)
}

/// What a daemon has handed over.
#[derive(Debug)]
pub struct Offered {
    /// The connection to it.
    pub stream: UnixStream,
    /// What it says.
    pub offer: Offer,
    /// The [parts](Offer::parts).
    pub descriptors: Vec<OwnedFd>,
}

/// Asks the daemon with this run directory for all it has. What it says instead, if it refuses,
/// is the inner error.
///
/// # Errors
///
/// `NotFound` or `ConnectionRefused`: there is no daemon.
pub fn take_over(run_dir: &Path) -> io::Result<Result<Offered, String>> {
    let mut stream = UnixStream::connect(socket_path(run_dir))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&Request::TakeOver)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let (text, descriptors) = match passing::receive(&stream) {
        Ok(received) => received,
        // A line of text, of which the first octets are no length that could be.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Ok(Err("it does not know how to be taken over".to_owned()));
        }
        Err(error) => return Err(error),
    };
    match serde_json::from_slice::<Result<Offer, String>>(&text) {
        Ok(offered) => Ok(offered.map(|offer| Offered {
            stream,
            offer,
            descriptors,
        })),
        Err(error) => Ok(Err(format!(
            "it offers what this version does not understand: {error}"
        ))),
    }
}
