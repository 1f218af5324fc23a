//! Socket options that `socket2` does not know.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

const IPV6_TRANSPARENT: libc::c_int = 75;
const SO_PEERGROUPS: libc::c_int = 59;

/// Lets an IPv6 socket bind to, and speak from, addresses that are not this host's. Needs
/// `CAP_NET_ADMIN` or `CAP_NET_RAW`.
///
/// # Errors
///
/// As `setsockopt(2)`: `EPERM`.
pub fn set_ipv6_transparent(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    #[expect(clippy::cast_possible_truncation, reason = "the size of an int")]
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call; the option's value is a `c_int` of the
    // length given that lives across the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_IPV6,
            IPV6_TRANSPARENT,
            (&raw const on).cast(),
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
