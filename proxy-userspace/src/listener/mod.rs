//! Transparent listeners: where intercepted connections arrive.
//!
//! A worker has one per family, on loopback port 0: nothing but `sk_lookup` leads to it. The
//! socket is transparent, so that a connection accepted from it keeps the origin's address as
//! its own (`getsockname`), and marked, so that what is left of it can be found and ended.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};

use crate::{
    addr::{ClientAddr, ListenAddr, OriginAddr},
    sys::{self, socket::Received},
};

/// Connections that wait for `accept`; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Address family of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Why a listener cannot be opened.
#[derive(Debug, Error)]
#[error("cannot open a transparent listener ({operation}, {family:?}): {cause}")]
pub struct ListenError {
    operation: &'static str,
    family: Family,
    #[source]
    cause: io::Error,
}

impl ListenError {
    /// The operating system's error.
    #[must_use]
    pub const fn cause(&self) -> &io::Error {
        &self.cause
    }
}

/// A listener of one worker and family.
pub struct Listener {
    socket: TcpListener,
    address: ListenAddr,
}

/// An accepted connection.
pub struct Accepted {
    /// The connection to the client.
    pub stream: TcpStream,
    /// Who called.
    pub client: ClientAddr,
    /// Whom they called.
    pub origin: OriginAddr,
}

/// The bits of a type of service or traffic class that are the DSCP (RFC 2474); the others are
/// ECN's, which each TCP connection negotiates for itself.
const DSCP: u8 = 0xfc;

impl Accepted {
    /// Type of service (IPv4) or traffic class (IPv6) of the client's packets, as its handshake
    /// showed it, without ECN. `None` for the default, 0, or if the kernel does not tell.
    #[must_use]
    pub fn tos(&self) -> Option<u8> {
        let tos = self.received(Received::Tos)?;
        Some(tos & DSCP).filter(|tos| *tos != 0)
    }

    /// Time to live or hop limit of the client's packets behind this host, were it to forward
    /// them: by `hops` less than its handshake showed. `None` if the kernel does not tell.
    ///
    /// What came with 1 a router would not forward; 0 is none that a packet can be sent with.
    #[must_use]
    pub fn ttl_behind(&self, hops: u8) -> Option<u8> {
        let ttl = self.received(Received::Ttl)?;
        Some(ttl.saturating_sub(hops).max(1))
    }

    fn received(&self, what: Received) -> Option<u8> {
        let octet = sys::socket::received(&self.stream, self.client.0.is_ipv6(), what);
        let octet = octet
            .inspect_err(|error| tracing::debug!(client = %self.client, ?what, %error, "unknown"));
        octet.ok()
    }
}

/// Opens a listener whose sockets carry `mark`, without a runtime: [`Listener::new`] takes it to
/// a worker's.
///
/// # Errors
///
/// Mostly a missing `CAP_NET_ADMIN`, or a family that the kernel lacks.
pub fn open(family: Family, mark: u32) -> Result<std::net::TcpListener, ListenError> {
    let failed = |operation| {
        move |cause| ListenError {
            operation,
            family,
            cause,
        }
    };
    let (domain, loopback): (_, SocketAddr) = match family {
        Family::V4 => (Domain::IPV4, (Ipv4Addr::LOCALHOST, 0).into()),
        Family::V6 => (Domain::IPV6, (Ipv6Addr::LOCALHOST, 0).into()),
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(failed("socket"))?;
    socket.set_mark(mark).map_err(failed("SO_MARK"))?;
    match family {
        Family::V4 => socket
            .set_ip_transparent_v4(true)
            .map_err(failed("IP_TRANSPARENT"))?,
        Family::V6 => {
            socket.set_only_v6(true).map_err(failed("IPV6_V6ONLY"))?;
            sys::socket::set_ipv6_transparent(&socket).map_err(failed("IPV6_TRANSPARENT"))?;
        }
    }
    socket.bind(&loopback.into()).map_err(failed("bind"))?;
    socket.listen(BACKLOG).map_err(failed("listen"))?;
    Ok(socket.into())
}

impl Listener {
    /// Takes a listener to the current runtime.
    ///
    /// # Errors
    ///
    /// If the runtime cannot watch it.
    pub fn new(socket: std::net::TcpListener) -> io::Result<Self> {
        let socket = TcpListener::from_std(socket)?;
        let address = ListenAddr(socket.local_addr()?);
        Ok(Self { socket, address })
    }

    /// The next connection. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As `accept(2)`. Errors of one connection (`ECONNABORTED`) do not concern the next;
    /// `EMFILE` does: wait before trying again.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let (stream, client) = self.socket.accept().await?;
        let origin = OriginAddr(stream.local_addr()?);
        stream.set_nodelay(true)?;
        Ok(Accepted {
            stream,
            client: ClientAddr(client),
            origin,
        })
    }

    /// Whether somebody connected to the listener itself, instead of being intercepted.
    #[must_use]
    pub fn is_own(&self, origin: OriginAddr) -> bool {
        origin.0 == self.address.0
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}
