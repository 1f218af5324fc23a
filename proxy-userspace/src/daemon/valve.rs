//! The valve: when what we steer gets nowhere, stop steering, and find out when it would again.
//!
//! Nothing fails open by itself when a firewall's INPUT chain drops what was delivered locally,
//! or when origins' answers do not come back to us. Both are measured, not guessed, and while the
//! valve is open the programs let one SYN in so many through as a probe.

use std::time::{Duration, Instant};

use proxy_ebpf::verdict::Reason;

/// Origins that must be silent, with none answering, before it is the network's fault: a client
/// that calls two dead hosts is none.
const SILENT_ORIGINS: usize = 3;

/// SYNs that must have got lost: one may have been unlucky.
const LOST_SYNS: u64 = 2;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// SYNs marked so far that had to reach `sk_lookup`.
    pub(super) marked: u64,
    /// SYNs that reached it so far.
    pub(super) delivered: u64,
    /// Origins that have been silent for the window, while none answered.
    pub(super) silent_origins: usize,
    /// When an origin answered last, as far as it was since the valve opened.
    pub(super) answered: bool,
}

/// The valve's state.
#[derive(Debug)]
pub(super) struct Valve {
    window: Duration,
    open: Option<(Reason, Instant)>,
    delivered: u64,
    /// Since when, and from which count of marked SYNs on, none has been delivered.
    losing: Option<(Instant, u64)>,
    marked: u64,
}

impl Valve {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            open: None,
            delivered: 0,
            losing: None,
            marked: 0,
        }
    }

    /// Another window from now on; an open valve stays open.
    pub(super) fn tolerate(&mut self, window: Duration) {
        self.window = window;
    }

    /// Why it is open, if it is.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.open.map(|(reason, _)| reason)
    }

    /// When it opened, if it is open.
    pub(super) fn opened(&self) -> Option<Instant> {
        self.open.map(|(_, since)| since)
    }

    /// Looks at a sample. True if the valve has opened or closed.
    pub(super) fn look(&mut self, now: Instant, sample: Sample) -> bool {
        let before = self.reason();
        let arrived = sample.delivered != self.delivered;
        let marked_before = self.marked;
        self.delivered = sample.delivered;
        self.marked = sample.marked;
        if arrived || sample.marked == sample.delivered {
            self.losing = None;
        } else if sample.marked != marked_before && self.losing.is_none() {
            self.losing = Some((now, marked_before));
        }
        match before {
            None => self.open = self.trouble(now, sample).map(|reason| (reason, now)),
            Some(Reason::NoReturnPath) if sample.answered => self.open = None,
            Some(Reason::NotDelivered) if arrived => self.open = None,
            Some(_) => {}
        }
        if self.reason() != before {
            self.losing = None;
        }
        self.reason() != before
    }

    fn trouble(&self, now: Instant, sample: Sample) -> Option<Reason> {
        if let Some((since, from)) = self.losing
            && now.duration_since(since) >= self.window
            && sample.marked - from >= LOST_SYNS
        {
            return Some(Reason::NotDelivered);
        }
        (sample.silent_origins >= SILENT_ORIGINS).then_some(Reason::NoReturnPath)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Sample = Sample {
        marked: 0,
        delivered: 0,
        silent_origins: 0,
        answered: false,
    };

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn opens_within_the_window_when_nothing_is_delivered() {
        let start = Instant::now();
        let mut valve = Valve::new(Duration::from_secs(1));
        assert!(!valve.look(start, QUIET));
        assert!(!valve.look(at(start, 250), Sample { marked: 1, ..QUIET }));
        assert!(!valve.look(at(start, 1000), Sample { marked: 1, ..QUIET }));
        assert!(valve.look(at(start, 1300), Sample { marked: 2, ..QUIET }));
        assert_eq!(valve.reason(), Some(Reason::NotDelivered));
        // A probe that arrives closes it.
        assert!(!valve.look(at(start, 2000), Sample { marked: 3, ..QUIET }));
        assert!(valve.look(
            at(start, 3000),
            Sample {
                marked: 4,
                delivered: 1,
                ..QUIET
            }
        ));
        assert_eq!(valve.reason(), None);
    }

    #[test]
    fn stays_closed_while_some_are_delivered() {
        let start = Instant::now();
        let mut valve = Valve::new(Duration::from_secs(1));
        for tick in 1..100 {
            let sample = Sample {
                marked: tick * 10,
                delivered: tick,
                ..QUIET
            };
            assert!(!valve.look(at(start, tick * 250), sample));
        }
    }

    #[test]
    fn one_lost_syn_is_no_trouble() {
        let start = Instant::now();
        let mut valve = Valve::new(Duration::from_secs(1));
        for tick in 1..100 {
            assert!(!valve.look(at(start, tick * 250), Sample { marked: 1, ..QUIET }));
        }
    }

    #[test]
    fn silent_origins_open_it_and_an_answer_closes_it() {
        let start = Instant::now();
        let mut valve = Valve::new(Duration::from_secs(1));
        assert!(!valve.look(
            start,
            Sample {
                silent_origins: 2,
                ..QUIET
            }
        ));
        assert!(valve.look(
            start,
            Sample {
                silent_origins: 3,
                ..QUIET
            }
        ));
        assert_eq!(valve.reason(), Some(Reason::NoReturnPath));
        assert!(!valve.look(
            start,
            Sample {
                silent_origins: 3,
                ..QUIET
            }
        ));
        assert!(valve.look(
            start,
            Sample {
                answered: true,
                ..QUIET
            }
        ));
        assert_eq!(valve.reason(), None);
    }
}
