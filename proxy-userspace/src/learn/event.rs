//! What goes in and what comes out.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What a session has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// Whose connection it was.
    pub client: IpAddr,
    /// Where it was to.
    pub destination: SocketAddr,
}

/// What can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A flow turned out not to be HTTP, and is relayed unread.
    NotHttp,
    /// The origin could not be connected from the client's address.
    ConnectFailed,
    /// The origin's answer to a connect came to the client by a way that does not pass us.
    WentAround,
    /// It could.
    Connected,
    /// A request was answered, completely and with HTTP.
    Served,
}

/// Why something is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// What is said there is not HTTP.
    NotHttp,
    /// We cannot connect there.
    ConnectFailed,
    /// What comes back from there does not pass us.
    AsymmetricReturn,
}

impl Cause {
    /// The one with this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// One client and one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Pair {
    /// The client.
    pub client: IpAddr,
    /// The destination.
    pub destination: SocketAddr,
}

/// What should be bypassed from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// Connections to this address and port, or to anywhere if there is none,
    pub destination: Option<SocketAddr>,
    /// from this client, or from all if there is none.
    pub source: Option<IpAddr>,
    /// Why.
    pub reason: Cause,
    /// How many clients have shown it.
    pub clients: usize,
    /// How many events of the last of them counted.
    pub events: u32,
    /// For how long.
    pub lifetime: Duration,
    /// Lessons that this one makes needless.
    pub replaces: Vec<Pair>,
}

impl Event {
    /// The pair it is about, in the form in which packets have the addresses.
    #[must_use]
    pub fn pair(&self) -> Pair {
        Pair::new(self.client, self.destination)
    }
}

impl Pair {
    /// The pair, in the form in which packets have the addresses.
    #[must_use]
    pub fn new(client: IpAddr, destination: SocketAddr) -> Self {
        Self {
            client: client.to_canonical(),
            destination: SocketAddr::new(destination.ip().to_canonical(), destination.port()),
        }
    }
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 3] = [Self::NotHttp, Self::ConnectFailed, Self::AsymmetricReturn];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotHttp => "not-http",
            Self::ConnectFailed => "connect-failed",
            Self::AsymmetricReturn => "asymmetric-return",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
