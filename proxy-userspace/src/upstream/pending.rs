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

/// All workers' attempts.
#[derive(Debug, Default)]
pub struct Pending(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    unanswered: HashMap<u64, (IpAddr, Instant)>,
    last_answer: Option<Instant>,
}

/// One attempt.
pub struct Attempt {
    pending: Arc<Pending>,
    id: u64,
}

impl Pending {
    /// Notes a connect to `origin` that begins now.
    #[must_use]
    pub fn start(self: &Arc<Self>, origin: IpAddr) -> Attempt {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        if state.unanswered.len() < CAPACITY {
            state.unanswered.insert(id, (origin, Instant::now()));
        }
        Attempt {
            pending: Arc::clone(self),
            id,
        }
    }

    /// How many different origins have left a connect without an answer for at least `patience`,
    /// while not one origin has answered since the first of these began.
    #[must_use]
    pub fn silent_origins(&self, patience: Duration) -> usize {
        let now = Instant::now();
        let mut state = self.state();
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

    /// Whether any origin has answered since `then`.
    #[must_use]
    pub fn answered_since(&self, then: Instant) -> bool {
        self.state()
            .last_answer
            .is_some_and(|answer| answer >= then)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// The origin answered: with a connection or with a refusal, it makes no difference here.
    pub fn answered(&mut self) {
        let mut state = self.pending.state();
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
        assert_eq!(pending.silent_origins(Duration::ZERO), 2);
        assert_eq!(pending.silent_origins(Duration::from_secs(5)), 0);
    }

    #[test]
    fn an_answer_ends_the_silence_of_all_that_began_before() {
        let pending = Arc::new(Pending::default());
        let start = Instant::now();
        let _silent = pending.start(origin(1));
        assert!(!pending.answered_since(start));
        pending.start(origin(2)).answered();
        assert_eq!(pending.silent_origins(Duration::ZERO), 0);
        assert!(pending.answered_since(start));
        let _later = pending.start(origin(3));
        assert_eq!(pending.silent_origins(Duration::ZERO), 1);
    }

    #[test]
    fn an_attempt_that_was_given_up_still_counts() {
        let pending = Arc::new(Pending::default());
        drop(pending.start(origin(1)));
        assert_eq!(pending.silent_origins(Duration::ZERO), 1);
    }
}
