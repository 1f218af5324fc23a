//! An origin that a test plays itself, octet for octet, and the stage for such tests: Weir
//! between a client and two origins of that kind.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd as _,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proxy_userspace::lab::{Family, Layout, Namespace, Network};

use crate::{
    client::{ANSWER, Dial, dial},
    connection::Connection,
    daemon::Weir,
    expect::shown,
    launch::Options,
    network,
    server::listen,
};

/// A request without a body.
pub const GET: &str = "GET / HTTP/1.1\r\nHost: lab\r\n\r\n";
/// A response without one.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Accepts connections when the test says so, and gives them to it.
#[derive(Debug)]
pub struct RawOrigin {
    listener: TcpListener,
    address: SocketAddr,
}

impl RawOrigin {
    /// Listens on an address of the namespace.
    ///
    /// # Panics
    ///
    /// When the address cannot be listened on.
    #[track_caller]
    #[must_use]
    pub fn listen(namespace: &Namespace, address: SocketAddr) -> Self {
        Self::with_buffer(namespace, address, None)
    }

    /// As [`RawOrigin::listen`]; each connection can hold about so many octets that the test has
    /// not read yet (`SO_RCVBUF`, which the kernel doubles).
    ///
    /// # Panics
    ///
    /// When the address cannot be listened on.
    #[track_caller]
    #[must_use]
    pub fn with_buffer(namespace: &Namespace, address: SocketAddr, buffer: Option<usize>) -> Self {
        let listener = namespace.run(|| listen(address, buffer));
        let listener = listener
            .unwrap_or_else(|error| panic!("{error}"))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        Self {
            listener: listener.unwrap_or_else(|error| panic!("listening on {address}: {error}")),
            address,
        }
    }

    /// The next connection, in the order in which they were made. Everything that is read from it
    /// is [kept](Connection::received).
    ///
    /// # Panics
    ///
    /// When there is none after [`ANSWER`].
    #[track_caller]
    #[must_use]
    pub fn accept(&self) -> Connection {
        let timeout = PollTimeout::try_from(ANSWER).unwrap_or(PollTimeout::MAX);
        let mut waiting = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut waiting, timeout);
        self.waiting()
            .unwrap_or_else(|| panic!("nobody connects to {}", self.address))
    }

    /// A connection that is there already, if there is one.
    ///
    /// # Panics
    ///
    /// When the listener fails.
    #[track_caller]
    #[must_use]
    pub fn waiting(&self) -> Option<Connection> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("accepting on {}: {error}", self.address),
        };
        let connection = stream
            .set_nonblocking(false)
            .and_then(|()| Connection::new(stream, ANSWER));
        Some(
            connection
                .unwrap_or_else(|error| panic!("{error}"))
                .recorded(),
        )
    }
}

/// Weir on the router, the test at both ends. Dropped in the order of its fields.
#[derive(Debug)]
pub struct Stage {
    /// The daemon.
    pub weir: Weir,
    /// Port 80 of the origin's first address, IPv4 and IPv6.
    origins: [RawOrigin; 2],
    /// The network.
    pub net: Network,
}

impl Stage {
    /// With the default configuration.
    #[track_caller]
    #[must_use]
    pub fn new() -> Self {
        Self::with("")
    }

    /// With this configuration.
    #[track_caller]
    #[must_use]
    pub fn with(config: &str) -> Self {
        Self::with_buffer(config, None)
    }

    /// With origins as [`RawOrigin::with_buffer`] makes them.
    #[track_caller]
    #[must_use]
    pub fn with_buffer(config: &str, buffer: Option<usize>) -> Self {
        let net = network(&Layout::default());
        let origins =
            Family::BOTH.map(|family| RawOrigin::with_buffer(&net.origin, family.http(), buffer));
        let weir = Weir::start(&net.router, &Options::config(config));
        Self { weir, origins, net }
    }

