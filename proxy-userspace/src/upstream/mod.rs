//! Connections to origins, from the client's own address.

mod connects;
mod conntrack;
mod legs;
mod names;
mod pending;
mod ports;
mod way;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};

pub use connects::Connects;
pub use conntrack::{Conntrack, Inquiry};
pub use legs::{Leg, Legs};
pub use names::Names;
pub use pending::Pending;
pub use way::{Source, Way};

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
    /// The connection came about and was reset at once.
    #[error("reset")]
    Reset,
    /// An ICMP error, or no route.
    #[error("unreachable: {0}")]
    Unreachable(io::Error),
    /// No answer in time.
    #[error("no answer")]
    Timeout,
    /// A router sends our packets back to us.
    #[error("our packets come back")]
    Looping,
    /// The origin has answered, and the client itself has refused the answer: it came to it by a
    /// way that does not pass this host.
    #[error("the answer went to the client by another way")]
    WentAround,
    /// Every port tried was taken.
    #[error("no free port of {0} towards the origin")]
    NoSourcePort(ClientAddr),
    /// No descriptor, socket or memory is left here.
    #[error("this host is at a limit: {0}")]
    Limit(io::Error),
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
            Self::Reset => Reason::OriginReset,
            Self::Limit(_) => Reason::LocalLimit,
            Self::Unreachable(_) | Self::Socket { .. } => Reason::OriginUnreachable,
            Self::Timeout => Reason::OriginTimeout,
            Self::Looping => Reason::Looping,
            Self::WentAround => Reason::AsymmetricReturn,
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
    /// Whether clients' connections are tracked.
    pub conntrack: Arc<Conntrack>,
    /// The same by their ends.
    pub connects: Arc<Connects>,
}

impl Upstream {
    /// Connects to `origin` for `client`, by `way`.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; clashes of ports are retried with others before that.
    pub async fn connect(
        &self,
        client: ClientAddr,
        origin: OriginAddr,
        way: Way,
    ) -> Result<(TcpStream, SpoofedAddr), ConnectError> {
        let mut waiting = self.pending.start(origin.0.ip());
        let attempt = async {
            match way.source {
                Source::ClientPort => self.connect_as_the_client(client, origin, way).await,
                Source::Client => {
                    let address = client.0.ip();
                    self.connect_from_some_port(address, client, origin, way)
                        .await
                }
                Source::Address(address) => {
                    self.connect_from_some_port(address, client, origin, way)
                        .await
                }
                Source::Own => self.connect_as_ourselves(origin, way).await,
            }
        };
        let result = tokio::select! {
            result = tokio::time::timeout(self.timeout, attempt) => {
                result.unwrap_or(Err(ConnectError::Timeout))
            }
            () = waiting.given_up() => Err(ConnectError::Looping),
        };
        match result {
            Ok(_) | Err(ConnectError::Refused | ConnectError::Reset) => waiting.answered(),
            // That is no origin's silence.
            Err(ConnectError::Looping) => waiting.forget(),
            Err(_) => {}
        }
        result
    }

    /// From the client's address and port, or from a port of ours: where conntrack has an entry
    /// that both legs would share, and where another connection of ours has the port.
    async fn connect_as_the_client(
        &self,
        client: ClientAddr,
        origin: OriginAddr,
        way: Way,
    ) -> Result<(TcpStream, SpoofedAddr), ConnectError> {
        if !self.conntrack.tracks(client.0, origin.0) {
            let spoofed = SpoofedAddr(client.0);
            match self.connect_from(spoofed, origin, way).await {
                Err(ConnectError::Socket { cause, .. }) if is_clash(&cause) => {}
                connected => return connected.map(|stream| (stream, spoofed)),
            }
        }
        let address = client.0.ip();
        self.connect_from_some_port(address, client, origin, way)
            .await
    }

    async fn connect_from(
        &self,
        spoofed: SpoofedAddr,
        origin: OriginAddr,
        way: Way,
    ) -> Result<TcpStream, ConnectError> {
        let socket = self.bound_socket(spoofed, way)?;
        let under_way = self.connects.begin(spoofed.0, origin.0);
        tokio::select! {
            connected = connect(socket, origin) => connected,
            () = under_way.went_around() => Err(ConnectError::WentAround),
        }
    }

