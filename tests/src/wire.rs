//! Segments on the wire: looking at those that come and go, and sending some of one's own.

use std::{
    io::{self, Read as _},
    net::SocketAddr,
    time::{Duration, Instant},
};

use proxy_userspace::lab::Namespace;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{client::ANSWER, segment::Segment};

const ETH_P_ALL: u16 = 3;

/// What an interface may hold for a test that has not looked yet.
const BUFFER: usize = 16 << 20;

/// The TCP segments that a namespace sends and receives, from the start of the capture on.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    packet: Vec<u8>,
}

impl Wire {
    /// Begins.
    ///
    /// # Panics
    ///
    /// Without the privilege for packet sockets.
    #[track_caller]
    #[must_use]
    pub fn of(namespace: &Namespace) -> Self {
        let open = || {
            // DGRAM: packets begin with their network header, whatever the link is.
            let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
            socket.set_recv_buffer_size(BUFFER)?;
            io::Result::Ok(socket)
        };
        let socket = namespace
            .run(open)
            .unwrap_or_else(|error| panic!("{error}"));
        Self {
            socket: socket.unwrap_or_else(|error| panic!("a packet socket: {error}")),
            packet: vec![0; 1 << 17],
        }
    }

    /// The next segment of which that is true; those before it are passed over.
    ///
    /// # Panics
    ///
    /// When there is none within [`ANSWER`].
    #[track_caller]
    pub fn next(&mut self, what: &str, wanted: impl Fn(&Segment) -> bool) -> Segment {
        let deadline = Instant::now() + ANSWER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not captured: {what}");
            if let Some(segment) = self.read(left)
                && wanted(&segment)
            {
                return segment;
            }
        }
    }

    /// What has been captured and not been looked at yet.
    #[must_use]
    pub fn so_far(&mut self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let _ = self.socket.set_nonblocking(true);
        while let Ok(length) = self.socket.read(&mut self.packet) {
            segments.extend(Segment::parse(&self.packet[..length]));
        }
        let _ = self.socket.set_nonblocking(false);
        segments
    }

    fn read(&mut self, patience: Duration) -> Option<Segment> {
        self.socket.set_read_timeout(Some(patience)).ok()?;
        let length = self.socket.read(&mut self.packet).ok()?;
        Segment::parse(&self.packet[..length])
    }
}

/// Sends a segment from one of the namespace's own addresses; time to live and type of service are
/// the kernel's.
///
/// # Panics
///
/// When it cannot be sent.
#[track_caller]
pub fn inject(namespace: &Namespace, segment: &Segment) {
    let send = || {
        let domain = Domain::for_address(segment.from);
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::new(segment.from.ip(), 0).into())?;
        let to = SocketAddr::new(segment.to.ip(), 0);
        socket.send_to(&segment.to_octets(), &to.into())
    };
    namespace
        .run(send)
        .unwrap_or_else(|error| panic!("{error}"))
        .unwrap_or_else(|error| panic!("sending {segment:?}: {error}"));
}
