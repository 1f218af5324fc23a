//! `weir_output`, the `sock_ops` program, and its two helpers for this host's own connections (`intercept.output`).
//!
//! The kernel calls it when a TCP socket is about to send its SYN: the route has been looked up,
//! and address and port chosen, as if we were not there. What is to be intercepted gets a mark,
//! and since the mark is another one, the kernel looks the route up again before it sends
//! (`tcp_connect`, `__sock_set_mark`): `ip rule iif lo fwmark …` leads to the loopback device,
//! where `weir_listen` gives the SYN to a listener. Addresses and ports stay as they are.
//!
//! All of it runs in the context of the process that connects, which another one may interrupt on the
//! same CPU, so it counts atomically, and has its working memory with the socket.

use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xadd},
    ptr,
};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_TCP_CONNECT_CB, bpf_sock},
    btf_maps::SkStorage,
    helpers::generated::{
        bpf_get_netns_cookie, bpf_setsockopt, bpf_sk_storage_delete, bpf_sk_storage_get,
    },
    macros::{btf_map, cgroup_sock_addr, map, sock_ops},
    maps::Array,
    programs::{SockAddrContext, SockOpsContext},
};
use proxy_ebpf::{
    bypass::Walk,
    counter::{self, Delivery},
    key::{Address, Flow},
    output::{Ends, LOOPBACK, Output, SLOT},
    settings::Settings,
    verdict::{self, Bypass, Facts, Listener, Reason, Route},
    watch::{DIRECT, INTERCEPTED, PORT_NOT_WATCHED},
};

use super::{
    bypass,
    context::words,
    facts,
    maps::{self, DELIVERIES, OWN_ADDRESSES, SETTINGS},
    watch::{Fate, tell},
};

/// What both kinds of programs return when all is well; connects go on.
const FINE: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const SOL_SOCKET: i32 = 1;
const SO_MARK: i32 = 36;

#[map]
static OUTPUT: Array<Output> = Array::with_max_entries(1, 0);
#[map]
static OUTPUT_FLOWS: Array<u64> = Array::with_max_entries(Reason::COUNT, 0);

/// Words of a [`Walk`], as which the map's type is simple.
const WALK_WORDS: usize = size_of::<Walk>().div_ceil(8);

#[btf_map]
static OUTPUT_WALK: SkStorage<[u64; WALK_WORDS]> = SkStorage::new();

#[sock_ops]
pub(super) fn weir_output(ctx: SockOpsContext) -> u32 {
    if ctx.op() == BPF_SOCK_OPS_TCP_CONNECT_CB {
        connecting(&ctx);
    }
    FINE
}

/// `weir_connect4`, `weir_connect6`: before the route is looked up. A socket may be used for
/// another connection after its last one; our mark is of that one, and would lead this one astray.
#[cgroup_sock_addr(connect4)]
pub(super) fn weir_connect4(ctx: SockAddrContext) -> i32 {
    forget(&ctx)
}

#[cgroup_sock_addr(connect6)]
pub(super) fn weir_connect6(ctx: SockAddrContext) -> i32 {
    forget(&ctx)
}

#[inline(always)]
fn forget(ctx: &SockAddrContext) -> i32 {
    let socket = unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk };
    if let Some(output) = output(ctx.as_ptr())
        && !socket.is_null()
    {
        let had = unsafe { ptr::read_volatile(&raw const (*socket).mark) };
        if had & output.mark != 0 {
            set_mark(ctx.as_ptr(), had & !output.mark);
        }
    }
    FINE.cast_signed()
}

/// What the daemon wants of sockets of this network namespace, if anything.
#[inline(always)]
fn output(ctx: *mut c_void) -> Option<&'static Output> {
    let output = OUTPUT.get(0)?;
    let ours = output.mark != 0 && unsafe { bpf_get_netns_cookie(ctx) } == output.netns_cookie;
    ours.then_some(output)
}

#[inline(always)]
fn set_mark(ctx: *mut c_void, mut mark: u32) {
    unsafe { bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, (&raw mut mark).cast(), 4) };
}

