//! What sessions tell, without waiting.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::mpsc;

use super::event::{Event, Kind};

/// Events that wait for the learner.
const WAITING: usize = 4096;

/// What was told already is looked up in a table of so many places.
const TOLD: usize = 1024;

/// The way from sessions to the learner.
///
/// That something works is told once a second for each destination (a connect for each client of
/// it, too), and again after a failure: the learner need not hear of every request.
#[derive(Debug)]
pub struct Reports {
    events: mpsc::Sender<Event>,
    lost: AtomicU64,
    failures: AtomicU64,
    told: Box<[AtomicU64]>,
    hasher: RandomState,
    started: Instant,
}

impl Reports {
    /// Where sessions report, and where the reports come out.
    #[must_use]
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Event>) {
        let (events, reported) = mpsc::channel(WAITING);
        let reports = Self {
            events,
            lost: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            told: (0..TOLD).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            started: Instant::now(),
        };
        (Arc::new(reports), reported)
    }

    /// Reports that. It is lost, and counted, if too many wait.
    pub fn tell(&self, kind: Kind, client: IpAddr, destination: SocketAddr) {
        let event = Event {
            kind,
            client,
            destination,
        };
        match kind {
            Kind::NotHttp => {
                self.send(event);
            }
            Kind::ConnectFailed | Kind::WentAround => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                self.send(event);
            }
            Kind::Connected | Kind::Served => {
                let whose = (kind == Kind::Connected).then_some(client);
                let hash = self.hasher.hash_one((kind, whose, destination));
                let since = self.started.elapsed().as_secs() << 32;
                let moment = since ^ self.failures.load(Ordering::Relaxed);
                // Odd, as an empty place is not.
                let stamp = hash ^ moment.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                let place = usize::try_from(hash >> 32).unwrap_or(0) % TOLD;
                let place = &self.told[place];
                if place.load(Ordering::Relaxed) != stamp && self.send(event) {
                    place.store(stamp, Ordering::Relaxed);
                }
            }
        }
    }

    /// How many were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn send(&self, event: Event) -> bool {
        let sent = self.events.try_send(event).is_ok();
        if !sent {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> IpAddr {
        "10.0.0.2".parse().unwrap()
    }

    fn origin(host: u8) -> SocketAddr {
        SocketAddr::new([203, 0, 113, host].into(), 80)
    }

    #[test]
    fn what_works_is_told_seldom_and_again_after_a_failure() {
        let (reports, mut reported) = Reports::new();
        for _ in 0..1000 {
            reports.tell(Kind::Connected, client(), origin(1));
        }
        // A second may have gone by.
        assert!((1..=3).contains(&reported.len()));
        while reported.try_recv().is_ok() {}
        reports.tell(Kind::ConnectFailed, client(), origin(2));
        reports.tell(Kind::Connected, client(), origin(1));
        let kinds = [(); 2].map(|()| reported.try_recv().unwrap().kind);
        assert_eq!(kinds, [Kind::ConnectFailed, Kind::Connected]);
        reports.tell(Kind::Served, client(), origin(1));
        assert_eq!(reported.try_recv().unwrap().kind, Kind::Served);
    }

    #[test]
    fn nobody_waits_and_what_is_lost_is_counted() {
        let (reports, mut reported) = Reports::new();
        for _ in 0..WAITING + 7 {
            reports.tell(Kind::NotHttp, client(), origin(1));
        }
        assert_eq!(reports.lost(), 7);
        assert!(reported.try_recv().is_ok());
        drop(reported);
        reports.tell(Kind::NotHttp, client(), origin(1));
        assert_eq!(reports.lost(), 8);
    }
}
