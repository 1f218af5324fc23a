//! Socket options that `socket2` does not know.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const IPV6_TRANSPARENT: libc::c_int = 75;
/// `IPV6_2292PKTOPTIONS` of `linux/in6.h`.
const IPV6_2292PKTOPTIONS: libc::c_int = 6;
const SO_PEERGROUPS: libc::c_int = 59;
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Lets an IPv6 socket bind to, and speak from, addresses that are not this host's. Needs
/// `CAP_NET_ADMIN` or `CAP_NET_RAW`.
///
/// # Errors
///
/// As `setsockopt(2)`: `EPERM`.
pub fn set_ipv6_transparent(socket: &impl AsFd) -> io::Result<()> {
    set(socket, libc::SOL_IPV6, IPV6_TRANSPARENT, 1)
}

/// An octet of an IP header that the kernel keeps with a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Type of service (IPv4), traffic class (IPv6).
    Tos,
    /// Time to live (IPv4), hop limit (IPv6).
    Ttl,
}

/// That octet of the packet that completed the handshake of a TCP socket that was just accepted.
///
/// The kernel keeps it with every socket, also where the SYN was answered by a cookie (`rcv_tos`
/// and `mc_ttl`, `rcv_flowinfo` and `mcast_hops`: `tcp_v4_syn_recv_sock`, `tcp_v6_syn_recv_sock`);
/// a saved SYN (`TCP_SAVE_SYN`) costs memory and is not there then.
///
/// # Errors
///
/// As `setsockopt(2)` and `getsockopt(2)`; `InvalidData` if the kernel answers something else.
pub fn received(socket: &impl AsFd, ipv6: bool, what: Received) -> io::Result<u8> {
    let (level, options) = if ipv6 {
        (libc::SOL_IPV6, IPV6_2292PKTOPTIONS)
    } else {
        (libc::SOL_IP, libc::IP_PKTOPTIONS)
    };
    let (receive, kind) = match (what, ipv6) {
        (Received::Tos, true) => (libc::IPV6_RECVTCLASS, libc::IPV6_TCLASS),
        (Received::Tos, false) => (libc::IP_RECVTOS, libc::IP_TOS),
        (Received::Ttl, true) => (libc::IPV6_RECVHOPLIMIT, libc::IPV6_HOPLIMIT),
        (Received::Ttl, false) => (libc::IP_RECVTTL, libc::IP_TTL),
    };
    // Without it, the kernel does not tell; with it, IPv6 clones packets that come.
    set(socket, level, receive, 1)?;
    let said = control_message(socket, level, options);
    set(socket, level, receive, 0)?;
    match said? {
        (said_level, said_kind, value) if (said_level, said_kind) == (level, kind) => {
            u8::try_from(value).map_err(|_| io::ErrorKind::InvalidData.into())
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Level, type and value of the one control message, an `int`, that an option consists of.
fn control_message(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
) -> io::Result<(libc::c_int, libc::c_int, libc::c_int)> {
    #[repr(C)]
    struct Message {
        header: libc::cmsghdr,
        value: libc::c_int,
        /// The kernel pads to the header's alignment.
        _padding: libc::c_int,
    }
    // SAFETY: all of it are integers, of which zero is a value.
    let mut message: Message = unsafe { std::mem::zeroed() };
    #[expect(clippy::cast_possible_truncation, reason = "24 octets")]
    let mut len = size_of::<Message>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `len` octets to
    // the structure, which has as many and lives across the call, and their number to `len`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw mut message).cast(),
            &raw mut len,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let Message { header, value, .. } = message;
    Ok((header.cmsg_level, header.cmsg_type, value))
}

/// How many connections wait for `accept` at a listener: for TCP_LISTEN, `tcpi_unacked` is the
/// length of that queue (`tcp_get_info`).
///
/// # Errors
///
/// As `getsockopt(2)`.
pub fn accept_queue(listener: &impl AsFd) -> io::Result<u32> {
    // SAFETY: all of it are integers, of which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    #[expect(clippy::cast_possible_truncation, reason = "some hundred octets")]
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `len` octets to
    // the structure, which has as many and lives across the call, and their number to `len`.
    let result = unsafe {
        libc::getsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info.tcpi_unacked)
}

/// Whether nobody is at the other end of a connection any more. The kernel is asked: what a runtime
/// believes of one that it has just been given is out of date.
#[must_use]
pub fn has_hung_up(stream: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let answered = poll(&mut asked, PollTimeout::ZERO);
    answered.is_ok()
        && asked[0]
            .revents()
            .is_some_and(|is| is.contains(PollFlags::POLLHUP))
}

/// Sets an option that is an `int`.
fn set(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "the size of an int")]
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call; the option's value is a `c_int` of the
    // length given that lives across the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            len,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Bytes that were written to a TCP socket and that the other side has not acknowledged yet, its
/// FIN not counted (`SIOCOUTQ`, `tcp(7)`).
///
/// # Errors
///
/// As `ioctl(2)`: `EINVAL` for a socket that is not connected.
pub fn unacknowledged(socket: &impl AsFd) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed for the call, and the kernel writes one `c_int` to the
    // place given, which lives across the call. `SIOCOUTQ` is `TIOCOUTQ` by another name.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(usize::try_from(bytes).unwrap_or_default())
    }
}

/// The supplementary groups of the process at the other end of a Unix stream socket, as they were
/// when it connected (Linux 4.13).
///
/// # Errors
///
/// As `getsockopt(2)`.
pub fn peer_groups(socket: &impl AsFd) -> io::Result<Vec<libc::gid_t>> {
    // NGROUPS_MAX, so that it is never too short.
    let mut groups: Vec<libc::gid_t> = vec![0; 65_536];
    #[expect(clippy::cast_possible_truncation, reason = "256 KiB")]
    let mut len = size_of_val(groups.as_slice()) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `len` octets to
    // the vector, which has as many, and their number to `len`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    groups.truncate(len as usize / size_of::<libc::gid_t>());
    Ok(groups)
}

/// The number by which programs know the network namespace of a socket (Linux 5.14). Never used
/// again for another one, not even after a namespace's end.
///
/// # Errors
///
/// As `getsockopt(2)`: `ENOPROTOOPT` before Linux 5.14.
pub fn netns_cookie(socket: &impl AsFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    #[expect(clippy::cast_possible_truncation, reason = "8 octets")]
    let mut len = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `len` octets to
    // the number, which has as many and lives across the call, and their number to `len`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(cookie)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn those_who_wait_to_be_accepted_are_counted() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            assert_eq!(accept_queue(&listener).unwrap(), 0);
            let at = listener.local_addr().unwrap();
            let _waiting: Vec<_> = (0..3).map(|_| TcpStream::connect(at).unwrap()).collect();
            assert_eq!(accept_queue(&listener).unwrap(), 3);
            let _accepted = listener.accept().unwrap();
            assert_eq!(accept_queue(&listener).unwrap(), 2);
        }
    }

    #[test]
    fn who_has_hung_up_is_known_at_once() {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!has_hung_up(&here));
        drop(there);
        assert!(has_hung_up(&here));
    }
}
