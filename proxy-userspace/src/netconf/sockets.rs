//! Ending sockets of ours that outlive their connection.
//!
//! A socket in TIME_WAIT stays for a minute after the daemon has gone and would swallow a direct
//! SYN of a client that reuses the tuple. All our sockets carry a mark (`SO_MARK`), so that they
//! can be found by sock_diag and ended by `SOCK_DESTROY` (needs `CONFIG_INET_DIAG_DESTROY`),
//! the way `ss -K` does it. Message formats: `include/uapi/linux/{netlink,inet_diag}.h`.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const NLM_F_REQUEST: u16 = 0x001;
const NLM_F_ACK: u16 = 0x004;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_HEADER: usize = 16;
const IPPROTO_TCP: u8 = 6;
const INET_DIAG_REQ_BYTECODE: u16 = 1;
const INET_DIAG_BC_MARK_COND: u8 = 10;
/// `struct inet_diag_sockid` within `struct inet_diag_msg`.
const SOCKET_ID: std::ops::Range<usize> = 4..52;

/// All TCP states, as bits (`1 << TCP_…`).
const ALL_STATES: u32 = 0x1fff;

/// Which sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// In TIME_WAIT.
    TimeWait,
    /// Closing, with bytes that the other side has not acknowledged.
    Unacknowledged,
    /// In every state but LISTEN.
    All,
}

impl Which {
    const fn states(self) -> u32 {
        match self {
            Self::TimeWait => 1 << 6,
            // FIN_WAIT1, LAST_ACK, CLOSING.
            Self::Unacknowledged => 1 << 4 | 1 << 9 | 1 << 11,
            Self::All => ALL_STATES & !(1 << 10),
        }
    }
}

/// Ends the TCP sockets of this network namespace whose mark is `mark`, and returns
/// how many there were.
///
/// # Errors
///
/// If sock_diag cannot be asked, or refuses to end a socket.
pub fn destroy_marked(mark: u32, which: Which) -> io::Result<usize> {
    let mut ended = 0;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).unwrap_or_default();
        let sockets = SockDiag::open()?.dump(family, which.states(), mark)?;
        let mut diag = SockDiag::open()?;
        for id in &sockets {
            diag.destroy(family, id)?;
        }
        ended += sockets.len();
    }
    Ok(ended)
}

/// How many TCP sockets [`destroy_marked`] would end.
///
/// # Errors
///
/// If sock_diag cannot be asked.
pub fn count_marked(mark: u32, which: Which) -> io::Result<usize> {
    let mut count = 0;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).unwrap_or_default();
        count += SockDiag::open()?.dump(family, which.states(), mark)?.len();
    }
    Ok(count)
}

/// Addresses, ports, interface and cookie of a socket.
type SocketId = [u8; 48];

struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl SockDiag {
    fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: vec![0; 64 * 1024],
        })
    }

    fn dump(&mut self, family: u8, states: u32, mark: u32) -> io::Result<Vec<SocketId>> {
        let mut request = inet_diag_req(family, states, &[0; 48]);
        request.extend_from_slice(&mark_filter(mark));
        self.send(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, &request)?;
        let mut sockets = Vec::new();
        loop {
            for (kind, payload) in self.receive()? {
                match kind {
                    NLMSG_DONE => return Ok(sockets),
                    NLMSG_ERROR => return Err(netlink_error(&payload)),
                    _ => sockets.extend(
                        payload
                            .get(SOCKET_ID)
                            .and_then(|id| SocketId::try_from(id).ok()),
                    ),
                }
            }
        }
    }

    /// A socket that has gone meanwhile is fine.
    fn destroy(&mut self, family: u8, id: &SocketId) -> io::Result<()> {
        let request = inet_diag_req(family, ALL_STATES, id);
        self.send(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, &request)?;
        for (kind, payload) in self.receive()? {
            if kind == NLMSG_ERROR {
                let error = netlink_error(&payload);
                match error.raw_os_error() {
                    Some(0 | libc::ENOENT) => {}
                    _ => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, kind: u16, flags: u16, payload: &[u8]) -> io::Result<()> {
        self.sequence += 1;
        let length = u32::try_from(NLMSG_HEADER + payload.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(NLMSG_HEADER + payload.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0u32.to_ne_bytes());
        message.extend_from_slice(payload);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        Ok(())
    }

    /// One datagram's messages.
    fn receive(&mut self) -> io::Result<Vec<(u16, Vec<u8>)>> {
        let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        let mut rest = &self.buffer[..length];
        let mut messages = Vec::new();
        while let (Some(length), Some(kind)) = (u32_at(rest, 0), rest.get(4..6)) {
            let length = length as usize;
            let Some(payload) = rest.get(NLMSG_HEADER..length) else {
                break;
            };
            messages.push((u16::from_ne_bytes([kind[0], kind[1]]), payload.to_vec()));
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(messages)
    }
}

/// `struct inet_diag_req_v2`.
fn inet_diag_req(family: u8, states: u32, id: &SocketId) -> Vec<u8> {
    let mut request = vec![family, IPPROTO_TCP, 0, 0];
    request.extend_from_slice(&states.to_ne_bytes());
    request.extend_from_slice(id);
    request
}

/// An attribute with one instruction: accept where the mark is this one, else refuse. Sockets
/// of others may have more bits than ours.
fn mark_filter(mark: u32) -> [u8; 16] {
    let mut attribute = [0; 16];
    attribute[0..2].copy_from_slice(&16u16.to_ne_bytes());
    attribute[2..4].copy_from_slice(&INET_DIAG_REQ_BYTECODE.to_ne_bytes());
    // `struct inet_diag_bc_op`: code, jump when true (behind the end: accept), when false
    // (further behind: refuse); then `struct inet_diag_markcond`.
    attribute[4] = INET_DIAG_BC_MARK_COND;
    attribute[5] = 12;
    attribute[6..8].copy_from_slice(&16u16.to_ne_bytes());
    attribute[8..12].copy_from_slice(&mark.to_ne_bytes());
    attribute[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
    attribute
}

fn netlink_error(payload: &[u8]) -> io::Error {
    let code = u32_at(payload, 0).unwrap_or(0).cast_signed();
    io::Error::from_raw_os_error(-code)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
