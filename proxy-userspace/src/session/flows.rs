//! The live flows of all workers, so that some of them can be ended from outside.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::vitals::{State, Vitals};
use crate::{
    addr::{ClientAddr, OriginAddr},
    reason::Reason,
};

/// Apart, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// So many flows are looked at, at least, before [`Flows::end_tracked`] leaves the others for later.
const FEW: usize = 256;

/// Every intercepted connection that has a session.
#[derive(Debug)]
pub struct Flows {
    /// Ends all of them: the drain's deadline.
    cut: CancellationToken,
    next: AtomicUsize,
    /// The shard that was looked at last for what is tracked.
    looked_at: AtomicUsize,
    shards: [Mutex<HashMap<usize, Flow>>; SHARDS],
}

#[derive(Debug)]
struct Flow {
    client: SocketAddr,
    origin: SocketAddr,
    cut: CancellationToken,
    exposure: Arc<Exposure>,
    vitals: Arc<Vitals>,
}

/// A flow as it is seen from outside.
#[derive(Clone, Debug)]
pub struct View {
    /// What it goes by while it lives; never used again in this process.
    pub number: usize,
    /// The client.
    pub client: SocketAddr,
    /// Whom it dialled.
    pub origin: SocketAddr,
    /// Since it was accepted.
    pub age: Duration,
    /// What its session is at.
    pub state: State,
    /// Requests so far.
    pub requests: u32,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// The Host of its last request, or the name in its ClientHello.
    pub host: Option<Box<str>>,
}

/// Keeps a flow in the registry, and tells its session when it is to end.
#[derive(Debug)]
pub(super) struct Live {
    flows: Arc<Flows>,
    /// Not the addresses: a client may come again by a tuple whose session has not ended yet.
    number: usize,
    cut: CancellationToken,
    exposure: Arc<Exposure>,
    vitals: Arc<Vitals>,
}

/// What conntrack could do to a flow, [`NONE`], [`EXPOSED`] or [`TRACKED`]; or [`KILLED`].
type Exposure = AtomicU8;

/// Nothing.
const NONE: u8 = 0;
/// It began while nothing was tracked, and both its legs have one five-tuple.
const EXPOSED: u8 = 1;
/// They are tracked, as one; it is being ended for that.
const TRACKED: u8 = 2;
/// An operator ends it.
const KILLED: u8 = 3;

impl Flows {
    /// No flows yet; `cut` will end all that are there when it is cancelled.
    #[must_use]
    pub fn new(cut: CancellationToken) -> Self {
        Self::numbered_from(0, cut)
    }

    /// The same, with numbers from `first` on.
    #[must_use]
    pub fn numbered_from(first: usize, cut: CancellationToken) -> Self {
        Self {
            cut,
            next: AtomicUsize::new(first),
            looked_at: AtomicUsize::new(0),
            shards: Default::default(),
        }
    }

    /// Ends the flows from `client` to `origin` for which `is_meant` holds: both their connections
    /// are reset at once. The number of those that were not being ended already.
    ///
    /// Flows that begin meanwhile may be missed, so what keeps them away has to be done before.
    pub fn end(&self, is_meant: impl Fn(SocketAddr, SocketAddr) -> bool) -> usize {
        let mut ended = 0;
        for shard in 0..SHARDS {
            let meant: Vec<_> = self
                .shard(shard)
                .values()
                .filter(|flow| !flow.cut.is_cancelled() && is_meant(flow.client, flow.origin))
                .map(|flow| flow.cut.clone())
                .collect();
            ended += meant.len();
            // The sessions that wake take themselves out, so not under the lock.
            meant.iter().for_each(CancellationToken::cancel);
        }
        ended
    }

    /// Looks at flows that keep the client's port since a time at which nothing was tracked, a few
    /// with each call, and resets both connections of those of which `is_tracked` says that they
    /// are now. The number of the latter.
    pub fn end_tracked(&self, mut is_tracked: impl FnMut(SocketAddr, SocketAddr) -> bool) -> usize {
        let (mut ended, mut looked) = (0, 0);
        for _ in 0..SHARDS {
            if looked >= FEW {
                break;
            }
            let shard = self.looked_at.fetch_add(1, Ordering::Relaxed);
            let exposed: Vec<_> = self
                .shard(shard)
                .values()
                .filter(|flow| flow.exposure.load(Ordering::Relaxed) == EXPOSED)
                .map(|flow| {
                    (
                        flow.client,
                        flow.origin,
                        flow.cut.clone(),
                        Arc::clone(&flow.exposure),
                    )
                })
                .collect();
            looked += exposed.len();
            for (client, origin, cut, exposure) in exposed {
                if is_tracked(client, origin) && change(&exposure, EXPOSED, TRACKED) {
                    cut.cancel();
                    ended += 1;
                }
            }
        }
        ended
    }

