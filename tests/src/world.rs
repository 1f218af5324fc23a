//! A network with an origin behind it and Weir on its router: what most tests begin with.

use std::net::SocketAddr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proxy_userspace::lab::{Family, Layout, Network, Origin};

use crate::{
    client::{connect, get},
    connection::Connection,
    daemon::Weir,
    echo::Echo,
    launch::Options,
    network,
};

/// Dropped in the order of its fields: the daemon while there is a router.
#[derive(Debug)]
pub struct World {
    /// The daemon.
    pub weir: Weir,
    /// Ports 80 and 8080 of every address of the origin.
    pub origin: Origin,
    /// The network.
    pub net: Network,
}

impl World {
    /// The default network and configuration.
    #[track_caller]
    #[must_use]
    pub fn new() -> Self {
        Self::with(&Layout::default(), &Options::default(), |_| {})
    }

    /// A network of that layout, `prepare`d before the daemon starts with these options.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[track_caller]
    #[must_use]
    pub fn with(layout: &Layout, options: &Options, prepare: impl FnOnce(&Network)) -> Self {
        let net = network(layout);
        let origin = Origin::start(&net.origin).unwrap_or_else(|error| panic!("{error}"));
        prepare(&net);
        let weir = Weir::start(&net.router, options);
        Self { weir, origin, net }
    }

    /// A connection from the client's first address to the origin's port 80.
    #[track_caller]
    #[must_use]
    pub fn connect(&self, family: Family) -> Connection {
        connect(&self.net.client, (family.client(), 0), family.http())
    }

    /// What the origin reports of one GET from the client's first address to port 80.
    #[track_caller]
    #[must_use]
    pub fn get(&self, family: Family) -> Echo {
        self.get_from(SocketAddr::new(family.client(), 0), family.http())
    }

    /// As [`World::get`], from and to addresses of choice.
    #[track_caller]
    #[must_use]
    pub fn get_from(&self, from: SocketAddr, to: SocketAddr) -> Echo {
        get(&self.net.client, from, to)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// Load tests hold thousands of sockets in this process.
pub(crate) fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