    async fn connect_from_some_port(
        &self,
        source: IpAddr,
        client: ClientAddr,
        origin: OriginAddr,
        way: Way,
    ) -> Result<(TcpStream, SpoofedAddr), ConnectError> {
        for port in ports::candidates(&self.ports).take(ATTEMPTS as usize) {
            let spoofed = SpoofedAddr(SocketAddr::new(source, port));
            // Both legs would share one conntrack entry, and the client may be speaking from
            // that port to that origin without us.
            if spoofed.0 == client.0 || self.legs.contains(&Leg::new(spoofed, origin)) {
                continue;
            }
            match self.connect_from(spoofed, origin, way).await {
                Ok(stream) => return Ok((stream, spoofed)),
                Err(ConnectError::Socket { cause, .. }) if is_clash(&cause) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ConnectError::NoSourcePort(client))
    }

    /// From the address and port that the kernel chooses for this host itself.
    async fn connect_as_ourselves(
        &self,
        origin: OriginAddr,
        way: Way,
    ) -> Result<(TcpStream, SpoofedAddr), ConnectError> {
        let stream = connect(self.socket(origin.0.is_ipv4(), way)?, origin).await?;
        let own = stream
            .local_addr()
            .map_err(failed("ask for the own address"))?;
        Ok((stream, SpoofedAddr(own)))
    }

    /// Bound explicitly, with `SO_REUSEADDR`: a port is only taken towards one origin, not
    /// towards all, and one in TIME_WAIT is free.
    fn bound_socket(&self, spoofed: SpoofedAddr, way: Way) -> Result<Socket, ConnectError> {
        let socket = self.socket(spoofed.0.is_ipv4(), way)?;
        let transparent = match spoofed.0 {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true),
            SocketAddr::V6(_) => sys::socket::set_ipv6_transparent(&socket),
        };
        transparent.map_err(failed("set IP_TRANSPARENT"))?;
        socket
            .set_reuse_address(true)
            .map_err(failed("set SO_REUSEADDR"))?;
        socket
            .bind(&spoofed.0.into())
            .map_err(failed("bind to the client's address"))?;
        Ok(socket)
    }

    fn socket(&self, ipv4: bool, way: Way) -> Result<Socket, ConnectError> {
        let domain = if ipv4 { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
            .map_err(failed("open a socket"))?;
        socket
            .set_mark(self.mark | way.mark)
            .map_err(failed("set SO_MARK"))?;
        socket
            .set_tcp_nodelay(true)
            .map_err(failed("set TCP_NODELAY"))?;
        if let Some(tos) = way.tos {
            let set = if ipv4 {
                socket.set_tos_v4(tos.into())
            } else {
                socket.set_tclass_v6(tos.into())
            };
            set.map_err(failed("set the type of service"))?;
        }
        if let Some(ttl) = way.ttl {
            let set = if ipv4 {
                socket.set_ttl_v4(ttl.into())
            } else {
                socket.set_unicast_hops_v6(ttl.into())
            };
            set.map_err(failed("set the time to live"))?;
        }
        Ok(socket)
    }
}

async fn connect(socket: Socket, origin: OriginAddr) -> Result<TcpStream, ConnectError> {
    let socket = TcpSocket::from_std_stream(socket.into());
    socket.connect(origin.0).await.map_err(failure)
}

/// What became of a connect, by its errno.
fn failure(cause: io::Error) -> ConnectError {
    match cause.raw_os_error() {
        Some(libc::ECONNREFUSED) => ConnectError::Refused,
        Some(libc::ECONNRESET) => ConnectError::Reset,
        Some(libc::ETIMEDOUT) => ConnectError::Timeout,
        _ if is_clash(&cause) => ConnectError::Socket {
            operation: "connect",
            cause,
        },
        _ if is_limit(&cause) => ConnectError::Limit(cause),
        _ => ConnectError::Unreachable(cause),
    }
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> ConnectError {
    move |cause| {
        if is_limit(&cause) {
            ConnectError::Limit(cause)
        } else {
            ConnectError::Socket { operation, cause }
        }
    }
}

fn is_limit(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

fn is_clash(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_has_its_reason() {
        let cases = [
            (libc::ECONNREFUSED, Reason::OriginRefused),
            (libc::ECONNRESET, Reason::OriginReset),
            (libc::ETIMEDOUT, Reason::OriginTimeout),
            (libc::EHOSTUNREACH, Reason::OriginUnreachable),
            (libc::ENETUNREACH, Reason::OriginUnreachable),
            (libc::EMFILE, Reason::LocalLimit),
            (libc::ENOBUFS, Reason::LocalLimit),
        ];
        for (errno, reason) in cases {
            let error = failure(io::Error::from_raw_os_error(errno));
            assert_eq!(error.reason(), reason, "{error}");
        }
        let full = failed("open a socket")(io::Error::from_raw_os_error(libc::EMFILE));
        assert_eq!(full.reason(), Reason::LocalLimit);
    }
}
