//! Many long downloads at once, one after the other, at a pace.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use proxy_userspace::lab::{
    Family, Namespace,
    origin::{Fnv, Pattern},
};

use crate::client::{Dial, dial};

/// Deadline of each read: a pace that is held is far from it.
const SILENCE: Duration = Duration::from_secs(20);

/// After one that failed, so that nobody is flooded.
const REST: Duration = Duration::from_millis(50);

/// How much, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Octets of each body.
    pub length: usize,
    /// Octets a second.
    pub rate: usize,
}

/// What became of one.
#[derive(Debug)]
pub struct Download {
    /// Just before the first SYN.
    pub started: Instant,
    /// When it was complete, or not to be completed.
    pub ended: Instant,
    /// `InvalidData` if other octets came than were asked for.
    pub outcome: io::Result<()>,
}

/// Runs until it is stopped, a thread for each download.
#[derive(Debug)]
pub struct Downloads {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Vec<Download>>>,
}

impl Downloads {
    /// Begins `count` of them inside the namespace, of both families in turn.
    ///
    /// # Panics
    ///
    /// When the namespace cannot be entered.
    #[must_use]
    pub fn start(client: &Namespace, count: usize, pace: Pace) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let begin = |index: usize| {
            let (family, stop) = (Family::BOTH[index % 2], Arc::clone(&stop));
            thread::spawn(move || {
                let mut done = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    let outcome = download(family, pace);
                    if outcome.is_err() {
                        thread::sleep(REST);
                    }
                    done.push(Download {
                        started,
                        ended: Instant::now(),
                        outcome,
                    });
                }
                done
            })
        };
        let threads = client.run(|| (0..count).map(begin).collect());
        Self {
            stop,
            threads: threads.unwrap_or_else(|error| panic!("{error}")),
        }
    }

    /// Lets those under way come to their end, and returns all that there were.
    ///
    /// # Panics
    ///
    /// When a thread did.
    #[must_use]
    pub fn stop(self) -> Vec<Download> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads
            .flat_map(|it| it.join().expect("a download"))
            .collect()
    }
}

fn download(family: Family, pace: Pace) -> io::Result<()> {
    let way = Dial {
        deadline: SILENCE,
        ..Dial::new(SocketAddr::new(family.client(), 0), family.http())
    };
    let mut connection = dial(&way)?;
    let request = format!(
        "GET /bytes/{} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n",
        pace.length
    );
    connection.send(request)?;
    let head = connection.through(b"\r\n\r\n")?;
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(io::Error::other(
            String::from_utf8_lossy(&head).into_owned(),
        ));
    }
    let mut checksum = Fnv::default();
    connection.paced(pace.length, pace.rate, &mut checksum)?;
    if checksum != Pattern::checksum(pace.length as u64) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "another body"));
    }
    if !connection.to_end()?.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "more than the body",
        ));
    }
    Ok(())
}
