//! A TCP connection of which a test chooses, and sees, every octet: the client's end or the
//! origin's.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use proxy_userspace::lab::origin::{BLOCK, Fnv, Pattern};
use socket2::SockRef;

/// One end of a TCP connection.
#[derive(Debug)]
pub struct Connection {
    /// The socket, for what this type does not offer.
    pub stream: TcpStream,
    /// Its own address and port.
    pub local: SocketAddr,
    /// Read, but not yet asked for.
    ahead: Vec<u8>,
    /// Everything that was ever read, if the test wants to know.
    record: Option<Vec<u8>>,
}

/// How the other side ended its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With FIN.
    Fin,
    /// With RST.
    Reset,
}

impl Connection {
    /// A socket that is connected; each read and write has this deadline.
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
            local,
            ahead: Vec::new(),
            record: None,
        })
    }

    /// Keeps everything that is read from now on for [`Connection::received`].
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.record = Some(Vec::new());
        self
    }

    /// Everything that was read from the socket, asked for or not; nothing unless
    /// [`recorded`](Connection::recorded).
    #[must_use]
    pub fn received(&self) -> &[u8] {
        self.record.as_deref().unwrap_or_default()
    }

    /// The other end's address and port.
    ///
    /// # Panics
    ///
    /// When there is none: the connection has been reset.
    #[track_caller]
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        let peer = self.stream.peer_addr();
        peer.unwrap_or_else(|error| panic!("the peer of {}: {error}", self.local))
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
        Ok(self.take_ahead())
    }

    /// Reads everything up to the end, and says which end it was.
    ///
    /// # Errors
    ///
    /// As the socket has them, but for a reset.
    pub fn rest(&mut self) -> io::Result<(Vec<u8>, End)> {
        let end = loop {
            match self.fill() {
                Ok(0) => break End::Fin,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => return Err(error),
            }
        };
        Ok((self.take_ahead(), end))
    }

    /// Reads `length` octets into a checksum, no more of them in a second than `rate`. What the
    /// socket cannot hold meanwhile waits at the sender.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when fewer come.
    pub fn paced(&mut self, length: usize, rate: usize, checksum: &mut Fnv) -> io::Result<()> {
        // Many a second, however slow.
        let most = (rate / 16).clamp(1, 16 * 1024);
        let began = Instant::now();
        let mut read = 0;
        while read < length {
            let piece = self.exactly(most.min(length - read))?;
            checksum.update(&piece);
            read += piece.len();
            let due = Duration::from_secs_f64(read as f64 / rate as f64);
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
        Ok(())
    }

    /// Reads `length` octets as they come; their checksum.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when fewer come.
    pub fn checksum(&mut self, length: usize) -> io::Result<Fnv> {
        let mut checksum = Fnv::default();
        self.paced(length, usize::MAX, &mut checksum)?;
        Ok(checksum)
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
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    pub(crate) fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ahead)
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
        if let Some(record) = &mut self.record {
            record.extend_from_slice(&self.ahead[before..]);
        }
        read
    }
}
