//! ICMP errors that a test writes itself, about segments that it has seen.

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use proxy_userspace::lab::Namespace;
use socket2::{Domain, Protocol, Socket, Type};

use crate::client::ANSWER;

const TCP: u8 = 6;

/// A segment as it came: whose, and the first octets of its header.
#[derive(Clone, Copy, Debug)]
pub struct Quoted {
    from: SocketAddr,
    to: SocketAddr,
    start: [u8; 8],
}

impl Quoted {
    /// What an error quotes of it: the header of its packet, and eight octets of TCP.
    ///
    /// # Panics
    ///
    /// When its ends are of two families.
    #[must_use]
    pub fn packet(&self) -> Vec<u8> {
        let (mut packet, ends) = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => (
                vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 63, TCP, 0, 0],
                [from.octets(), to.octets()].concat(),
            ),
            (IpAddr::V6(from), IpAddr::V6(to)) => (
                vec![0x60, 0, 0, 0, 0, 20, TCP, 63],
                [from.octets(), to.octets()].concat(),
            ),
            _ => panic!("{self:?}: of two families"),
        };
        packet.extend(ends);
        packet.extend(self.start);
        packet
    }
}

/// The TCP segments that come to an address, whether or not there is a socket for them.
#[derive(Debug)]
pub struct Segments {
    socket: Socket,
    address: IpAddr,
}

impl Segments {
    /// From now on.
    ///
    /// # Panics
    ///
    /// When there cannot be a raw socket.
    #[must_use]
    pub fn to(namespace: &Namespace, address: IpAddr) -> Self {
        let socket = raw(namespace, address, Protocol::TCP);
        Self { socket, address }
    }

    /// The next one from `from` to `port`, which has nobody else's.
    ///
    /// # Panics
    ///
    /// When there is none within [`ANSWER`].
    #[track_caller]
    pub fn next(&mut self, from: IpAddr, port: u16) -> Quoted {
        let deadline = Instant::now() + ANSWER;
        let mut packet = [0; 2048];
        while Instant::now() < deadline {
            let Ok(length) = self.socket.read(&mut packet) else {
                break;
            };
            // IPv6 has its headers taken off.
            let header = match from {
                IpAddr::V4(_) => usize::from(packet[0] & 0x0f) * 4,
                IpAddr::V6(_) => 0,
            };
            let Some(start) = packet[..length].get(header..).and_then(<[u8]>::first_chunk) else {
                continue;
            };
            let [sport, dport] = [0, 2].map(|at| u16::from_be_bytes([start[at], start[at + 1]]));
            if dport == port {
                return Quoted {
                    from: (from, sport).into(),
                    to: (self.address, dport).into(),
                    start: *start,
                };
            }
        }
        panic!("no segment from {from} to port {port} of {}", self.address);
    }
}

/// Sends an error from an address of the namespace: type and code, the four octets behind the
/// checksum, and what it quotes.
///
/// # Panics
///
/// When it cannot be sent.
#[track_caller]
pub fn icmp_error(
    namespace: &Namespace,
    [from, to]: [IpAddr; 2],
    [kind, code]: [u8; 2],
    rest: u32,
    quoted: &[u8],
) {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest.to_be_bytes());
    message.extend(quoted);
    let protocol = match from {
        IpAddr::V4(_) => {
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum);
            Protocol::ICMPV4
        }
        // The kernel fills in that of ICMPv6.
        IpAddr::V6(_) => Protocol::ICMPV6,
    };
    raw(namespace, from, protocol)
        .send_to(&message, &SocketAddr::new(to, 0).into())
        .unwrap_or_else(|error| panic!("ICMP {kind}/{code} to {to}: {error}"));
}

fn raw(namespace: &Namespace, address: IpAddr, protocol: Protocol) -> Socket {
    let open = || {
        let domain = Domain::for_address((address, 0).into());
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.bind(&SocketAddr::new(address, 0).into())?;
        socket.set_read_timeout(Some(ANSWER))?;
        io::Result::Ok(socket)
    };
    let socket = namespace
        .run(open)
        .unwrap_or_else(|error| panic!("{error}"));
    socket.unwrap_or_else(|error| panic!("a raw socket of {address}: {error}"))
}

/// RFC 1071.
pub(crate) fn checksum(octets: &[u8]) -> [u8; 2] {
    let sum: u32 = octets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [_, _, high, low] = (!folded).to_be_bytes();
    [high, low]
}
