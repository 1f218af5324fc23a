//! Attaching a TC program without a link, and making an array that can be mapped.
//!
//! A TCX *link* goes when its last file descriptor does, unless it is pinned, and a pin below a
//! private mount namespace (`ip netns exec`, a hardened unit) goes with that namespace. A program
//! attached by `BPF_PROG_ATTACH` stays until it is detached or its device goes, needs no pin, and
//! is found again by `BPF_PROG_QUERY`.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_DETACH: libc::c_long = 9;
const BPF_PROG_QUERY: libc::c_long = 16;
/// Flag of `BPF_PROG_ATTACH`.
const BPF_F_REPLACE: u32 = 1 << 2;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;

/// Where on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// TCX ingress.
    Ingress,
    /// TCX egress.
    Egress,
}

impl Hook {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    const fn attach_type(self) -> u32 {
        match self {
            Self::Ingress => BPF_TCX_INGRESS,
            Self::Egress => BPF_TCX_EGRESS,
        }
    }
}

/// The part of `union bpf_attr` for the two commands.
#[repr(C)]
struct ProgAttach {
    target_ifindex: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
    relative_fd: u32,
    expected_revision: u64,
}

/// Attaches `program` to the interface, behind the programs that are there.
///
/// # Errors
///
/// As `bpf(2)`: `EINVAL` before Linux 6.6, `ENODEV`, `EPERM`, `EEXIST` if it is attached there.
pub fn attach_tcx(program: BorrowedFd<'_>, ifindex: u32, hook: Hook) -> io::Result<()> {
    command(BPF_PROG_ATTACH, program, ifindex, hook, None)
}

/// Puts `program` in the place of `old`: each packet meets one of them.
///
/// # Errors
///
/// As `bpf(2)`: `ENOENT` if `old` is not attached there, `ENODEV`, `EPERM`.
pub fn replace_tcx(
    program: BorrowedFd<'_>,
    ifindex: u32,
    hook: Hook,
    old: BorrowedFd<'_>,
) -> io::Result<()> {
    command(BPF_PROG_ATTACH, program, ifindex, hook, Some(old))
}

/// Detaches `program` from the interface.
///
/// # Errors
///
/// As `bpf(2)`: `ENOENT` if it is not attached there, `ENODEV`, `EPERM`.
pub fn detach_tcx(program: BorrowedFd<'_>, ifindex: u32, hook: Hook) -> io::Result<()> {
    command(BPF_PROG_DETACH, program, ifindex, hook, None)
}

fn command(
    command: libc::c_long,
    program: BorrowedFd<'_>,
    ifindex: u32,
    hook: Hook,
    replaced: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let attr = ProgAttach {
        target_ifindex: ifindex,
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: hook.attach_type(),
        attach_flags: replaced.map_or(0, |_| BPF_F_REPLACE),
        replace_bpf_fd: replaced.map_or(0, |old| old.as_raw_fd().cast_unsigned()),
        relative_fd: 0,
        expected_revision: 0,
    };
    // SAFETY: the attributes of these two commands, without pointers.
    unsafe { call(command, &attr) }.map(|_| ())
}

/// The part of `union bpf_attr` for `BPF_PROG_QUERY`.
#[repr(C)]
#[derive(Default)]
struct ProgQuery {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    reserved: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// So many programs at most are asked for: as many as the kernel lets be there (`BPF_MPROG_MAX`).
const MOST: usize = 64;

/// The numbers of the programs on the interface. To ask for more of them than these takes
/// `CAP_SYS_ADMIN`.
///
/// # Errors
///
/// As `bpf(2)`: `EINVAL` before Linux 6.6, `ENODEV`, `EPERM` without `CAP_NET_ADMIN`; `ENOENT` if
/// there has never been one.
pub fn on_tcx(ifindex: u32, hook: Hook) -> io::Result<Vec<u32>> {
    let mut numbers = vec![0_u32; MOST];
    let mut attr = ProgQuery {
        target_ifindex: ifindex,
        attach_type: hook.attach_type(),
        prog_ids: numbers.as_mut_ptr().expose_provenance() as u64,
        count: u32::try_from(MOST).unwrap_or(u32::MAX),
        ..ProgQuery::default()
    };
    // SAFETY: the attributes of this command, which are the kernel's to write to; it writes `count`
    // numbers at most.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_QUERY,
            std::ptr::from_mut(&mut attr),
            size_of::<ProgQuery>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    numbers.truncate(attr.count as usize);
    Ok(numbers)
}

/// The part of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

/// Makes a BPF array. At most 15 octets of `name` count.
///
/// # Errors
///
/// As `bpf(2)`: `ENOMEM`, `E2BIG` if it is too large, `EPERM`.
pub fn create_array(name: &str, value_size: u32, entries: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = MapCreate {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size,
        max_entries: entries,
        map_flags: flags,
        ..MapCreate::default()
    };
    write_name(&mut attr.map_name, name);
    // SAFETY: the attributes of this command, without pointers.
    unsafe { make(BPF_MAP_CREATE, &attr) }
}

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

/// `struct bpf_insn`.
pub(super) type Instruction = [u8; 8];

/// Loads a program of a few instructions. At most 15 octets of `name` count; the type that it will
/// be attached as is 0 where the kernel does not ask.
pub(super) fn load(
    prog_type: u32,
    attach_type: u32,
    name: &str,
    program: &[Instruction],
) -> io::Result<OwnedFd> {
    let license = c"Dual MIT/GPL";
    let mut attr = ProgLoad {
        prog_type,
        insn_cnt: u32::try_from(program.len()).unwrap_or(u32::MAX),
        insns: address(program.as_ptr()),
        license: address(license.as_ptr()),
        expected_attach_type: attach_type,
        ..ProgLoad::default()
    };
    write_name(&mut attr.prog_name, name);
    // SAFETY: the attributes of this command; instructions and licence live across the call.
    unsafe { make(BPF_PROG_LOAD, &attr) }
}

/// The kernel wants a NUL behind it.
fn write_name(field: &mut [u8; 16], name: &str) {
    let length = name.len().min(field.len() - 1);
    field[..length].copy_from_slice(&name.as_bytes()[..length]);
}

/// A pointer as the attributes have it.
pub(super) fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// Calls `bpf(2)` for a command that makes a descriptor.
///
/// # Safety
///
/// As [`call`].
pub(super) unsafe fn make<Attr>(command: libc::c_long, attr: &Attr) -> io::Result<OwnedFd> {
    // SAFETY: as the caller says.
    let fd = unsafe { call(command, attr) }?;
    // SAFETY: the kernel has just made it for us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Calls `bpf(2)` with a part of `union bpf_attr`.
///
/// # Safety
///
/// `Attr` is a prefix of the union as the command has it, and what pointers in it lead to is there
/// across the call, with the size that the command reads or writes.
pub(super) unsafe fn call<Attr>(command: libc::c_long, attr: &Attr) -> io::Result<i32> {
    // SAFETY: as the caller says; the kernel writes nothing to the attributes themselves for the
    // commands of this room.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attr),
            size_of::<Attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}
