//! A BPF program that counts packets and gives a verdict, for throwaway networks: somebody else's,
//! beside ours on the hook.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use super::bpf::{self, Hook, Instruction, address, attach_tcx, create_array};

const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_SKB_MODE: u32 = 2;

/// Packets longer than this, octets, were put together by segmentation or receive offload.
pub const LARGE: i32 = 16 * 1024;

/// The program, its counters, and what keeps it attached where that is a link.
#[derive(Debug)]
pub struct Probe {
    counters: OwnedFd,
    _program: OwnedFd,
    _link: Option<OwnedFd>,
}

/// The part of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// The part of `union bpf_attr` for `BPF_MAP_LOOKUP_ELEM`.
#[repr(C)]
struct MapLookup {
    map_fd: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Probe {
    /// On TCX of an interface, behind what is there, with this verdict (`TCX_*`) for every packet.
    /// It stays until the interface goes.
    ///
    /// # Errors
    ///
    /// As `bpf(2)`.
    pub fn on_tcx(ifindex: u32, hook: Hook, verdict: i32) -> io::Result<Self> {
        let counters = create_array("probe_counts", 8, 2, 0)?;
        let program = load(BPF_PROG_TYPE_SCHED_CLS, &counters, verdict)?;
        attach_tcx(program.as_fd(), ifindex, hook)?;
        Ok(Self {
            counters,
            _program: program,
            _link: None,
        })
    }

    /// On generic XDP of an interface, passing everything on; it goes with this.
    ///
    /// # Errors
    ///
    /// As `bpf(2)`.
    pub fn on_xdp(ifindex: u32) -> io::Result<Self> {
        const XDP_PASS: i32 = 2;
        let counters = create_array("probe_counts", 8, 2, 0)?;
        let program = load(BPF_PROG_TYPE_XDP, &counters, XDP_PASS)?;
        let attr = LinkCreate {
            prog_fd: program.as_raw_fd().cast_unsigned(),
            target_ifindex: ifindex,
            attach_type: BPF_XDP,
            flags: XDP_FLAGS_SKB_MODE,
        };
        // SAFETY: the attributes of this command, without pointers.
        let link = unsafe { bpf::make(BPF_LINK_CREATE, &attr) }?;
        Ok(Self {
            counters,
            _program: program,
            _link: Some(link),
        })
    }

    /// Packets so far.
    ///
    /// # Errors
    ///
    /// As `bpf(2)`.
    pub fn packets(&self) -> io::Result<u64> {
        self.counter(0)
    }

    /// Those of more than [`LARGE`] octets; on TCX alone.
    ///
    /// # Errors
    ///
    /// As `bpf(2)`.
    pub fn large(&self) -> io::Result<u64> {
        self.counter(1)
    }

    fn counter(&self, key: u32) -> io::Result<u64> {
        let mut value = 0u64;
        let attr = MapLookup {
            map_fd: self.counters.as_raw_fd().cast_unsigned(),
            reserved: 0,
            key: address(&raw const key),
            value: address(&raw mut value),
            flags: 0,
        };
        // SAFETY: the attributes of this command; key and value are as long as the map's, and live
        // across the call.
        unsafe { bpf::call(BPF_MAP_LOOKUP_ELEM, &attr) }?;
        Ok(value)
    }
}

fn load(prog_type: u32, counters: &OwnedFd, verdict: i32) -> io::Result<OwnedFd> {
    let program = instructions(prog_type, counters.as_raw_fd(), verdict);
    bpf::load(prog_type, 0, "probe", &program)
}

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    let registers = if cfg!(target_endian = "big") {
        destination << 4 | source
    } else {
        source << 4 | destination
    };
    let ([o0, o1], [i0, i1, i2, i3]) = (offset.to_ne_bytes(), immediate.to_ne_bytes());
    [code, registers, o0, o1, i0, i1, i2, i3]
}

/// Adds one to counter 0, and to counter 1 if `skb->len` is large.
fn instructions(prog_type: u32, counters: i32, verdict: i32) -> Vec<Instruction> {
    const MOV: u8 = 0xb7;
    const MOV_REGISTER: u8 = 0xbf;
    const LOAD_LENGTH: u8 = 0x61;
    const JUMP_IF_AT_MOST: u8 = 0xb5;
    const EXIT: u8 = 0x95;
    // The context is in r6, as calls take r1 to r5.
    let mut program = vec![instruction(MOV_REGISTER, 6, 1, 0, 0)];
    program.extend(count(counters, 0));
    if prog_type == BPF_PROG_TYPE_SCHED_CLS {
        let large = count(counters, 1);
        program.push(instruction(LOAD_LENGTH, 7, 6, 0, 0));
        let past = i16::try_from(large.len()).unwrap_or(i16::MAX);
        program.push(instruction(JUMP_IF_AT_MOST, 7, 0, past, LARGE));
        program.extend(large);
    }
    program.push(instruction(MOV, 0, 0, 0, verdict));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

/// `if (value = map_lookup_elem(counters, &key)) *value += 1`.
fn count(counters: i32, key: i32) -> Vec<Instruction> {
    const STORE_WORD: u8 = 0x62;
    const MOV: u8 = 0xb7;
    const MOV_REGISTER: u8 = 0xbf;
    const ADD: u8 = 0x07;
    const LOAD_64: u8 = 0x18;
    const BPF_PSEUDO_MAP_FD: u8 = 1;
    const CALL: u8 = 0x85;
    const MAP_LOOKUP_ELEM: i32 = 1;
    const JUMP_IF_EQUAL: u8 = 0x15;
    const ATOMIC_ADD_64: u8 = 0xdb;
    vec![
        instruction(STORE_WORD, 10, 0, -4, key),
        instruction(MOV_REGISTER, 2, 10, 0, 0),
        instruction(ADD, 2, 0, 0, -4),
        instruction(LOAD_64, 1, BPF_PSEUDO_MAP_FD, 0, counters),
        instruction(0, 0, 0, 0, 0),
        instruction(CALL, 0, 0, 0, MAP_LOOKUP_ELEM),
        instruction(JUMP_IF_EQUAL, 0, 0, 2, 0),
        instruction(MOV, 1, 0, 0, 1),
        instruction(ATOMIC_ADD_64, 0, 1, 0, 0),
    ]
}
