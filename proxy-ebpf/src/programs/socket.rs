//! Socket lookups from TC, with the reference counting that the verifier wants to see.

use core::ptr;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{bpf_sock, bpf_sock_tuple, tcphdr},
    helpers::{
        bpf_map_lookup_elem, bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_check_syncookie,
        bpf_tcp_sock,
    },
    programs::TcContext,
};
use proxy_ebpf::key::{Flow, IPV4};

use super::maps::{LISTENERS, LOOKING};

/// `TCP_SYN_SENT`; the numbers are ABI (`enum` in `include/net/tcp_states.h`, mirrored for BPF).
const SYN_SENT: u32 = 2;
const LISTEN: u32 = 10;
/// States in which a socket still has a process behind it, or is about to.
const ESTABLISHED: u32 = 1;
const SYN_RECV: u32 = 3;
const NEW_SYN_RECV: u32 = 12;
/// `BPF_F_CURRENT_NETNS`.
const CURRENT_NETNS: u64 = u64::MAX;

/// What a lookup found.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// No socket at all.
    Nothing = 0,
    /// A listener, ours or another's.
    Listener = 1,
    /// A listener, and the segment completes a handshake that it began with a SYN cookie.
    Cookie = 2,
    /// A connecting socket.
    Connecting = 3,
    /// A socket in use.
    Live = 4,
    /// A socket that is being closed, TIME_WAIT included.
    Dying = 5,
}

impl Found {
    /// A socket with exactly this four-tuple.
    #[inline(always)]
    pub(super) fn is_connection(self) -> bool {
        matches!(self, Self::Connecting | Self::Live | Self::Dying)
    }
}

/// Looks up the socket that would receive a packet of `flow`.
#[inline(never)]
pub(super) fn find(ctx: &TcContext, flow: &Flow) -> Found {
    find_for(ctx, flow, 0, 0)
}

/// The same for a bare ACK whose headers are at `l3` and `l4`: it may complete a SYN cookie's
/// handshake.
#[inline(never)]
pub(super) fn find_for_ack(ctx: &TcContext, flow: &Flow, l3: u32, l4: u32) -> Found {
    find_for(ctx, flow, l3, l4)
}

#[inline(always)]
fn find_for(ctx: &TcContext, flow: &Flow, l3: u32, ack: u32) -> Found {
    let socket = lookup(ctx, flow);
    if socket.is_null() {
        return Found::Nothing;
    }
    let found = match unsafe { (*socket).state } {
        LISTEN if ack != 0 && checks_cookie(ctx, socket, flow, l3, ack) => Found::Cookie,
        LISTEN => Found::Listener,
        SYN_SENT => Found::Connecting,
        ESTABLISHED | SYN_RECV | NEW_SYN_RECV => Found::Live,
        _ => Found::Dying,
    };
    unsafe { bpf_sk_release(socket.cast()) };
    found
}

/// Whether a packet of `flow` would come to a connecting socket whose SYN has the sequence number
/// before this one.
#[inline(never)]
pub(super) fn has_sent_syn_before(ctx: &TcContext, flow: &Flow, sequence: u32) -> bool {
    let socket = lookup(ctx, flow);
    if socket.is_null() {
        return false;
    }
    let mut has = false;
    if unsafe { (*socket).state } == SYN_SENT {
        let tcp = unsafe { bpf_tcp_sock(socket) };
        // Not `snd_nxt`: it is set behind the sending (`tcp_connect`), and an answer may be faster.
        has = !tcp.is_null() && unsafe { (*tcp).snd_una }.wrapping_add(1) == sequence;
    }
    unsafe { bpf_sk_release(socket.cast()) };
    has
}

/// The caller has to release what it is given, if anything.
#[inline(always)]
fn lookup(ctx: &TcContext, flow: &Flow) -> *mut bpf_sock {
    let mut tuple = Tuple::new(flow);
    looking(1);
    let socket = unsafe {
        bpf_skc_lookup_tcp(
            ctx.as_ptr(),
            tuple.as_mut_ptr(),
            Tuple::len(flow),
            CURRENT_NETNS,
            0,
        )
    };
    looking(0);
    socket
}

/// Whether the slot of `index` holds a listener.
#[inline(always)]
pub(super) fn has_listener(index: u32) -> bool {
    let map = (&raw const LISTENERS).cast_mut().cast();
    let socket = unsafe { bpf_map_lookup_elem(map, (&raw const index).cast()) };
    if socket.is_null() {
        return false;
    }
    unsafe { bpf_sk_release(socket) };
    true
}

/// Tells `weir_listen`, which the kernel runs inside our lookups, that this is no delivery.
/// A TC program is not preempted by another packet on its CPU, so one flag per CPU is enough.
#[inline(always)]
fn looking(flag: u32) {
    if let Some(slot) = LOOKING.get_ptr_mut(0) {
        unsafe { ptr::write_volatile(slot, flag) };
    }
}

/// The helper wants the headers in memory; copies on the stack do (no linear data needed).
#[inline(always)]
fn checks_cookie(ctx: &TcContext, socket: *mut bpf_sock, flow: &Flow, l3: u32, l4: u32) -> bool {
    let Ok(mut tcp) = ctx.load::<[u32; 5]>(l4 as usize) else {
        return false;
    };
    let tcp = (&raw mut tcp).cast::<tcphdr>();
    let verdict = if flow.family == IPV4 {
        let Ok(mut ip) = ctx.load::<[u32; 5]>(l3 as usize) else {
            return false;
        };
        unsafe { bpf_tcp_check_syncookie(socket.cast(), (&raw mut ip).cast(), 20, tcp, 20) }
    } else {
        let Ok(mut ip) = ctx.load::<[u32; 10]>(l3 as usize) else {
            return false;
        };
        unsafe { bpf_tcp_check_syncookie(socket.cast(), (&raw mut ip).cast(), 40, tcp, 20) }
    };
    verdict == 0
}

/// `struct bpf_sock_tuple`, built from a [`Flow`].
#[repr(transparent)]
struct Tuple([u32; 9]);

impl Tuple {
    #[inline(always)]
    fn new(flow: &Flow) -> Self {
        let [s0, s1] = flow.sport.to_ne_bytes();
        let [d0, d1] = flow.dport.to_ne_bytes();
        let ports = u32::from_ne_bytes([s0, s1, d0, d1]);
        if flow.family == IPV4 {
            Self([flow.saddr[0], flow.daddr[0], ports, 0, 0, 0, 0, 0, 0])
        } else {
            let (s, d) = (&flow.saddr, &flow.daddr);
            Self([s[0], s[1], s[2], s[3], d[0], d[1], d[2], d[3], ports])
        }
    }

    #[inline(always)]
    fn as_mut_ptr(&mut self) -> *mut bpf_sock_tuple {
        ptr::from_mut(self).cast()
    }

    #[inline(always)]
    fn len(flow: &Flow) -> u32 {
        if flow.family == IPV4 { 12 } else { 36 }
    }
}
