//! Ending sockets of ours that outlive their connection.
//!
//! A socket in TIME_WAIT stays for a minute after the daemon has gone and would swallow a direct
//! SYN of a client that reuses the tuple. All our sockets carry a mark (`SO_MARK`), so that they
//! can be found by sock_diag and ended by `SOCK_DESTROY` (needs `CONFIG_INET_DIAG_DESTROY`),
//! the way `ss -K` does it. Message formats: `include/uapi/linux/{netlink,inet_diag}.h`.

use std::io;

use nix::sys::socket::SockProtocol;

use crate::sys::netlink::{NLM_F_ACK, Raw};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
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

/// Whether this kernel ends sockets when it is asked to (`CONFIG_INET_DIAG_DESTROY`): asks it to
/// end one that cannot be there.
///
/// # Errors
///
/// If sock_diag cannot be asked; `PermissionDenied` without `CAP_NET_ADMIN`.
pub fn can_destroy() -> io::Result<bool> {
    let family = u8::try_from(libc::AF_INET).unwrap_or_default();
    match SockDiag::open()?.destroy(family, &[0; 48]) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        other => other.map(|()| true),
    }
}

/// Addresses, ports, interface and cookie of a socket.
type SocketId = [u8; 48];

struct SockDiag(Raw);

impl SockDiag {
    fn open() -> io::Result<Self> {
        Raw::open(SockProtocol::NetlinkSockDiag).map(Self)
    }

    fn dump(&mut self, family: u8, states: u32, mark: u32) -> io::Result<Vec<SocketId>> {
        let mut request = inet_diag_req(family, states, &[0; 48]);
        request.extend_from_slice(&mark_filter(mark));
        let mut sockets = Vec::new();
        self.0.dump(SOCK_DIAG_BY_FAMILY, &request, |payload| {
            let id = payload.get(SOCKET_ID);
            sockets.extend(id.and_then(|id| SocketId::try_from(id).ok()));
        })?;
        Ok(sockets)
    }

    /// A socket that has gone meanwhile is fine.
    fn destroy(&mut self, family: u8, id: &SocketId) -> io::Result<()> {
        let request = inet_diag_req(family, ALL_STATES, id);
        match self.0.ask(SOCK_DESTROY, NLM_F_ACK, &request) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
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
