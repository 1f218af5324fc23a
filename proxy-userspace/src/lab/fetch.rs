//! One GET from inside a namespace: the lab's own client.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

use super::{
    error::{LabError, Result},
    namespace::Namespace,
};

/// How long a request may take before it counts as hung.
const DEADLINE: Duration = Duration::from_secs(10);

/// Who asked, and whom the origin saw asking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// The client's own socket.
    pub(super) client: SocketAddr,
    /// The other end of the connection that the origin answered.
    pub(super) seen: SocketAddr,
}

impl Exchange {
    /// Whether the origin saw the client's address, but a connection that is not the client's.
    pub(super) fn intercepted(&self) -> bool {
        self.client.ip() == self.seen.ip() && self.client.port() != self.seen.port()
    }

    /// Whether the origin saw the client's own connection.
    pub(super) fn direct(&self) -> bool {
        self.client == self.seen
    }
}

/// Asks `origin` for `/` from the address `from` of the namespace.
pub(super) async fn get(
    namespace: &Namespace,
    from: IpAddr,
    origin: SocketAddr,
) -> Result<Exchange> {
    let what = || format!("asking http://{origin}/ from {from}");
    let socket = namespace
        .run(|| bound(from))?
        .map_err(LabError::io(what()))?;
    let exchange = tokio::time::timeout(DEADLINE, ask(socket, origin));
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let (client, answer) = exchange
        .await
        .map_err(late)
        .flatten()
        .map_err(LabError::io(what()))?;
    let seen = seen(&answer).ok_or_else(|| LabError::Answer {
        origin: origin.to_string(),
        detail: String::from_utf8_lossy(&answer).into_owned(),
    })?;
    Ok(Exchange { client, seen })
}

async fn ask(socket: Socket, origin: SocketAddr) -> io::Result<(SocketAddr, Vec<u8>)> {
    let mut stream = TcpSocket::from_std_stream(socket.into())
        .connect(origin)
        .await?;
    let client = stream.local_addr()?;
    let request = format!("GET / HTTP/1.1\r\nHost: {origin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok((client, answer))
}

fn bound(from: IpAddr) -> io::Result<Socket> {
    let address = SocketAddr::new(from, 0);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The peer in the origin's JSON.
fn seen(answer: &[u8]) -> Option<SocketAddr> {
    let answer = std::str::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then_some(())?;
    let report: Value = serde_json::from_str(body).ok()?;
    let peer = report.get("peer")?.as_str()?.parse().ok()?;
    let port = report.get("peer_port")?.as_u64()?;
    Some(SocketAddr::new(peer, u16::try_from(port).ok()?))
}
