//! Which addresses a host name has, as this host's resolver sees it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::timeout;

/// How long an answer, or that there was none, is believed. The resolver's own lifetimes do not
/// come through `getaddrinfo`; a minute is the usual lifetime of names that change often.
const LIFETIME: Duration = Duration::from_secs(60);

/// How long the resolver may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Names that are remembered. Clients choose the names, our memory is not theirs.
const CAPACITY: usize = 16 * 1024;

/// Lookups at once, each a thread that waits: beyond it a name counts as unknown.
const CONCURRENT: usize = 64;

/// A cache in front of the host's resolver, shared by all workers.
#[derive(Debug)]
pub struct Names {
    known: Mutex<HashMap<Box<str>, Known>>,
    lookups: tokio::sync::Semaphore,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[IpAddr]>,
    until: Instant,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            lookups: tokio::sync::Semaphore::new(CONCURRENT),
        }
    }
}

impl Names {
    /// The addresses of `name`, without asking anybody; `None` if they are not known.
    #[must_use]
    pub fn cached(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        let known = self.known();
        let entry = known.get(name)?;
        (entry.until > Instant::now()).then(|| Arc::clone(&entry.addresses))
    }

    /// The addresses of `name`; none if there are none, or nobody could say.
    ///
    /// The resolver is the C library's, so `/etc/hosts`, `/etc/resolv.conf` and
    /// `/etc/nsswitch.conf` count. Cancel-safe.
    pub async fn resolve(&self, name: &str) -> Arc<[IpAddr]> {
        if let Some(addresses) = self.cached(name) {
            return addresses;
        }
        let Ok(_permit) = self.lookups.try_acquire() else {
            return Arc::default();
        };
        let found = timeout(PATIENCE, tokio::net::lookup_host((name, 0))).await;
        let addresses: Arc<[IpAddr]> = match found {
            Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
            Ok(Err(_)) | Err(_) => Arc::default(),
        };
        self.learn(name, Arc::clone(&addresses), Instant::now());
        addresses
    }

    fn learn(&self, name: &str, addresses: Arc<[IpAddr]>, now: Instant) {
        let mut known = self.known();
        if known.len() >= CAPACITY {
            known.retain(|_, entry| entry.until > now);
        }
        if known.len() >= CAPACITY {
            known.clear();
        }
        let until = now + LIFETIME;
        known.insert(name.into(), Known { addresses, until });
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_learned_is_known_for_its_lifetime() {
        let names = Names::default();
        assert_eq!(names.cached("a.example"), None);
        let address: IpAddr = "203.0.113.7".parse().unwrap();
        names.learn("a.example", [address].into(), Instant::now());
        assert_eq!(names.resolve("a.example").await[..], [address]);
        let Some(then) = Instant::now().checked_sub(LIFETIME) else {
            return;
        };
        names.learn("a.example", [address].into(), then);
        assert_eq!(names.cached("a.example"), None);
    }

    #[tokio::test]
    async fn address_literals_need_no_resolver() {
        let names = Names::default();
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(names.resolve("127.0.0.1").await[..], [address]);
    }

    #[test]
    fn clients_do_not_fill_the_memory() {
        let names = Names::default();
        for number in 0..=CAPACITY {
            names.learn(&number.to_string(), Arc::default(), Instant::now());
        }
        assert!(names.known().len() <= CAPACITY);
    }
}
