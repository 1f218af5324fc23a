//! Connections to origins, from the client's own address.

mod legs;
mod pending;
mod ports;

use std::{io, net::SocketAddr, ops::RangeInclusive, sync::Arc, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};

pub use legs::{Leg, Legs};
pub use pending::Pending;

use crate::{
    addr::{ClientAddr, OriginAddr, SpoofedAddr},
    reason::Reason,
    sys,
};

/// Ports tried before a connect is given up. With the default range and one client's 1,000 live
/// connections to one origin, the chance to miss 32 times is below 10⁻⁴⁰.
const ATTEMPTS: u32 = 32;

/// Why there is no connection to the origin.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The origin answered with a reset.
    #[error("refused")]
    Refused,
    /// An ICMP error, or no route.
    #[error("unreachable: {0}")]
    Unreachable(io::Error),
    /// No answer in time.
    #[error("no answer")]
    Timeout,
    /// Every port tried was taken.
    #[error("no free port of {0} towards the origin")]
    NoSourcePort(ClientAddr),
    /// The kernel refused the socket itself.
    #[error("cannot {operation}: {cause}")]
    Socket {
        /// What was tried.
        operation: &'static str,
        /// The errno.
        cause: io::Error,
    },
}

impl ConnectError {
    /// The word for it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Refused => Reason::OriginRefused,
            Self::Unreachable(_) | Self::Socket { .. } => Reason::OriginUnreachable,
            Self::Timeout => Reason::OriginTimeout,
            Self::NoSourcePort(_) => Reason::NoSourcePort,
        }
    }
}

/// How origins are connected to.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Our source ports: below the range that clients draw theirs from.
    pub ports: RangeInclusive<u16>,
    /// `SO_MARK` of our sockets.
    pub mark: u32,
    /// Longest wait for the origin's answer.
    pub timeout: Duration,
    /// The clients' ends of live connections.
    pub legs: Arc<Legs>,
    /// Connects that wait for an answer.
    pub pending: Arc<Pending>,
}

impl Upstream {
    /// Connects to `origin` from the address of `client` and a port of ours.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; clashes of ports are retried with others before that.
    pub async fn connect(
        &self,
        client: ClientAddr,
        origin: OriginAddr,
    ) -> Result<(TcpStream, SpoofedAddr), ConnectError> {
        let mut waiting = self.pending.start(origin.0.ip());
        let attempt = self.connect_from_some_port(client, origin);
        let result = match tokio::time::timeout(self.timeout, attempt).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Timeout),
        };
        if matches!(result, Ok(_) | Err(ConnectError::Refused)) {
            waiting.answered();
        }
        result
    }

    async fn connect_from_some_port(
        &self,
        client: ClientAddr,
        origin: OriginAddr,
    ) -> Result<(TcpStream, SpoofedAddr), ConnectError> {
        for port in ports::candidates(&self.ports).take(ATTEMPTS as usize) {
            let spoofed = SpoofedAddr(SocketAddr::new(client.0.ip(), port));
            // Both legs would share one conntrack entry, and the client may be speaking from
            // that port to that origin without us.
            if port == client.0.port() || self.legs.contains(&Leg::new(spoofed, origin)) {
                continue;
            }
            match self.connect_from(spoofed, origin).await {
                Ok(stream) => return Ok((stream, spoofed)),
                Err(ConnectError::Socket { cause, .. }) if is_clash(&cause) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ConnectError::NoSourcePort(client))
    }

    async fn connect_from(
        &self,
        spoofed: SpoofedAddr,
        origin: OriginAddr,
    ) -> Result<TcpStream, ConnectError> {
        let socket = self.bound_socket(spoofed)?;
        let socket = TcpSocket::from_std_stream(socket.into());
        let stream =
            socket
                .connect(origin.0)
                .await
                .map_err(|cause| match cause.raw_os_error() {
                    Some(libc::ECONNREFUSED | libc::ECONNRESET) => ConnectError::Refused,
                    Some(libc::ETIMEDOUT) => ConnectError::Timeout,
                    _ if is_clash(&cause) => ConnectError::Socket {
                        operation: "connect",
                        cause,
                    },
                    _ => ConnectError::Unreachable(cause),
                })?;
        Ok(stream)
    }

    /// Bound explicitly, with `SO_REUSEADDR`: a port is only taken towards one origin, not
    /// towards all, and one in TIME_WAIT is free.
    fn bound_socket(&self, spoofed: SpoofedAddr) -> Result<Socket, ConnectError> {
        let failed = |operation| move |cause| ConnectError::Socket { operation, cause };
        let domain = if spoofed.0.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
            .map_err(failed("open a socket"))?;
        socket.set_mark(self.mark).map_err(failed("set SO_MARK"))?;
        let transparent = match spoofed.0 {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true),
            SocketAddr::V6(_) => sys::socket::set_ipv6_transparent(&socket),
        };
        transparent.map_err(failed("set IP_TRANSPARENT"))?;
        socket
            .set_reuse_address(true)
            .map_err(failed("set SO_REUSEADDR"))?;
        socket
            .set_tcp_nodelay(true)
            .map_err(failed("set TCP_NODELAY"))?;
        socket
            .bind(&spoofed.0.into())
            .map_err(failed("bind to the client's address"))?;
        Ok(socket)
    }
}

fn is_clash(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL)
    )
}
