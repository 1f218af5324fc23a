//! New connections, one after the other, from ports that come again: with what became of each.

use std::{
    io,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use proxy_userspace::lab::{Family, Namespace};

use crate::{
    client::{ANSWER, Dial, dial},
    echo::Echo,
};

/// Who connects from where to where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The family, and with it the addresses.
    pub family: Family,
    /// The client's ports, used in turn and over again.
    pub ports: Range<u16>,
    /// The deadline of each attempt.
    pub deadline: Duration,
}

impl Plan {
    /// To the origin's port 80, with a deadline that tells a hang from an answer.
    #[must_use]
    pub fn new(family: Family, ports: Range<u16>) -> Self {
        Self {
            family,
            ports,
            deadline: ANSWER,
        }
    }
}

/// One connection, request and response.
#[derive(Debug)]
pub struct Attempt {
    /// Just before the first SYN.
    pub started: Instant,
    /// When the outcome was known.
    pub ended: Instant,
    /// The client's end.
    pub from: SocketAddr,
    /// What the origin reported, or why it could not.
    pub outcome: io::Result<Echo>,
}

/// Runs until it is stopped, a thread for each plan.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Vec<Attempt>>>,
}

impl Load {
    /// Begins, inside the namespace.
    ///
    /// # Panics
    ///
    /// When the namespace cannot be entered.
    #[must_use]
    pub fn start(namespace: &Namespace, plans: &[Plan]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        // Threads are born into the namespace of their parent.
        let threads = namespace.run(|| {
            let begin = |plan: &Plan| {
                let (plan, stop) = (plan.clone(), Arc::clone(&stop));
                thread::spawn(move || {
                    let ports = plan.ports.clone().cycle();
                    let running = ports.take_while(|_| !stop.load(Ordering::Relaxed));
                    running.filter_map(|port| attempt(&plan, port)).collect()
                })
            };
            plans.iter().map(begin).collect()
        });
        Self {
            stop,
            threads: threads.unwrap_or_else(|error| panic!("{error}")),
        }
    }

    /// Ends it and returns every attempt.
    ///
    /// # Panics
    ///
    /// When a thread did.
    #[must_use]
    pub fn stop(mut self) -> Vec<Attempt> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.drain(..);
        threads
            .flat_map(|thread| thread.join().expect("load thread"))
            .collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Every port of every plan once, inside the namespace, a thread for each plan.
///
/// # Panics
///
/// When the namespace cannot be entered, or when a port cannot be used by the client itself.
#[must_use]
pub fn repeat(namespace: &Namespace, plans: &[Plan]) -> Vec<Attempt> {
    let all = || {
        thread::scope(|scope| {
            let begin = |plan: &Plan| {
                let plan = plan.clone();
                scope.spawn(move || {
                    let once = |port| attempt(&plan, port).expect("a free port of the client");
                    plan.ports.clone().map(once).collect::<Vec<_>>()
                })
            };
            let threads: Vec<_> = plans.iter().map(begin).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("load thread"))
                .collect()
        })
    };
    namespace.run(all).unwrap_or_else(|error| panic!("{error}"))
}

/// `None` when the client's own kernel has the tuple in use still: nothing was sent.
fn attempt(plan: &Plan, port: u16) -> Option<Attempt> {
    let from = SocketAddr::new(plan.family.client(), port);
    let way = Dial {
        deadline: plan.deadline,
        ..Dial::new(from, plan.family.http())
    };
    let started = Instant::now();
    let outcome = exchange(&way);
    let in_use = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse
        )
    };
    if outcome.as_ref().is_err_and(in_use) {
        return None;
    }
    Some(Attempt {
        started,
        ended: Instant::now(),
        from,
        outcome,
    })
}

/// The other side closes first, so that the next attempt finds its TIME_WAIT, not the client's.
fn exchange(way: &Dial) -> io::Result<Echo> {
    let mut connection = dial(way)?;
    let local = connection.local;
    let mut whole = || {
        connection.send("GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")?;
        let response = connection.response()?;
        let rest = connection.to_end()?;
        if rest.is_empty() {
            Echo::of(&response, local)
        } else {
            Err(io::Error::other("more"))
        }
    };
    let outcome = whole();
    if outcome.is_err() {
        connection.reset();
    }
    outcome
}