    /// The origin of that family.
    #[must_use]
    pub fn origin(&self, family: Family) -> &RawOrigin {
        match family {
            Family::V4 => &self.origins[0],
            Family::V6 => &self.origins[1],
        }
    }

    /// A client's connection, of which the origin need not know yet.
    #[track_caller]
    #[must_use]
    pub fn client(&self, family: Family) -> Connection {
        self.client_with_buffer(family, None)
    }

    /// As [`Stage::client`]; the client can hold about so many octets that the test has not read
    /// yet.
    ///
    /// # Panics
    ///
    /// When there is no connection.
    #[track_caller]
    #[must_use]
    pub fn client_with_buffer(&self, family: Family, buffer: Option<usize>) -> Connection {
        let way = Dial {
            buffer,
            ..Dial::new((family.client(), 0), family.http())
        };
        let dialled = self.net.client.run(|| dial(&way));
        dialled
            .unwrap_or_else(|error| panic!("{error}"))
            .unwrap_or_else(|error| panic!("{way:?}: {error}"))
            .recorded()
    }

    /// The origin's end of what `client` has begun: from the client's address, and a connection
    /// of its own.
    ///
    /// # Panics
    ///
    /// When there is none, or when it is somebody else's, or the client's own.
    #[track_caller]
    #[must_use]
    pub fn accept(&self, client: &Connection) -> Connection {
        let family = if client.local.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        let origin = self.origin(family).accept();
        let (from, own) = (origin.peer(), client.local);
        assert_eq!(from.ip(), own.ip(), "the client's address");
        assert_ne!(from.port(), own.port(), "intercepted, not gone direct");
        origin
    }

    /// A client that has sent these octets, and the origin, which has not read any.
    ///
    /// # Panics
    ///
    /// When they do not lead to a connection to the origin.
    #[track_caller]
    #[must_use]
    pub fn begin(&self, family: Family, octets: impl AsRef<[u8]>) -> (Connection, Connection) {
        let mut client = self.client(family);
        client
            .send(octets)
            .unwrap_or_else(|error| panic!("{}: {error}", client.local));
        let origin = self.accept(&client);
        (client, origin)
    }

    /// How many octets that an end has sent are not acknowledged yet, as `ss` has it: 0 when the
    /// kernel next to it has them all.
    ///
    /// # Panics
    ///
    /// When the connection is not there any more.
    #[track_caller]
    #[must_use]
    pub fn unacknowledged(&self, end: &Connection) -> u64 {
        let is_client = Family::BOTH
            .iter()
            .any(|family| family.client() == end.local.ip());
        let namespace = if is_client {
            &self.net.client
        } else {
            &self.net.origin
        };
        let [from, to] = [end.local.to_string(), end.peer().to_string()];
        let output = namespace
            .command("ss")
            .args(["-Htn", "src", &from, "dst", &to])
            .output();
        let output = output.unwrap_or_else(|error| panic!("ss (package iproute2): {error}"));
        let text = String::from_utf8_lossy(&output.stdout);
        // State, Recv-Q, Send-Q, …
        let queued = text
            .split_whitespace()
            .nth(2)
            .and_then(|octets| octets.parse().ok());
        queued.unwrap_or_else(|| panic!("ss: no connection from {from} to {to}: {text}"))
    }

    /// Sees to it that no client so far has come to the origin: the next one does, and is the
    /// first.
    ///
    /// # Panics
    ///
    /// When somebody came before, with what they brought.
    #[track_caller]
    pub fn expect_nobody(&self, family: Family) {
        const REQUEST: &[u8] = b"GET /the-first HTTP/1.1\r\nHost: lab\r\n\r\n";
        let (_client, mut origin) = self.begin(family, REQUEST);
        let came = origin.through(b"\r\n\r\n");
        let came = came.unwrap_or_else(|_| origin.received().to_vec());
        assert!(came == REQUEST, "this came to the origin: {}", shown(&came));
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}