    /// The number of the next flow.
    #[must_use]
    pub fn next_number(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    /// Ends the flows of these numbers, as [`end`](Self::end) does. The number of those that were
    /// not being ended already.
    pub fn end_those(&self, numbers: &[usize]) -> usize {
        let cut = |number: &&usize| {
            let flow = self.shard(**number).get(*number).map(|it| it.cut.clone());
            let flow = flow.filter(|cut| !cut.is_cancelled());
            flow.map(|cut| cut.cancel()).is_some()
        };
        numbers.iter().filter(cut).count()
    }

    /// All of them, in no order.
    #[must_use]
    pub fn views(&self) -> Vec<View> {
        let mut views = Vec::new();
        for shard in 0..SHARDS {
            views.extend(self.shard(shard).iter().map(|(number, flow)| {
                let (bytes_in, bytes_out) = flow.vitals.moved();
                View {
                    number: *number,
                    client: flow.client,
                    origin: flow.origin,
                    age: flow.vitals.began.elapsed(),
                    state: flow.vitals.state(),
                    requests: flow.vitals.requests(),
                    bytes_in,
                    bytes_out,
                    host: flow.vitals.host(),
                }
            }));
        }
        views
    }

    /// Ends the flow of that number: both its connections are reset at once. False if there is
    /// none, or if it is being ended already.
    #[must_use]
    pub fn kill(&self, number: usize) -> bool {
        let cut = {
            let shard = self.shard(number);
            let Some(flow) = shard.get(&number).filter(|it| !it.cut.is_cancelled()) else {
                return false;
            };
            flow.exposure.store(KILLED, Ordering::Relaxed);
            flow.cut.clone()
        };
        cut.cancel();
        true
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        (0..SHARDS).map(|shard| self.shard(shard).len()).sum()
    }

    /// A flow, which is there while the result lives.
    pub(super) fn enter(self: &Arc<Self>, client: ClientAddr, origin: OriginAddr) -> Live {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let cut = self.cut.child_token();
        let exposure = Arc::new(Exposure::new(NONE));
        let vitals = Arc::new(Vitals::new());
        let flow = Flow {
            vitals: Arc::clone(&vitals),
            client: client.0,
            origin: origin.0,
            cut: cut.clone(),
            exposure: Arc::clone(&exposure),
        };
        self.shard(number).insert(number, flow);
        Live {
            flows: Arc::clone(self),
            number,
            cut,
            exposure,
            vitals,
        }
    }

    fn shard(&self, number: usize) -> MutexGuard<'_, HashMap<usize, Flow>> {
        self.shards[number % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Returns when the flow is to end at once, with why: [`Reason::Draining`],
    /// [`Reason::BypassedNow`], [`Reason::TrackedNow`] or [`Reason::Killed`].
    pub(super) async fn cut(&self) -> Reason {
        self.cut.cancelled().await;
        self.why()
    }

    /// Returns when the flow is to end at once, unless all are, with why.
    pub(super) async fn ended_now(&self) -> Reason {
        match self.cut().await {
            Reason::Draining => std::future::pending().await,
            why => why,
        }
    }

    /// What others see of it.
    pub(super) const fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// The origin sees the client's own port from now on. Unless nothing `is_untracked` behind
    /// that, conntrack has told the two legs apart already.
    pub(super) fn expose(&self, is_untracked: impl FnOnce() -> bool) {
        change(&self.exposure, NONE, EXPOSED);
        if !is_untracked() {
            change(&self.exposure, EXPOSED, NONE);
        }
    }

    fn why(&self) -> Reason {
        if self.flows.cut.is_cancelled() {
            return Reason::Draining;
        }
        match self.exposure.load(Ordering::Relaxed) {
            TRACKED => Reason::TrackedNow,
            KILLED => Reason::Killed,
            _ => Reason::BypassedNow,
        }
    }
}

fn change(exposure: &Exposure, from: u8, to: u8) -> bool {
    exposure
        .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok()
}

impl Drop for Live {
    fn drop(&mut self) {
        self.flows.shard(self.number).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const ORIGIN: &str = "203.0.113.7:80";

    fn enter(flows: &Arc<Flows>, client: &str, origin: &str) -> Live {
        flows.enter(
            ClientAddr(client.parse().unwrap()),
            OriginAddr(origin.parse().unwrap()),
        )
    }

    async fn ended(live: &Live) -> Option<Reason> {
        timeout(Duration::from_millis(1), live.cut()).await.ok()
    }

    #[tokio::test]
    async fn those_that_are_meant_end_once() {
        let flows = Arc::new(Flows::new(CancellationToken::new()));
        let one = enter(&flows, "10.0.0.2:1000", ORIGIN);
        let twin = enter(&flows, "10.0.0.2:1000", ORIGIN);
        let other = enter(&flows, "10.0.0.3:1000", ORIGIN);
        let v6 = enter(&flows, "[fd00::2]:1000", "[2001:db8::1]:80");
        assert_eq!(flows.count(), 4);
        let client = one.flows.shard(one.number)[&one.number].client.ip();
        assert_eq!(flows.end(|from, _| from.ip() == client), 2);
        assert_eq!(ended(&one).await, Some(Reason::BypassedNow));
        assert_eq!(ended(&twin).await, Some(Reason::BypassedNow));
        assert_eq!(ended(&other).await, None);
        assert_eq!(ended(&v6).await, None);
        assert_eq!(flows.next_number(), 4);
        assert_eq!(flows.end_those(&[one.number, other.number, 99]), 1);
        assert_eq!(ended(&other).await, Some(Reason::BypassedNow));
        assert_eq!(flows.end(|_, _| true), 1, "the one that was left");
        assert_eq!(flows.end(|_, _| true), 0);
        drop((one, twin, other, v6));
        assert_eq!(flows.count(), 0);
    }

    #[tokio::test]
    async fn one_is_killed_by_its_number() {
        let flows = Arc::new(Flows::new(CancellationToken::new()));
        let one = enter(&flows, "10.0.0.2:1000", ORIGIN);
        let other = enter(&flows, "10.0.0.3:1000", ORIGIN);
        one.vitals().request(Some("lab.example"));
        let view = flows.views().into_iter().find(|it| it.number == one.number);
        let view = view.unwrap();
        assert_eq!(view.host.as_deref(), Some("lab.example"));
        assert_eq!((view.requests, view.state), (1, State::Request));
        assert!(flows.kill(one.number));
        assert!(!flows.kill(one.number), "it is being ended already");
        assert_eq!(ended(&one).await, Some(Reason::Killed));
        assert_eq!(ended(&other).await, None);
        drop(one);
        assert!(!flows.kill(other.number + 1), "nobody");
        assert_eq!(flows.views().len(), 1);
    }

    #[tokio::test]
    async fn the_drains_deadline_ends_all() {
        let cut = CancellationToken::new();
        let flows = Arc::new(Flows::new(cut.clone()));
        let live = enter(&flows, "10.0.0.2:1000", ORIGIN);
        cut.cancel();
        assert_eq!(ended(&live).await, Some(Reason::Draining));
        assert!(
            timeout(Duration::from_millis(1), live.ended_now())
                .await
                .is_err()
        );
        let late = enter(&flows, "10.0.0.2:1001", ORIGIN);
        assert_eq!(ended(&late).await, Some(Reason::Draining));
    }

    #[tokio::test]
    async fn what_conntrack_mixes_up_is_ended() {
        let flows = Arc::new(Flows::new(CancellationToken::new()));
        let exposed = enter(&flows, "10.0.0.2:1000", ORIGIN);
        let told_apart = enter(&flows, "10.0.0.3:1000", ORIGIN);
        let plain = enter(&flows, "10.0.0.4:1000", ORIGIN);
        exposed.expose(|| true);
        told_apart.expose(|| false);
        let end = |tracked: bool| flows.end_tracked(|_, _| tracked);
        assert_eq!(end(false), 0);
        assert_eq!(end(true), 1);
        assert_eq!(end(true), 0);
        assert_eq!(ended(&exposed).await, Some(Reason::TrackedNow));
        assert_eq!(ended(&told_apart).await, None);
        assert_eq!(ended(&plain).await, None);
    }

    #[test]
    fn all_are_looked_at_a_few_at_a_time() {
        let flows = Arc::new(Flows::new(CancellationToken::new()));
        let many: Vec<_> = (1..=2 * FEW)
            .map(|port| enter(&flows, &format!("10.0.0.2:{port}"), ORIGIN))
            .collect();
        many.iter().for_each(|live| live.expose(|| true));
        let mut calls = 0;
        while many.iter().any(|live| !live.cut.is_cancelled()) {
            let ended = flows.end_tracked(|_, _| true);
            assert!(ended > 0 && ended < 2 * FEW, "{ended}");
            calls += 1;
        }
        assert!(calls > 1);
    }

    #[test]
    fn thousands_come_and_go_while_some_are_ended() {
        let flows = Arc::new(Flows::new(CancellationToken::new()));
        let kept = enter(&flows, "10.0.0.9:9", ORIGIN);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for port in 1..2000 {
                        drop(enter(&flows, &format!("10.0.0.2:{port}"), ORIGIN));
                    }
                });
            }
            for _ in 0..200 {
                flows.end(|client, _| client.port() % 2 == 0);
            }
        });
        assert_eq!(flows.count(), 1);
        assert!(!kept.cut.is_cancelled());
    }
}
