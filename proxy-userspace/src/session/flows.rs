//! The live flows of all workers, so that some of them can be ended from outside.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use crate::{
    addr::{ClientAddr, OriginAddr},
    reason::Reason,
};

/// Apart, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// Every intercepted connection that has a session.
#[derive(Debug)]
pub struct Flows {
    /// Ends all of them: the drain's deadline.
    cut: CancellationToken,
    next: AtomicUsize,
    shards: [Mutex<HashMap<usize, Flow>>; SHARDS],
}

#[derive(Debug)]
struct Flow {
    client: SocketAddr,
    origin: SocketAddr,
    cut: CancellationToken,
}

/// Keeps a flow in the registry, and tells its session when it is to end.
#[derive(Debug)]
pub(super) struct Live {
    flows: Arc<Flows>,
    /// Not the addresses: a client may come again by a tuple whose session has not ended yet.
    number: usize,
    cut: CancellationToken,
}

impl Flows {
    /// No flows yet; `cut` will end all that are there when it is cancelled.
    #[must_use]
    pub fn new(cut: CancellationToken) -> Self {
        Self {
            cut,
            next: AtomicUsize::new(0),
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

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        (0..SHARDS).map(|shard| self.shard(shard).len()).sum()
    }

    /// A flow, which is there while the result lives.
    pub(super) fn enter(self: &Arc<Self>, client: ClientAddr, origin: OriginAddr) -> Live {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let cut = self.cut.child_token();
        let flow = Flow {
            client: client.0,
            origin: origin.0,
            cut: cut.clone(),
        };
        self.shard(number).insert(number, flow);
        Live {
            flows: Arc::clone(self),
            number,
            cut,
        }
    }

    fn shard(&self, number: usize) -> MutexGuard<'_, HashMap<usize, Flow>> {
        self.shards[number % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Returns when the flow is to end at once, with why: [`Reason::Draining`] or
    /// [`Reason::BypassedNow`].
    pub(super) async fn cut(&self) -> Reason {
        self.cut.cancelled().await;
        self.why()
    }

    /// Returns when the flow is to end at once, unless all are.
    pub(super) async fn bypassed_now(&self) {
        if self.cut().await != Reason::BypassedNow {
            std::future::pending().await
        }
    }

    fn why(&self) -> Reason {
        if self.flows.cut.is_cancelled() {
            Reason::Draining
        } else {
            Reason::BypassedNow
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.flows.shard(self.number).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        assert_eq!(flows.end(|_, _| true), 2, "the two that were left");
        assert_eq!(flows.end(|_, _| true), 0);
        drop((one, twin, other, v6));
        assert_eq!(flows.count(), 0);
    }

    #[tokio::test]
    async fn the_drains_deadline_ends_all() {
        let cut = CancellationToken::new();
        let flows = Arc::new(Flows::new(cut.clone()));
        let live = enter(&flows, "10.0.0.2:1000", ORIGIN);
        cut.cancel();
        assert_eq!(ended(&live).await, Some(Reason::Draining));
        assert!(
            timeout(Duration::from_millis(1), live.bypassed_now())
                .await
                .is_err()
        );
        let late = enter(&flows, "10.0.0.2:1001", ORIGIN);
        assert_eq!(ended(&late).await, Some(Reason::Draining));
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
