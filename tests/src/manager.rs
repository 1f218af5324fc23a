//! A service manager, as far as a daemon sees of it: the socket of `sd_notify(3)`.

use std::{
    io::IoSliceMut,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt::PassCred,
    },
};
use tempfile::TempDir;

use crate::{launch::Options, wait::until_some};

const SOON: Duration = Duration::from_secs(30);

/// What ends the listening.
const END: &str = "the test has ended";

/// What a process has told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The process.
    pub pid: u32,
    /// A state each.
    pub states: Vec<String>,
}

impl Notice {
    /// Whether it tells that state.
    #[must_use]
    pub fn tells(&self, state: &str) -> bool {
        self.states.iter().any(|it| it == state)
    }

    /// The value of a state.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let value = |it: &'_ String| it.split_once('=').is_some_and(|(it, _)| it == name);
        let state = self.states.iter().find(|it| value(it))?;
        state.split_once('=').map(|(_, value)| value)
    }
}

/// A service manager that believes everybody; who should have been believed is for tests to say.
#[derive(Debug)]
pub struct Manager {
    directory: TempDir,
    heard: Arc<Mutex<Vec<Notice>>>,
    listening: Option<JoinHandle<()>>,
}

impl Manager {
    /// One that listens.
    ///
    /// # Panics
    ///
    /// When it cannot.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("tempdir: {error}"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut manager = Self {
            directory,
            heard: Arc::clone(&heard),
            listening: None,
        };
        let socket = UnixDatagram::bind(manager.socket())
            .unwrap_or_else(|error| panic!("the socket of a service manager: {error}"));
        setsockopt(&socket, PassCred, &true).unwrap_or_else(|errno| panic!("SO_PASSCRED: {errno}"));
        let listening = thread::spawn(move || {
            while let Some(notice) = receive(&socket) {
                if notice.tells(END) {
                    return;
                }
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.push(notice);
            }
        });
        manager.listening = Some(listening);
        manager
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("notify")
    }

    /// A daemon that is started as its service, with a watchdog if there is to be one.
    #[must_use]
    pub fn service(&self, mut options: Options, watchdog: Option<Duration>) -> Options {
        let mut set = |name: &str, value: String| options.environment.push((name.into(), value));
        set("NOTIFY_SOCKET", self.socket().display().to_string());
        if let Some(watchdog) = watchdog {
            set("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        options
    }

    /// Everything so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Notice> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }

    /// Everything so far but the watchdog's.
    #[must_use]
    pub fn news(&self) -> Vec<Notice> {
        let mut heard = self.heard();
        heard.retain(|notice| !notice.tells("WATCHDOG=1"));
        heard
    }

    /// How often that process said that it is alive.
    #[must_use]
    pub fn pings(&self, pid: u32) -> usize {
        let heard = self.heard();
        let pings = heard.iter().filter(|it| it.pid == pid);
        pings.filter(|it| it.tells("WATCHDOG=1")).count()
    }

    /// Waits for the news number `index` (from 0).
    ///
    /// # Panics
    ///
    /// When it does not come.
    #[track_caller]
    #[must_use]
    pub fn hears(&self, index: usize) -> Notice {
        until_some(SOON, "news for the service manager", || {
            self.news().into_iter().nth(index)
        })
    }
}

impl Default for Manager {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let ended =
            UnixDatagram::unbound().and_then(|it| it.send_to(END.as_bytes(), self.socket()));
        if let (Ok(_), Some(listening)) = (ended, self.listening.take()) {
            let _ = listening.join();
        }
    }
}

fn receive(socket: &UnixDatagram) -> Option<Notice> {
    let mut octets = [0; 4096];
    let mut into = [IoSliceMut::new(&mut octets)];
    let mut space = cmsg_space!(UnixCredentials);
    let received = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut into,
        Some(&mut space),
        MsgFlags::empty(),
    );
    let received = received.ok()?;
    let pid = received.cmsgs().ok()?.find_map(|it| match it {
        ControlMessageOwned::ScmCredentials(who) => u32::try_from(who.pid()).ok(),
        _ => None,
    })?;
    let length = received.bytes;
    let text = String::from_utf8_lossy(&octets[..length]).into_owned();
    Some(Notice {
        pid,
        states: text.lines().map(str::to_owned).collect(),
    })
}
