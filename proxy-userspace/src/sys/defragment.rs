//! Having the kernel put fragments together before it routes them.
//!
//! There is no system call for that but a netfilter link that wants to see whole datagrams: its
//! program accepts all of them.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use super::bpf::{self, Instruction};

const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_NETFILTER: u32 = 32;
const BPF_NETFILTER: u32 = 45;
const BPF_F_NETFILTER_IP_DEFRAG: u32 = 1;
const NF_INET_PRE_ROUTING: u32 = 0;
/// Right behind `NF_IP_PRI_CONNTRACK_DEFRAG`, which is where it happens.
const PRIORITY: i32 = -399;

/// `r0 = NF_ACCEPT; exit`
const ACCEPT: [Instruction; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

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
    ipv6: bool,
    link: OwnedFd,
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
        let program = bpf::load(
            BPF_PROG_TYPE_NETFILTER,
            BPF_NETFILTER,
            "weir_defrag",
            &ACCEPT,
        )?;
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
        let link = unsafe { bpf::make(BPF_LINK_CREATE, &create) }?;
        Ok(Self { ipv6, link })
    }

    /// What another process has begun and handed over.
    #[must_use]
    pub const fn held(ipv6: bool, link: OwnedFd) -> Self {
        Self { ipv6, link }
    }

    /// Whether it is for IPv6.
    #[must_use]
    pub const fn is_ipv6(&self) -> bool {
        self.ipv6
    }
}

impl AsFd for Defragmentation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}
