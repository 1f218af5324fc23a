//! The facts that a verdict asks for, as the kernel has them.

use core::ffi::c_long;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup,
    },
    helpers::{self, bpf_get_prandom_u32, bpf_ktime_get_ns},
    programs::TcContext,
};
use proxy_ebpf::{
    key::{Address, Flow, IPV4},
    settings::{LOOPING, NO_RETURN_PATH, ROLE_LAN, ROLE_WAN, Settings},
    verdict::{Bypass, Facts, Listener, Reason, Route},
};

use super::{
    bypass,
    looping::is_looping,
    maps::{self, HEARTBEATS, OWN_ADDRESSES},
    socket::{self, Found},
    steer::Seen,
};

#[expect(clippy::cast_possible_truncation, reason = "64 bytes")]
const FIB_LOOKUP_LEN: i32 = size_of::<bpf_fib_lookup>() as i32;

impl Facts for Seen<'_> {
    #[inline(always)]
    fn arrived_on_lan(&self) -> bool {
        has_role(self.ifindex(), ROLE_LAN)
    }

    #[inline(always)]
    fn is_own(&self, family: u32, address: &Address) -> bool {
        maps::contains(&OWN_ADDRESSES, family, address)
    }

    #[inline(always)]
    fn is_our_syn(&self) -> bool {
        // With the client's own port, its SYN sent again has both.
        socket::find(self.ctx, self.reversed) == Found::Connecting
            && !socket::find(self.ctx, &self.segment.flow).is_connection()
    }

    #[inline(always)]
    fn route(&self, flow: &Flow) -> Route {
        match &self.port {
            None => route(self.ctx, flow, self.ifindex()),
            Some(port) if port.is_apart() => Route::OtherVlan,
            Some(port) if port.leads_to_wan() => Route::Wan,
            Some(_) => Route::Elsewhere,
        }
    }

    #[inline(always)]
    fn bypass(&self, flow: &Flow) -> Bypass {
        bypass::decide(flow, self.ifindex())
    }

    #[inline(always)]
    fn valve(&self, flow: &Flow) -> Option<Reason> {
        valve(self.settings, self.entrance(), flow)
    }

    #[inline(always)]
    fn is_probe(&self, one_in: u32) -> bool {
        is_probe(one_in)
    }

    #[inline(always)]
    fn listener(&self, flow: &Flow) -> Listener {
        if socket::has_listener(flow.slot(self.settings.workers)) {
            pulse(self.settings, flow)
        } else {
            Listener::None
        }
    }
}

/// Why the valve is open for flows that would be delivered from this interface, if it is.
#[inline(always)]
pub(super) fn valve(settings: &Settings, ifindex: u32, flow: &Flow) -> Option<Reason> {
    let place = if flow.family == IPV4 { 0 } else { 1 };
    if maps::interface(ifindex).is_some_and(|entrance| entrance.valve[place] != 0) {
        Some(Reason::NotDelivered)
    } else {
        way_out(settings, flow)
    }
}

/// Whether this is the one SYN in so many that is let through an open valve.
#[inline(always)]
pub(super) fn is_probe(one_in: u32) -> bool {
    one_in != 0 && unsafe { bpf_get_prandom_u32() } % one_in == 0
}

/// Whether the flow's worker, which has a listener, gives signs of life.
#[inline(always)]
pub(super) fn pulse(settings: &Settings, flow: &Flow) -> Listener {
    let worker = flow.worker(settings.workers);
    let beat = HEARTBEATS.get(worker).copied().unwrap_or(0);
    let now = unsafe { bpf_ktime_get_ns() };
    if now.saturating_sub(beat) > settings.heartbeat_stale_ns {
        Listener::Stale
    } else {
        Listener::Alive
    }
}

/// Why our connection to the flow's origin would not come about, if it would not.
#[inline(always)]
fn way_out(settings: &Settings, flow: &Flow) -> Option<Reason> {
    match settings.valve[if flow.family == IPV4 { 0 } else { 1 }] {
        NO_RETURN_PATH => Some(Reason::NoReturnPath),
        LOOPING => Some(Reason::Looping),
        _ => is_looping(flow).then_some(Reason::Looping),
    }
}

#[inline(always)]
pub(super) fn has_role(ifindex: u32, role: u32) -> bool {
    maps::interface(ifindex).is_some_and(|interface| interface.role & role != 0)
}

/// Where the kernel would forward a packet of `flow` that came in on `ifindex`.
#[inline(never)]
fn route(ctx: &TcContext, flow: &Flow, ifindex: u32) -> Route {
    route_by(ctx, flow, ifindex, &mut 0)
}

/// The same, with the index of the interface that it would leave by, if there is one.
#[inline(always)]
pub(super) fn route_by(ctx: &TcContext, flow: &Flow, ifindex: u32, out: &mut u32) -> Route {
    let mut query: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    query.l4_protocol = 6;
    query.sport = flow.sport;
    query.dport = flow.dport;
    query.ifindex = ifindex;
    if flow.family == IPV4 {
        query.family = 2;
        query.__bindgen_anon_3.ipv4_src = flow.saddr[0];
        query.__bindgen_anon_4.ipv4_dst = flow.daddr[0];
    } else {
        query.family = 10;
        query.__bindgen_anon_3.ipv6_src = flow.saddr;
        query.__bindgen_anon_4.ipv6_dst = flow.daddr;
    }
    let result = unsafe {
        helpers::generated::bpf_fib_lookup(ctx.as_ptr(), &raw mut query, FIB_LOOKUP_LEN, 0)
    };
    const SUCCESS: c_long = BPF_FIB_LKUP_RET_SUCCESS as c_long;
    const NO_NEIGH: c_long = BPF_FIB_LKUP_RET_NO_NEIGH as c_long;
    const FRAG_NEEDED: c_long = BPF_FIB_LKUP_RET_FRAG_NEEDED as c_long;
    const FWD_DISABLED: c_long = BPF_FIB_LKUP_RET_FWD_DISABLED as c_long;
    match result {
        SUCCESS | NO_NEIGH | FRAG_NEEDED => {
            *out = query.ifindex;
            if has_role(query.ifindex, ROLE_WAN) {
                Route::Wan
            } else {
                Route::Elsewhere
            }
        }
        FWD_DISABLED => Route::ForwardingOff,
        _ => Route::None,
    }
}
