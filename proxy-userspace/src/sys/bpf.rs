//! Attaching a TC program without a link.
//!
//! A TCX *link* goes when its last file descriptor does, unless it is pinned, and a pin below a
//! private mount namespace (`ip netns exec`, a hardened unit) goes with that namespace. A program
//! attached by `BPF_PROG_ATTACH` stays until it is detached or its device goes, needs no pin, and
//! is found again by `BPF_PROG_QUERY`.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_DETACH: libc::c_long = 9;
const BPF_TCX_INGRESS: u32 = 46;

/// The part of `union bpf_attr` for the two commands.
#[repr(C)]
#[derive(Default)]
struct ProgAttach {
    target_ifindex: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
    relative_fd: u32,
    expected_revision: u64,
}

/// Attaches `program` to TCX ingress of the interface, behind the programs that are there.
///
/// # Errors
///
/// As `bpf(2)`: `EINVAL` before Linux 6.6, `ENODEV`, `EPERM`, `EEXIST` if it is attached there.
pub fn attach_tcx_ingress(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    command(BPF_PROG_ATTACH, program, ifindex)
}

/// Detaches `program` from TCX ingress of the interface.
///
/// # Errors
///
/// As `bpf(2)`: `ENOENT` if it is not attached there, `ENODEV`, `EPERM`.
pub fn detach_tcx_ingress(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    command(BPF_PROG_DETACH, program, ifindex)
}

fn command(command: libc::c_long, program: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    let attr = ProgAttach {
        target_ifindex: ifindex,
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: BPF_TCX_INGRESS,
        ..ProgAttach::default()
    };
    // SAFETY: `attr` is a prefix of `union bpf_attr` of the size given, lives across the call,
    // and the kernel writes nothing to it for these commands.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw const attr,
            size_of::<ProgAttach>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
