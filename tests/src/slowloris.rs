//! Clients that never come to the end of what they do.

use std::{
    io::{self, Read as _, Write as _},
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

/// Between two octets of one of them.
const PAUSE: Duration = Duration::from_millis(100);
/// Not all of them at once: so many together.
const TOGETHER: usize = 25;

/// What is slow about a client: an octet at a time comes from it, or is taken by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// A field of the head of a request that has no end.
    Head,
    /// The body of a request.
    Body,
    /// The body of a response.
    Reader,
}

impl Slow {
    /// What it sends at once.
    const fn beginning(self) -> &'static [u8] {
        match self {
            Self::Head => b"GET / HTTP/1.1\r\nHost: lab\r\nX: ",
            Self::Body => b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 1000000\r\n\r\n",
            Self::Reader => b"GET /bytes/1000000 HTTP/1.1\r\nHost: lab\r\n\r\n",
        }
    }

    fn step(self, stream: &mut TcpStream) -> io::Result<()> {
        match self {
            Self::Head | Self::Body => stream.write_all(b"x"),
            Self::Reader => stream.read_exact(&mut [0]),
        }
    }
}

/// Slow connections, until this is dropped.
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
    /// returns when each is under way.
    ///
    /// # Panics
    ///
    /// When a connection does not come about.
    #[track_caller]
    #[must_use]
    pub fn start(client: &Namespace, slow: Slow, count: usize) -> Self {
        let open = client.run(|| {
            let families = Family::BOTH.into_iter().cycle().take(count);
            families
                .map(|family| connect(family, slow))
                .collect::<Vec<_>>()
        });
        let open = open.unwrap_or_else(|error| panic!("{error}"));
        let progress = Arc::new(Progress::default());
        let thread = thread::spawn({
            let progress = Arc::clone(&progress);
            move || trickle(open, slow, &progress)
        });
        let slowloris = Self {
            progress,
            thread: Some(thread),
        };
        until(Duration::from_secs(20), "octets that trickle", || {
            slowloris.progress.rounds.load(Ordering::Relaxed) > 2
        });
        slowloris
    }

    /// How many of them could still go on at the last look: the others have been thrown out.
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
fn connect(family: Family, slow: Slow) -> TcpStream {
    let way = Dial {
        // Less than what it does not read.
        buffer: (slow == Slow::Reader).then_some(4096),
        ..Dial::new(SocketAddr::new(family.second_client(), 0), family.http())
    };
    let mut connection = dial(&way).unwrap_or_else(|error| panic!("{way:?}: {error}"));
    connection
        .send(slow.beginning())
        .unwrap_or_else(|error| panic!("{way:?}: {error}"));
    connection.stream
}

fn trickle(mut open: Vec<TcpStream>, slow: Slow, progress: &Progress) {
    while !progress.stop.load(Ordering::Relaxed) {
        let pause = PAUSE / u32::try_from(open.len() / TOGETHER + 1).unwrap_or(u32::MAX);
        let mut done = 0;
        open.retain_mut(|stream| {
            done += 1;
            if done % TOGETHER == 0 {
                thread::sleep(pause);
            }
            slow.step(stream).is_ok()
        });
        progress.open.store(open.len(), Ordering::Relaxed);
        progress.rounds.fetch_add(1, Ordering::Relaxed);
        thread::sleep(pause);
    }
}
