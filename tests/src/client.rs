//! A client of which a test chooses every octet, address and port.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use proxy_userspace::lab::{
    Namespace,
    origin::{BLOCK, Fnv, Pattern},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
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
}

impl Dial {
    /// With the usual deadline.
    #[must_use]
    pub fn new(from: impl Into<SocketAddr>, to: impl Into<SocketAddr>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            deadline: ANSWER,
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

/// A TCP connection of the client.
#[derive(Debug)]
pub struct Connection {
    /// The socket, for what this type does not offer.
    pub stream: TcpStream,
    /// Read, but not yet asked for.
    ahead: Vec<u8>,
    /// The client's own address and port.
    pub local: SocketAddr,
}

impl Connection {
    /// A socket that a test has connected by itself; each read and write has this deadline.
    ///
    /// # Errors
    ///
    /// When it is not connected any more.
    pub fn new(stream: TcpStream, deadline: Duration) -> io::Result<Self> {
        stream.set_read_timeout(Some(deadline))?;
        stream.set_write_timeout(Some(deadline))?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Self {
            stream,
            ahead: Vec::new(),
            local,
        })
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    ///
    /// As the socket has them.
    pub fn send(&mut self, octets: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(octets.as_ref())
    }

    /// Sends the first `length` octets of [`Pattern`] and returns their checksum.
    ///
    /// # Errors
    ///
    /// As the socket has them.
    pub fn send_pattern(&mut self, length: usize) -> io::Result<Fnv> {
        let (mut pattern, mut checksum) = (Pattern::default(), Fnv::default());
        let mut block = vec![0; BLOCK];
        let mut left = length;
        while left > 0 {
            let count = left.min(BLOCK);
            pattern.fill(&mut block[..count]);
            checksum.update(&block[..count]);
            self.send(&block[..count])?;
            left -= count;
        }
        Ok(checksum)
    }

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

    /// Reads exactly so many octets.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when fewer come.
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.ahead.split_off(length);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    /// Reads through the next occurrence of `end`, and returns what was read, `end` included.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when it does not come.
    pub fn through(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut seen = 0;
        loop {
            let from = seen.max(end.len()) - end.len();
            if let Some(at) = self.ahead[from..]
                .windows(end.len())
                .position(|part| part == end)
            {
                return self.exactly(from + at + end.len());
            }
            seen = self.ahead.len();
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads everything up to the other side's FIN.
    ///
    /// # Errors
    ///
    /// As the socket has them; a reset is one.
    pub fn to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    ///
    /// As the socket has them.
    pub fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Lets go of the connection with a reset.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    fn fill(&mut self) -> io::Result<usize> {
        let before = self.ahead.len();
        self.ahead.resize(before + BLOCK, 0);
        let read = loop {
            match self.stream.read(&mut self.ahead[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.ahead.truncate(before + *read.as_ref().unwrap_or(&0));
        read
    }
}
