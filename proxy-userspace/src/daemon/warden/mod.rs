//! What keeps root's privileges beside the daemon, which gives its own up: a process that knows a
//! few orders, each of which is harmless, and ends when the daemon does.
//!
//! Who has taken the daemon over by way of what clients or origins send can have the host put back
//! as it was, and no more: what is undone was told before anything was served.

mod serve;

use std::{
    io,
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};

pub use serve::serve;

use crate::{netconf::journal::Journal, sys::passing};

/// The hidden command by which the daemon starts it.
pub const COMMAND: &str = "warden";

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    /// What there will be to undo. The first word, and said once.
    Keep(Journal),
    /// To say what it says to the standard error that comes with this.
    Speak,
    /// To take our programs from links that have moved to other network namespaces.
    Elsewhere,
    /// To put this daemon's programs and journal back in the place of another one's.
    Reinstate,
    /// To undo everything, waiting so many milliseconds for what our sockets have sent.
    Undo(u64),
    /// To remove the files of the instance, of which nothing is left.
    Release,
}

/// The daemon's hold on it. With the last one, it ends.
#[derive(Debug)]
pub(super) struct Warden(Mutex<Process>);

#[derive(Debug)]
struct Process {
    stream: UnixStream,
    child: Child,
}

impl Warden {
    /// Starts it with the privileges and in the network namespace that this process has now. It is
    /// the one to undo what `journal` stands for.
    pub(super) fn start(journal: &Journal, log_level: &str) -> Result<Self> {
        let (here, there) = UnixStream::pair().context("cannot make a pair of sockets")?;
        let child = Command::new("/proc/self/exe")
            .args([COMMAND, log_level])
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(there)))
            // Whoever waits for the end of ours is not to wait for it.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the warden, which keeps what the daemon gives up")?;
        let warden = Self(Mutex::new(Process {
            stream: here,
            child,
        }));
        warden.order(&Order::Keep(journal.clone()))?;
        warden.speak()?;
        Ok(warden)
    }

    /// It says what it says where this process does.
    pub(super) fn speak(&self) -> Result<()> {
        self.order(&Order::Speak)
    }

    /// Takes our programs from links that have moved to other network namespaces.
    pub(super) fn look_elsewhere(&self) -> Result<()> {
        self.order(&Order::Elsewhere)
    }

    /// Puts the programs and the journal back that another daemon has put its own in the place of.
    pub(super) fn reinstate(&self) -> Result<()> {
        self.order(&Order::Reinstate)
    }

    /// Undoes everything. What our sockets have sent and the other side has not yet taken is waited
    /// for up to `patience`.
    pub(super) fn undo(&self, patience: Duration) -> Result<()> {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.order(&Order::Undo(patience))
    }

    /// Removes the files of the instance, of which nothing is left, and ends.
    pub(super) fn release(&self) -> Result<()> {
        self.order(&Order::Release)
    }

    fn order(&self, order: &Order) -> Result<()> {
        let process = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stderr = io::stderr();
        let with: &[_] = match order {
            Order::Speak => &[stderr.as_fd()],
            _ => &[],
        };
        let text = serde_json::to_vec(order)?;
        let answer = passing::send(&process.stream, &text, with)
            .and_then(|()| passing::receive(&process.stream))
            .context("the warden, which keeps what the daemon gives up, has gone")?;
        let answer: Result<(), String> = serde_json::from_slice(&answer.0)?;
        answer.map_err(|message| anyhow!(message))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}
