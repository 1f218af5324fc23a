//! Connects that are under way, so that one whose answer goes around us need not be waited for.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Our end, and the origin's.
type Tuple = [(IpAddr, u16); 2];

/// All workers' connects.
#[derive(Debug, Default)]
pub struct Connects(Mutex<HashMap<Tuple, Arc<Notify>>>);

/// One of them, as long as it lives.
pub(super) struct Connect {
    connects: Arc<Connects>,
    tuple: Tuple,
    went_around: Arc<Notify>,
}

impl Connects {
    /// Notes a connect that begins now. The kernel lets no two have the same ends.
    pub(super) fn begin(self: &Arc<Self>, from: SocketAddr, to: SocketAddr) -> Connect {
        let tuple = tuple(from, to);
        let went_around = Arc::default();
        self.under_way().insert(tuple, Arc::clone(&went_around));
        Connect {
            connects: Arc::clone(self),
            tuple,
            went_around,
        }
    }

    /// Tells whoever waits for this connect that its answer has gone around us. False if nobody
    /// does any more.
    pub fn went_around(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let under_way = self.under_way();
        let connect = under_way.get(&tuple(from, to));
        connect.inspect(|connect| connect.notify_one()).is_some()
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Tuple, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connect {
    /// Returns when its answer has gone around us. Cancel-safe.
    pub(super) async fn went_around(&self) {
        self.went_around.notified().await;
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        let mut under_way = self.connects.under_way();
        // Another connect may have these ends by now, if the socket was closed before.
        if under_way
            .get(&self.tuple)
            .is_some_and(|other| Arc::ptr_eq(other, &self.went_around))
        {
            under_way.remove(&self.tuple);
        }
    }
}

fn tuple(from: SocketAddr, to: SocketAddr) -> Tuple {
    [from, to].map(|end| (end.ip(), end.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connect_is_told_of_itself_alone() {
        let [from, to] = ["10.0.0.2:15000", "203.0.113.7:80"].map(|end| end.parse().unwrap());
        let other = "10.0.0.2:15001".parse().unwrap();
        let connects = Arc::new(Connects::default());
        let connect = connects.begin(from, to);
        assert!(!connects.went_around(other, to));
        assert!(!connects.went_around(to, from));
        assert!(connects.went_around(from, to));
        // Also if it was told before it waits.
        connect.went_around().await;
        let next = connects.begin(from, to);
        drop(connect);
        assert!(connects.went_around(from, to));
        drop(next);
        assert!(!connects.went_around(from, to));
        assert!(connects.under_way().is_empty());
    }
}
