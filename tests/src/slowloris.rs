//! Clients that never come to the end of their request.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use proxy_userspace::lab::{Family, Namespace};

use crate::{
    client::{Dial, dial},
    wait::until,
};

/// Between two octets of a head.
const PAUSE: Duration = Duration::from_millis(100);
/// How all of the heads begin; what follows is a field without an end.
const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: lab\r\nX: ";

/// Connections on which heads trickle, an octet at a time, until this is dropped.
#[derive(Debug)]
pub struct Slowloris {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Progress {
    stop: AtomicBool,
    rounds: AtomicU64,
    open: AtomicUsize,
}

impl Slowloris {
    /// Opens `count` connections from the client's second address, IPv4 and IPv6 in turn, and
    /// returns when each has sent its first octets.
    ///
    /// # Panics
    ///
    /// When a connection does not come about.
    #[track_caller]
    #[must_use]
    pub fn start(client: &Namespace, count: usize) -> Self {
        let open = client.run(|| {
            let families = Family::BOTH.into_iter().cycle().take(count);
            families.map(connect).collect::<Vec<_>>()
        });
        let open = open.unwrap_or_else(|error| panic!("{error}"));
        let progress = Arc::new(Progress::default());
        let thread = thread::spawn({
            let progress = Arc::clone(&progress);
            move || trickle(open, &progress)
        });
        let slowloris = Self {
            progress,
            thread: Some(thread),
        };
        until(Duration::from_secs(20), "heads that trickle", || {
            slowloris.progress.rounds.load(Ordering::Relaxed) > 2
        });
        slowloris
    }

    /// How many of them could still send at the last look: the others have been thrown out.
    #[must_use]
    pub fn open(&self) -> usize {
        self.progress.open.load(Ordering::Relaxed)
    }
}

impl Drop for Slowloris {
    fn drop(&mut self) {
        self.progress.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[track_caller]
fn connect(family: Family) -> TcpStream {
    let way = Dial::new(SocketAddr::new(family.second_client(), 0), family.http());
    let connection = dial(&way).unwrap_or_else(|error| panic!("{way:?}: {error}"));
    connection.stream
}

fn trickle(mut open: Vec<TcpStream>, progress: &Progress) {
    let octets = HEAD.iter().chain(std::iter::repeat(&b'x'));
    for octet in octets {
        if progress.stop.load(Ordering::Relaxed) {
            return;
        }
        open.retain_mut(|stream| stream.write_all(&[*octet]).is_ok());
        progress.open.store(open.len(), Ordering::Relaxed);
        progress.rounds.fetch_add(1, Ordering::Relaxed);
        thread::sleep(PAUSE);
    }
}
