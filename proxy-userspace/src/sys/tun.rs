//! Tun and tap devices, for throwaway networks: links without a link-layer header, and links whose
//! frames a test writes itself.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
};

const DEVICE: &str = "/dev/net/tun";

/// The part of `struct ifreq` for `TUNSETIFF`, as long as the whole.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

/// Makes a tun device of that name in the calling thread's network namespace. Packets are read
/// from and written to the file, one at a time and with nothing in front of them, without
/// blocking; the device goes with the file.
///
/// # Errors
///
/// `InvalidInput` for a name of more than 15 octets; as `open(2)` and `ioctl(2)`: `ENOENT` in a
/// kernel without `CONFIG_TUN`, `EPERM`, `EBUSY` if there is one of that name.
pub fn open(name: &str) -> io::Result<File> {
    make(name, libc::IFF_TUN)
}

/// The same for a device that takes part in offloads: packets of up to 64 KiB, checksums still to be
/// computed. Each has a `struct virtio_net_hdr` (10 octets) in front, read and written.
///
/// # Errors
///
/// As [`open`].
pub fn open_offloading(name: &str) -> io::Result<File> {
    const TUN_F_CSUM: libc::c_ulong = 1;
    const TUN_F_TSO4: libc::c_ulong = 2;
    const TUN_F_TSO6: libc::c_ulong = 4;
    let device = make(name, libc::IFF_TUN | libc::IFF_VNET_HDR)?;
    let offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    // SAFETY: the descriptor is borrowed for the call, and the argument is a number.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETOFFLOAD, offloads) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(device)
}

/// The same for a tap device: Ethernet frames.
///
/// # Errors
///
/// As [`open`].
pub fn open_tap(name: &str) -> io::Result<File> {
    make(name, libc::IFF_TAP)
}

fn make(name: &str, kind: libc::c_int) -> io::Result<File> {
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        #[expect(clippy::cast_possible_truncation, reason = "flags of 16 bits")]
        flags: (kind | libc::IFF_NO_PI) as libc::c_short,
        rest: [0; 22],
    };
    let octets = name.as_bytes();
    if octets.len() >= request.name.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is too long for an interface"),
        ));
    }
    request.name[..octets.len()].copy_from_slice(octets);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(DEVICE)?;
    // SAFETY: the descriptor is ours; the kernel reads and writes one `struct ifreq`, as long as
    // `Request`, which lives across the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// Changes the link type (`ARPHRD_*`) of a device made by [`open`]: what it says of itself, not
/// what is read and written.
///
/// # Errors
///
/// As `ioctl(2)`: `EBUSY` unless it is down.
pub fn set_link_type(device: &File, link_type: u16) -> io::Result<()> {
    let link_type = libc::c_ulong::from(link_type);
    // SAFETY: the descriptor is borrowed for the call, and the argument is a number.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETLINK, link_type) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

const _: () = assert!(size_of::<Request>() == size_of::<libc::ifreq>());