#[inline(always)]
fn connecting(ctx: &SockOpsContext) {
    let (Some(output), Some(settings)) = (output(ctx.as_ptr()), SETTINGS.get(0)) else {
        return;
    };
    let socket = unsafe { (*ctx.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return;
    }
    let (had, device) = unsafe {
        (
            ptr::read_volatile(&raw const (*socket).mark),
            ptr::read_volatile(&raw const (*socket).bound_dev_if),
        )
    };
    if had & settings.socket_mark != 0 {
        return;
    }
    let Some(flow) = flow(ctx) else {
        return;
    };
    if !settings.watches(flow.dport) {
        if settings.watch != 0 {
            tell_of(&flow, PORT_NOT_WATCHED);
        }
        return;
    }
    let reason = judge(settings, &flow, socket, had != 0 || device != 0);
    count(reason);
    if reason == Reason::Intercepted {
        count_marked(flow.family);
        set_mark(ctx.as_ptr(), had | output.mark);
    }
    if settings.watch != 0 {
        tell_of(&flow, reason as u32);
    }
}

#[inline(always)]
fn tell_of(flow: &Flow, reason: u32) {
    let fate = Fate {
        ifindex: LOOPBACK,
        reason,
        outcome: if reason == Reason::Intercepted as u32 {
            INTERCEPTED
        } else {
            DIRECT
        },
        tag: 0,
    };
    tell(flow, &fate);
}

/// A mark or a device of its own has been given to a socket so that its packets go a way of their
/// own, by which ours would not.
#[inline(never)]
fn judge(settings: &Settings, flow: &Flow, socket: *mut bpf_sock, has_way: bool) -> Reason {
    if has_way {
        return Reason::OwnWay;
    }
    verdict::decide(settings, flow, &Own { settings, socket })
}

/// The facts about a connection of this host's.
struct Own<'a> {
    settings: &'a Settings,
    socket: *mut bpf_sock,
}

impl Facts for Own<'_> {
    #[inline(always)]
    fn arrived_on_lan(&self) -> bool {
        true
    }

    #[inline(always)]
    fn is_own(&self, family: u32, address: &Address) -> bool {
        maps::contains(&OWN_ADDRESSES, family, address)
    }

    #[inline(always)]
    fn is_our_syn(&self) -> bool {
        false
    }

    /// Whichever way: the answers are addressed to this host.
    #[inline(always)]
    fn route(&self, _: &Flow) -> Route {
        Route::Wan
    }

    #[inline(always)]
    fn bypass(&self, flow: &Flow) -> Bypass {
        let map = (&raw const OUTPUT_WALK).cast_mut().cast();
        let create = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
        let walk = unsafe { bpf_sk_storage_get(map, self.socket.cast(), ptr::null_mut(), create) };
        if walk.is_null() {
            // Nobody knows: the way that is always right is the direct one.
            return Bypass::Destination;
        }
        let bypass = bypass::decide_for(flow, 0, walk.cast());
        unsafe { bpf_sk_storage_delete(map, self.socket.cast()) };
        bypass
    }

    #[inline(always)]
    fn valve(&self, flow: &Flow) -> Option<Reason> {
        facts::valve(self.settings, LOOPBACK, flow)
    }

    #[inline(always)]
    fn is_probe(&self, one_in: u32) -> bool {
        facts::is_probe(one_in)
    }

    /// Whether there is one cannot be asked from here, and need not: this program is attached as
    /// long as the daemon lives, as the listeners are open.
    #[inline(always)]
    fn listener(&self, flow: &Flow) -> Listener {
        facts::pulse(self.settings, flow)
    }
}

/// The flow that the socket's SYN begins; `None` if it is no IP.
#[inline(always)]
fn flow(ctx: &SockOpsContext) -> Option<Flow> {
    let ops = ctx.ops;
    // Volatile: LLVM would load from a chosen address within the context otherwise, which the
    // verifier refuses.
    let (family, remote_port, local_port) = unsafe {
        (
            ptr::read_volatile(&raw const (*ops).family),
            ptr::read_volatile(&raw const (*ops).remote_port),
            ptr::read_volatile(&raw const (*ops).local_port),
        )
    };
    // Network order in the upper half, or on big-endian machines in the lower; host order.
    #[expect(clippy::cast_possible_truncation, reason = "ports, 16 bits in a u32")]
    let (sport, dport) = (
        (local_port as u16).to_be(),
        if cfg!(target_endian = "little") {
            (remote_port >> 16) as u16
        } else {
            remote_port as u16
        },
    );
    let (local, remote) = match family {
        AF_INET => unsafe {
            (
                [ptr::read_volatile(&raw const (*ops).local_ip4), 0, 0, 0],
                [ptr::read_volatile(&raw const (*ops).remote_ip4), 0, 0, 0],
            )
        },
        AF_INET6 => unsafe {
            (
                words(&raw const (*ops).local_ip6),
                words(&raw const (*ops).remote_ip6),
            )
        },
        _ => return None,
    };
    let ends = Ends {
        local,
        remote,
        sport,
        dport,
    };
    Some(ends.flow(family == AF_INET6))
}

#[inline(always)]
fn count(reason: Reason) {
    if let Some(counter) = OUTPUT_FLOWS.get_ptr_mut(reason as u32) {
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
    }
}

#[inline(always)]
fn count_marked(family: u32) {
    let slot = counter::delivery(SLOT, family, Delivery::Marked);
    if let Some(counter) = DELIVERIES.get_ptr_mut(slot) {
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
    }
}
