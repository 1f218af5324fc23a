//! Messages that somebody else can cause, as often as they like: only so many are said.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The span for which a number of messages is allowed.
const SPAN: Duration = Duration::from_secs(10);

/// What limits the messages of one place in the code; a `static` there.
///
/// ```
/// # use proxy_userspace::observe::Seldom;
/// static TOLD: Seldom = Seldom::new(1);
/// if let Some(held_back) = TOLD.pass() {
///     tracing::warn!(held_back, "cannot accept");
/// }
/// ```
#[derive(Debug)]
pub struct Seldom {
    /// So many within a [`SPAN`] that begins with the first of them.
    most: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    began: Option<Instant>,
    said: u64,
    held_back: u64,
}

impl Seldom {
    /// `most` messages, at least one, in ten seconds.
    #[must_use]
    pub const fn new(most: u64) -> Self {
        Self {
            most,
            state: Mutex::new(State {
                began: None,
                said: 0,
                held_back: 0,
            }),
        }
    }

    /// Whether this message is to be said; then with how many before it were not.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |began| now.saturating_duration_since(began) >= SPAN;
        if state.began.is_none_or(is_over) {
            (state.began, state.said) = (Some(now), 0);
        }
        if state.said >= self.most.max(1) {
            state.held_back += 1;
            return None;
        }
        state.said += 1;
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_is_counted_and_said_later() {
        let seldom = Seldom::new(2);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(seldom.pass_at(at(0)), Some(0));
        assert_eq!(seldom.pass_at(at(1)), Some(0));
        for ms in 2..1002 {
            assert_eq!(seldom.pass_at(at(ms)), None);
        }
        assert_eq!(seldom.pass_at(at(9_999)), None);
        assert_eq!(seldom.pass_at(at(10_000)), Some(1001));
        assert_eq!(seldom.pass_at(at(10_001)), Some(0));
        assert_eq!(seldom.pass_at(at(10_002)), None);
        assert_eq!(seldom.pass_at(at(60_000)), Some(1));
    }

    #[test]
    fn one_that_comes_now_and_then_is_always_said() {
        let seldom = Seldom::new(1);
        let start = Instant::now();
        for ten_seconds in 0..5 {
            let now = start + SPAN * ten_seconds;
            assert_eq!(seldom.pass_at(now), Some(0));
        }
    }
}
