//! Having the kernel put fragments together before it routes them.
//!
//! There is no system call for that but a netfilter link that wants to see whole datagrams: its
//! program accepts all of them.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::bpf::call;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_NETFILTER: u32 = 32;
const BPF_NETFILTER: u32 = 45;
const BPF_F_NETFILTER_IP_DEFRAG: u32 = 1;
const NF_INET_PRE_ROUTING: u32 = 0;
/// Right behind `NF_IP_PRI_CONNTRACK_DEFRAG`, which is where it happens.
const PRIORITY: i32 = -399;

/// `r0 = NF_ACCEPT; exit`
const ACCEPT: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
const LICENSE: &[u8; 4] = b"GPL\0";

/// The part of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// The part of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    pf: u32,
    hooknum: u32,
    priority: i32,
    netfilter_flags: u32,
}

/// While it is held, fragments of a family are put together in the network namespace in which it
/// was made, as soon as they have come in (`NF_INET_PRE_ROUTING`) and before they leave the host's
/// own programs. What is forwarded is cut again, into fragments no larger than those that came.
#[derive(Debug)]
pub struct Defragmentation {
    _link: OwnedFd,
}

impl Defragmentation {
    /// Begins, for IPv6 or IPv4, in the namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// As `bpf(2)`: `EINVAL` before Linux 6.6 and without `CONFIG_NETFILTER_BPF_LINK`,
    /// `EAFNOSUPPORT` without `CONFIG_NF_DEFRAG_IPV4` or `IPV6`, `ENOENT` where those are modules
    /// and cannot be loaded, `EPERM`.
    pub fn begin(ipv6: bool) -> io::Result<Self> {
        let mut load = ProgLoad {
            prog_type: BPF_PROG_TYPE_NETFILTER,
            insn_cnt: 2,
            insns: ACCEPT.as_ptr().addr() as u64,
            license: LICENSE.as_ptr().addr() as u64,
            expected_attach_type: BPF_NETFILTER,
            ..ProgLoad::default()
        };
        load.prog_name[..11].copy_from_slice(b"weir_defrag");
        // SAFETY: the attributes of this command; instructions and licence are constants.
        let program = owned(unsafe { call(BPF_PROG_LOAD, &load) }?);
        let family = if ipv6 { libc::AF_INET6 } else { libc::AF_INET };
        let create = LinkCreate {
            prog_fd: program.as_raw_fd().cast_unsigned(),
            target_fd: 0,
            attach_type: BPF_NETFILTER,
            flags: 0,
            pf: family.cast_unsigned(),
            hooknum: NF_INET_PRE_ROUTING,
            priority: PRIORITY,
            netfilter_flags: BPF_F_NETFILTER_IP_DEFRAG,
        };
        // SAFETY: the attributes of this command, without pointers.
        let link = owned(unsafe { call(BPF_LINK_CREATE, &create) }?);
        Ok(Self { _link: link })
    }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just made it for us, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
