//! ICMP echo and UDP from a namespace: what Weir must not touch.

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Instant,
};

use proxy_userspace::lab::Namespace;
use socket2::{Domain, Protocol, Socket, Type};

use crate::client::ANSWER;

const IPV4_HEADER: usize = 20;

/// Sends an echo request from one address to another and waits for the reply.
///
/// # Errors
///
/// `TimedOut` or `WouldBlock` when no reply comes.
///
/// # Panics
///
/// When the namespace cannot be entered.
pub fn ping(namespace: &Namespace, from: IpAddr, to: IpAddr) -> io::Result<()> {
    let whole = || {
        let (domain, protocol, request, reply) = match from {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
        };
        let mut socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.set_read_timeout(Some(ANSWER))?;
        socket.send_to(&message(request), &SocketAddr::new(to, 0).into())?;
        let header = if from.is_ipv4() { IPV4_HEADER } else { 0 };
        let deadline = Instant::now() + ANSWER;
        let mut packet = [0; 1500];
        while Instant::now() < deadline {
            let length = socket.read(&mut packet)?;
            let icmp = packet[..length].get(header..).unwrap_or_default();
            if icmp.first() == Some(&reply) && icmp.ends_with(PAYLOAD) {
                return Ok(());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    };
    namespace
        .run(whole)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Sends a datagram to a UDP socket of the other namespace; whom that saw.
///
/// # Errors
///
/// When the datagram does not arrive, or the answer does not.
///
/// # Panics
///
/// When a namespace cannot be entered.
pub fn udp(
    client: &Namespace,
    from: SocketAddr,
    server: &Namespace,
    to: SocketAddr,
) -> io::Result<SocketAddr> {
    let bound = |namespace: &Namespace, address| {
        let socket = namespace.run(|| UdpSocket::bind(address));
        let socket = socket.unwrap_or_else(|error| panic!("{error}"))?;
        socket.set_read_timeout(Some(ANSWER))?;
        io::Result::Ok(socket)
    };
    let (server, client) = (bound(server, to)?, bound(client, from)?);
    client.send_to(PAYLOAD, to)?;
    let mut datagram = [0; 64];
    let (length, peer) = server.recv_from(&mut datagram)?;
    server.send_to(&datagram[..length], peer)?;
    let (length, answerer) = client.recv_from(&mut datagram)?;
    if &datagram[..length] != PAYLOAD || answerer != to {
        return Err(io::Error::other(format!("another answer, from {answerer}")));
    }
    Ok(peer)
}

const PAYLOAD: &[u8; 8] = b"weirping";

/// An echo message; the kernel fills in ICMPv6's checksum, which is over the addresses as well.
fn message(kind: u8) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0x57, 0x65, 0, 1];
    message.extend_from_slice(PAYLOAD);
    let sum: u32 = message
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let [_, _, high, low] = (!folded).to_be_bytes();
    message[2..4].copy_from_slice(&[high, low]);
    message
}
