//! Connects that wait for an origin's answer: what the valve looks at.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long an attempt that was given up without an answer still counts.
const MEMORY: Duration = Duration::from_secs(10);

/// Attempts remembered at most; beyond that the picture is clear anyway.
const CAPACITY: usize = 1024;

/// All workers' attempts, IPv4 and IPv6 apart: a router may translate one and not the other.
#[derive(Debug, Default)]
pub struct Pending([Mutex<State>; 2]);

#[derive(Debug, Default)]
struct State {
    next: u64,
    unanswered: HashMap<u64, (IpAddr, Instant)>,
    last_answer: Option<Instant>,
}

/// One attempt.
pub struct Attempt {
    pending: Arc<Pending>,
    ipv6: bool,
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
            ipv6,
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

    fn state(&self, ipv6: bool) -> std::sync::MutexGuard<'_, State> {
        self.0[usize::from(ipv6)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// The origin answered: with a connection or with a refusal, it makes no difference here.
    pub fn answered(&mut self) {
        let mut state = self.pending.state(self.ipv6);
        state.unanswered.remove(&self.id);
        state.last_answer = Some(Instant::now());
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

    #[test]
    fn families_are_silent_apart() {
        let pending = Arc::new(Pending::default());
        let _silent = pending.start(origin(1));
        pending.start("2001:db8::1".parse().unwrap()).answered();
        assert_eq!(pending.silent_origins(false, Duration::ZERO), 1);
        assert_eq!(pending.silent_origins(true, Duration::ZERO), 0);
    }
}
