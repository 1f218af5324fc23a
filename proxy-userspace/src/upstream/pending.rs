//! Connects that wait for an origin's answer: what the valve looks at.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// How long an attempt that was given up without an answer still counts.
const MEMORY: Duration = Duration::from_secs(10);

/// Attempts remembered at most; beyond that the picture is clear anyway.
const CAPACITY: usize = 1024;

/// All workers' attempts, IPv4 and IPv6 apart: a router may translate one and not the other.
#[derive(Debug, Default)]
pub struct Pending {
    families: [Mutex<State>; 2],
    /// How often attempts to reach an origin have been given up from outside.
    looping: watch::Sender<HashMap<IpAddr, u64>>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    unanswered: HashMap<u64, (IpAddr, Instant)>,
    last_answer: Option<Instant>,
}

/// One attempt.
pub struct Attempt {
    pending: Arc<Pending>,
    origin: IpAddr,
    id: u64,
}

impl Pending {
    /// Notes a connect to `origin` that begins now.
    #[must_use]
    pub fn start(self: &Arc<Self>, origin: IpAddr) -> Attempt {
        let ipv6 = origin.is_ipv6();
        let mut state = self.state(ipv6);
        let id = state.next;
        state.next += 1;
        if state.unanswered.len() < CAPACITY {
            state.unanswered.insert(id, (origin, Instant::now()));
        }
        Attempt {
            pending: Arc::clone(self),
            origin,
            id,
        }
    }

    /// How many different origins of a family have left a connect without an answer for at least `patience`,
    /// while not one origin has answered since the first of these began.
    #[must_use]
    pub fn silent_origins(&self, ipv6: bool, patience: Duration) -> usize {
        let now = Instant::now();
        let mut state = self.state(ipv6);
        state
            .unanswered
            .retain(|_, (_, since)| now.duration_since(*since) < MEMORY);
        let answered = state.last_answer;
        let silent: HashSet<IpAddr> = state
            .unanswered
            .values()
            .filter(|(_, since)| now.duration_since(*since) >= patience)
            .filter(|(_, since)| answered.is_none_or(|answer| answer < *since))
            .map(|(origin, _)| *origin)
            .collect();
        silent.len()
    }

    /// Whether any origin of a family has answered since `then`.
    #[must_use]
    pub fn answered_since(&self, ipv6: bool, then: Instant) -> bool {
        self.state(ipv6)
            .last_answer
            .is_some_and(|answer| answer >= then)
    }

    /// Ends what waits for these origins: our packets to them come back to us.
    pub fn give_up(&self, origins: impl IntoIterator<Item = IpAddr>) {
        self.looping.send_modify(|looping| {
            if looping.len() >= CAPACITY {
                looping.clear();
            }
            for origin in origins {
                *looping.entry(origin).or_default() += 1;
            }
        });
    }

    fn state(&self, ipv6: bool) -> std::sync::MutexGuard<'_, State> {
        self.families[usize::from(ipv6)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// The origin answered: with a connection or with a refusal, it makes no difference here.
    pub fn answered(&mut self) {
        let mut state = self.pending.state(self.origin.is_ipv6());
        state.unanswered.remove(&self.id);
        state.last_answer = Some(Instant::now());
    }

    /// It says nothing about the origin.
    pub fn forget(&mut self) {
        let mut state = self.pending.state(self.origin.is_ipv6());
        state.unanswered.remove(&self.id);
    }

    /// Returns when it is [given up](Pending::give_up). Cancel-safe.
    pub async fn given_up(&self) {
        let mut looping = self.pending.looping.subscribe();
        let times = |looping: &HashMap<IpAddr, u64>| looping.get(&self.origin).copied();
        let before = times(&looping.borrow_and_update());
        while looping.changed().await.is_ok() {
            if times(&looping.borrow_and_update()).is_some_and(|times| Some(times) != before) {
                return;
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[test]
    fn silence_is_counted_by_origin() {
        let pending = Arc::new(Pending::default());
        let _attempts = [1, 1, 2].map(|last| pending.start(origin(last)));
        assert_eq!(pending.silent_origins(false, Duration::ZERO), 2);
        assert_eq!(pending.silent_origins(false, Duration::from_secs(5)), 0);
    }

    #[test]
    fn an_answer_ends_the_silence_of_all_that_began_before() {
        let pending = Arc::new(Pending::default());
        let start = Instant::now();
        let _silent = pending.start(origin(1));
        assert!(!pending.answered_since(false, start));
        pending.start(origin(2)).answered();
        assert_eq!(pending.silent_origins(false, Duration::ZERO), 0);
        assert!(pending.answered_since(false, start));
        let _later = pending.start(origin(3));
        assert_eq!(pending.silent_origins(false, Duration::ZERO), 1);
    }

    #[test]
    fn an_attempt_that_was_given_up_still_counts() {
        let pending = Arc::new(Pending::default());
        drop(pending.start(origin(1)));
        assert_eq!(pending.silent_origins(false, Duration::ZERO), 1);
    }

    #[tokio::test]
    async fn what_is_given_up_ends_and_nothing_else() {
        let pending = Arc::new(Pending::default());
        pending.give_up([origin(1)]);
        let (one, two) = (pending.start(origin(1)), pending.start(origin(2)));
        let mut other = std::pin::pin!(two.given_up());
        tokio::select! {
            biased;
            () = &mut other => panic!("it was not meant"),
            () = one.given_up() => panic!("it began later"),
            () = std::future::ready(()) => {}
        }
        tokio::join!(one.given_up(), async { pending.give_up([origin(1)]) });
        tokio::select! {
            biased;
            () = &mut other => panic!("it was not meant"),
            () = std::future::ready(()) => {}
        }
    }

    #[test]
    fn families_are_silent_apart() {
        let pending = Arc::new(Pending::default());
        let _silent = pending.start(origin(1));
        pending.start("2001:db8::1".parse().unwrap()).answered();
        assert_eq!(pending.silent_origins(false, Duration::ZERO), 1);
        assert_eq!(pending.silent_origins(true, Duration::ZERO), 0);
    }
}
