//! A client of which a test chooses every octet, address and port.

use std::{io, net::SocketAddr, time::Duration};

use proxy_userspace::lab::{
    Namespace,
    origin::{Fnv, Pattern},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    connection::Connection,
    echo::Echo,
    response::{Response, broken},
};

/// How long any one answer may take before it counts as hung.
pub const ANSWER: Duration = Duration::from_secs(20);

/// Where a connection begins and ends, and how long it may take to come about.
#[derive(Clone, Copy, Debug)]
pub struct Dial {
    /// The client's own address; port 0 lets the kernel choose.
    pub from: SocketAddr,
    /// The origin's.
    pub to: SocketAddr,
    /// For the handshake, and then for each read and write.
    pub deadline: Duration,
    /// `SO_RCVBUF`, in octets; the kernel's own if absent.
    pub buffer: Option<usize>,
}

impl Dial {
    /// With the usual deadline.
    #[must_use]
    pub fn new(from: impl Into<SocketAddr>, to: impl Into<SocketAddr>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            deadline: ANSWER,
            buffer: None,
        }
    }
}

/// Connects inside the namespace.
///
/// # Panics
///
/// When there is no connection: tests that expect that use [`dial`].
#[track_caller]
#[must_use]
pub fn connect(
    namespace: &Namespace,
    from: impl Into<SocketAddr>,
    to: impl Into<SocketAddr>,
) -> Connection {
    let way = Dial::new(from, to);
    let dialled = namespace
        .run(|| dial(&way))
        .unwrap_or_else(|error| panic!("{error}"));
    dialled.unwrap_or_else(|error| panic!("{way:?}: {error}"))
}

/// Connects in the namespace of the calling thread.
///
/// # Errors
///
/// As TCP has them; `TimedOut` after the deadline.
pub fn dial(way: &Dial) -> io::Result<Connection> {
    let socket = Socket::new(
        Domain::for_address(way.from),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if let Some(octets) = way.buffer {
        socket.set_recv_buffer_size(octets)?;
    }
    socket.bind(&way.from.into())?;
    socket.connect_timeout(&way.to.into(), way.deadline)?;
    Connection::new(socket.into(), way.deadline)
}

/// One GET on a connection of its own: the origin's report.
///
/// # Panics
///
/// When there is none.
#[track_caller]
#[must_use]
pub fn get(namespace: &Namespace, from: impl Into<SocketAddr>, to: impl Into<SocketAddr>) -> Echo {
    let mut connection = connect(namespace, from, to);
    connection
        .echo("/")
        .unwrap_or_else(|error| panic!("{}: {error}", connection.local))
}

impl Connection {
    /// GET with keep-alive; the response to it.
    ///
    /// # Errors
    ///
    /// As the socket has them, and `InvalidData` or `UnexpectedEof` for what is no response.
    pub fn get(&mut self, target: &str) -> io::Result<Response> {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: lab\r\n\r\n"))?;
        self.response()
    }

    /// GET of a target that the origin answers with its report.
    ///
    /// # Errors
    ///
    /// As [`Connection::get`], and `InvalidData` when the answer is not a report.
    pub fn echo(&mut self, target: &str) -> io::Result<Echo> {
        let local = self.local;
        Echo::of(&self.get(target)?, local)
    }

    /// POST of `length` octets of [`Pattern`]; the origin's report, whose body is checked.
    ///
    /// # Errors
    ///
    /// As [`Connection::echo`], and `InvalidData` when other octets have arrived.
    pub fn upload(&mut self, length: usize) -> io::Result<Echo> {
        let head = format!("POST /up HTTP/1.1\r\nHost: lab\r\nContent-Length: {length}\r\n\r\n");
        self.send(head)?;
        let checksum = self.send_pattern(length)?;
        let local = self.local;
        let echo = Echo::of(&self.response()?, local)?;
        if echo.body_length() != length as u64 || echo.body_checksum() != checksum.to_string() {
            return Err(broken(&format!("another body arrived: {}", echo.0)));
        }
        Ok(echo)
    }

    /// GET of `length` octets, of which each is checked.
    ///
    /// # Errors
    ///
    /// As [`Connection::get`], and `InvalidData` when other octets come.
    pub fn download(&mut self, length: usize) -> io::Result<Response> {
        let response = self.get(&format!("/bytes/{length}"))?;
        if response.body.len() != length
            || Fnv::of(&response.body) != Pattern::checksum(length as u64)
        {
            return Err(broken(&format!("another body came: {}", response.head)));
        }
        Ok(response)
    }

    /// Reads one response to a method whose responses have bodies.
    ///
    /// # Errors
    ///
    /// As [`Connection::get`].
    pub fn response(&mut self) -> io::Result<Response> {
        Response::read(self, false)
    }

    /// Reads one response to HEAD.
    ///
    /// # Errors
    ///
    /// As [`Connection::get`].
    pub fn response_to_head(&mut self) -> io::Result<Response> {
        Response::read(self, true)
    }
}
