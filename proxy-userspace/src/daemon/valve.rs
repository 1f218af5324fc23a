//! The valves: when what we steer gets nowhere, stop steering, and find out when it would again.
//!
//! Nothing fails open by itself when a firewall's INPUT chain drops what was delivered locally,
//! or when origins' answers do not come back to us. Both are measured, not guessed, and while a
//! valve is open the programs let one SYN in so many through as a probe.
//!
//! Firewalls tell interfaces apart and NAT families, so there is a [`Delivery`] for each LAN and
//! family and a [`ReturnPath`] for each family: what works in one place must not keep another shut.

use std::time::{Duration, Instant};

/// Origins that must be silent, with none answering, before it is the network's fault: a client
/// that calls two dead hosts is none.
const SILENT_ORIGINS: usize = 3;

/// SYNs that must have got lost: one may have been unlucky.
const LOST_SYNS: u64 = 2;

/// Whether marked SYNs reach the listener (`not-delivered`).
#[derive(Clone, Debug, Default)]
pub(super) struct Delivery {
    open: bool,
    marked: u64,
    delivered: u64,
    /// Since when, and from which count of marked SYNs on, none has been delivered.
    losing: Option<(Instant, u64)>,
}

impl Delivery {
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// Looks at the counts of SYNs so far: those marked that had to reach `sk_lookup`, and those
    /// that did. True if the valve has opened or closed.
    pub(super) fn look(
        &mut self,
        now: Instant,
        window: Duration,
        marked: u64,
        delivered: u64,
    ) -> bool {
        let arrived = delivered != self.delivered;
        let marked_before = self.marked;
        (self.marked, self.delivered) = (marked, delivered);
        if arrived || marked == delivered {
            self.losing = None;
        } else if marked != marked_before && self.losing.is_none() {
            self.losing = Some((now, marked_before));
        }
        let open = if self.open {
            !arrived
        } else {
            self.losing.is_some_and(|(since, from)| {
                now.duration_since(since) >= window && marked - from >= LOST_SYNS
            })
        };
        let changed = open != self.open;
        if changed {
            self.open = open;
            self.losing = None;
        }
        changed
    }
}

/// Whether origins answer our connections (`no-return-path`).
#[derive(Clone, Debug, Default)]
pub(super) struct ReturnPath {
    opened: Option<Instant>,
}

impl ReturnPath {
    /// When it opened, if it is open.
    pub(super) const fn opened(&self) -> Option<Instant> {
        self.opened
    }

    /// Looks at how many origins have been silent for the window while none answered, and
    /// whether one has answered since the valve opened. True if it has opened or closed.
    pub(super) fn look(&mut self, now: Instant, silent_origins: usize, answered: bool) -> bool {
        let opened = match self.opened {
            Some(_) if answered => None,
            Some(since) => Some(since),
            None => (silent_origins >= SILENT_ORIGINS).then_some(now),
        };
        let changed = opened.is_some() != self.opened.is_some();
        self.opened = opened;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(1);

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn opens_within_the_window_when_nothing_is_delivered() {
        let start = Instant::now();
        let mut valve = Delivery::default();
        assert!(!valve.look(start, WINDOW, 0, 0));
        assert!(!valve.look(at(start, 250), WINDOW, 1, 0));
        assert!(!valve.look(at(start, 1000), WINDOW, 1, 0));
        assert!(valve.look(at(start, 1300), WINDOW, 2, 0));
        assert!(valve.is_open());
        // A probe that arrives closes it.
        assert!(!valve.look(at(start, 2000), WINDOW, 3, 0));
        assert!(valve.look(at(start, 3000), WINDOW, 4, 1));
        assert!(!valve.is_open());
    }

    #[test]
    fn stays_closed_while_some_are_delivered() {
        let start = Instant::now();
        let mut valve = Delivery::default();
        for tick in 1..100 {
            assert!(!valve.look(at(start, tick * 250), WINDOW, tick * 10, tick));
        }
    }

    #[test]
    fn one_lost_syn_is_no_trouble() {
        let start = Instant::now();
        let mut valve = Delivery::default();
        for tick in 1..100 {
            assert!(!valve.look(at(start, tick * 250), WINDOW, 1, 0));
        }
    }

    #[test]
    fn silent_origins_open_it_and_an_answer_closes_it() {
        let now = Instant::now();
        let mut valve = ReturnPath::default();
        assert!(!valve.look(now, 2, false));
        assert!(valve.look(now, 3, false));
        assert!(valve.opened().is_some());
        assert!(!valve.look(now, 3, false));
        assert!(valve.look(now, 3, true));
        assert!(valve.opened().is_none());
    }
}
