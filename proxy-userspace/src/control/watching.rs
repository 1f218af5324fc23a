//! Decisions as they are made, from the daemon to a command: the control connection is the watch,
//! and ends with it.
//!
//! It begins as a [request](super::Request::Watch) with an answer, like any other; then each line
//! is a [`Told`]. Whoever goes, however, closes the connection, and that is the end of the watch.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{Answer, Request, socket_path};
use crate::bypass::InterfaceName;

/// How long the other end may take to say or take something in that it need not work for.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many may wait to be written to who watches; what comes when there are so many is lost.
const WAITING: usize = 4096;

/// Which decisions are wanted: those of which all holds that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Where the client is.
    pub source: Option<IpNet>,
    /// Where the destination is.
    pub destination: Option<IpNet>,
    /// Its port.
    pub port: Option<u16>,
    /// The interface that it comes from.
    pub interface: Option<InterfaceName>,
    /// One of these words is the reason; any, if there are none.
    pub reasons: Vec<String>,
    /// One in so many is told.
    pub sample: u32,
    /// So many are told in a second.
    pub rate: u32,
}

/// What who watches is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// A decision.
    Decision(Decided),
    /// So many more have come that are not told, since this was said last.
    Hidden {
        /// Left out by [`Wanted::sample`].
        sampled: u64,
        /// Left out by [`Wanted::rate`].
        limited: u64,
        /// There was no room for them.
        lost: u64,
    },
}

/// A decision about a SYN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The interface that it came in by.
    pub interface: String,
    /// The client.
    pub client: SocketAddr,
    /// Its destination.
    pub origin: SocketAddr,
    /// `intercepted`, `direct`, `refused` or `dropped`.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// The VLAN that it came in, across a bridge.
    pub vlan: Option<u32>,
}

/// Somebody who wants to watch, for the daemon.
#[derive(Debug)]
pub struct Watcher {
    /// What.
    pub wanted: Wanted,
    /// Whether it may.
    pub reply: oneshot::Sender<Answer>,
    /// Where it is told then; closed when it has gone.
    pub told: mpsc::Sender<Told>,
}

/// The daemon's end: asks for a watch, and writes what comes of it until one of the two ends.
pub(super) async fn serve(
    wanted: Wanted,
    watchers: mpsc::Sender<Watcher>,
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let (told, mut lines) = mpsc::channel(WAITING);
    let (reply, answer) = oneshot::channel();
    let watcher = Watcher {
        wanted,
        reply,
        told,
    };
    let stopping = || Answer::failed("the daemon is stopping");
    let answer = match watchers.send(watcher).await {
        Ok(()) => answer.await.unwrap_or_else(|_| stopping()),
        Err(_) => stopping(),
    };
    say(&mut write, &answer).await?;
    if !matches!(answer, Answer::Done(_)) {
        return Ok(());
    }
    let mut octet = [0];
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => say(&mut write, &line).await?,
                None => return Ok(()),
            },
            // It has nothing more to say: this is its end.
            _ = read.read(&mut octet) => return Ok(()),
        }
    }
}

/// One that does not take it in for long is one that is stopped: the watch is not for it.
async fn say(write: &mut (impl AsyncWrite + Unpin), what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    timeout(PATIENCE, write.write_all(&line)).await?
}

/// The command's end of a watch.
#[derive(Debug)]
pub struct Watching(BufReader<UnixStream>);

/// Begins to watch; the inner error is the daemon's answer if it does not let one.
///
/// # Errors
///
/// As [`call`](super::call).
pub fn watch(run_dir: &Path, wanted: &Wanted) -> io::Result<Result<Watching, Answer>> {
    let mut stream = UnixStream::connect(socket_path(run_dir))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&Request::Watch(wanted.clone()))?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut read = BufReader::new(stream);
    let mut answer = String::new();
    if read.read_line(&mut answer)? == 0 {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    Ok(match serde_json::from_str(&answer)? {
        Answer::Done(_) => {
            read.get_ref().set_read_timeout(None)?;
            Ok(Watching(read))
        }
        other => Err(other),
    })
}

impl Iterator for Watching {
    type Item = Told;

    /// The next; `None` when the daemon has ended the watch, or itself.
    fn next(&mut self) -> Option<Told> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(1..) => serde_json::from_str(&line).ok(),
            _ => None,
        }
    }
}
