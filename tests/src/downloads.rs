//! Many long downloads at once, one after the other, at a pace.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use proxy_userspace::lab::{
    Family, Namespace,
    origin::{Fnv, Pattern},
};

use crate::client::{Dial, dial};

/// Deadline of each read: a pace that is held is far from it.
const SILENCE: Duration = Duration::from_secs(20);

/// How much, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Octets of each body.
    pub length: usize,
    /// Octets a second.
    pub rate: usize,
}

/// Runs until it is stopped, a thread for each download.
#[derive(Debug)]
pub struct Downloads {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<io::Result<usize>>>,
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
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    download(family, pace)?;
                    done += 1;
                }
                Ok(done)
            })
        };
        let threads = client.run(|| (0..count).map(begin).collect());
        Self {
            stop,
            threads: threads.unwrap_or_else(|error| panic!("{error}")),
        }
    }

    /// Lets those under way come to their end, and returns how many there were all in all.
    ///
    /// # Panics
    ///
    /// When one was cut, or brought something else.
    #[track_caller]
    #[must_use]
    pub fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        let done: Vec<_> = threads.map(|it| it.join().expect("a download")).collect();
        let failed = done.iter().filter_map(|done| done.as_ref().err());
        let failed: Vec<_> = failed.collect();
        assert!(
            failed.is_empty(),
            "{} downloads have failed: {:?}",
            failed.len(),
            &failed[..failed.len().min(5)]
        );
        done.into_iter().flatten().sum()
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
        return Err(io::Error::other("a body of something else"));
    }
    if !connection.to_end()?.is_empty() {
        return Err(io::Error::other("more than the body"));
    }
    Ok(())
}
