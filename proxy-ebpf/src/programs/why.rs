//! `weir_why`: the decision about a frame, for whoever asks. It is attached nowhere and run by
//! `BPF_PROG_TEST_RUN`; it counts nothing, and remembers nothing but for its own working memory.

use aya_ebpf::{
    bindings::tcx_action_base::TCX_NEXT,
    helpers::bpf_ktime_get_ns,
    macros::{classifier, map},
    maps::PerCpuArray,
    programs::TcContext,
};
use proxy_ebpf::{
    key::{Address, Flow},
    packet::{self, ETHERNET_LEN, Kind, Segment},
    settings::{ROLE_LAN, Settings},
    trail::Trail,
    verdict::{self, Bypass, Facts, Listener, Reason, Route},
};

use super::{
    bypass,
    facts::{has_role, route_by, valve},
    maps::{self, HEARTBEATS, OWN_ADDRESSES, SETTINGS},
    socket::{self, Found},
    steer::Skb,
};

/// Working memory.
#[repr(C)]
struct Work {
    segment: Segment,
    reversed: Flow,
    trail: Trail,
}

#[map]
static WHY: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

/// Answers with a [`Trail`] at the beginning of the frame, which has room for it. `cb[0]` is the
/// bridge whose port the interface is; the destination is taken to be behind a WAN then.
#[classifier]
pub(super) fn weir_why(ctx: TcContext) -> i32 {
    let (Some(settings), Some(work)) = (SETTINGS.get(0), WHY.get_ptr_mut(0)) else {
        return TCX_NEXT;
    };
    let Work {
        segment,
        reversed,
        trail,
    } = unsafe { &mut *work };
    *trail = Trail::EMPTY;
    let skb = unsafe { &*ctx.skb.skb };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an EtherType, 16 bits in a u32"
    )]
    let ethertype = skb.protocol as u16;
    let kind = packet::parse(&Skb(&ctx), ethertype, ETHERNET_LEN, segment);
    if kind == Kind::Tcp && segment.opens() {
        *reversed = segment.flow.reversed();
        let asked = Asked {
            ctx: &ctx,
            settings,
            flow: &segment.flow,
            reversed,
            ifindex: skb.ifindex,
            bridge: skb.cb[0],
            trail: &raw mut *trail,
        };
        let reason = verdict::decide(settings, &segment.flow, &asked);
        trail.watched = u32::from(settings.watches(segment.flow.dport));
        trail.reason = reason as u32;
    }
    let _ = ctx.store(0, trail, 0);
    TCX_NEXT
}

struct Asked<'a> {
    ctx: &'a TcContext,
    settings: &'a Settings,
    flow: &'a Flow,
    reversed: &'a Flow,
    ifindex: u32,
    /// 0: none.
    bridge: u32,
    /// Facts are noted by who only looks.
    trail: *mut Trail,
}

impl Facts for Asked<'_> {
    #[inline(always)]
    fn arrived_on_lan(&self) -> bool {
        let is = has_role(self.ifindex, ROLE_LAN);
        unsafe { (*self.trail).lan = u32::from(is) };
        is
    }

    #[inline(always)]
    fn is_own(&self, family: u32, address: &Address) -> bool {
        let is = maps::contains(&OWN_ADDRESSES, family, address);
        unsafe { (*self.trail).own = u32::from(is) };
        is
    }

    #[inline(always)]
    fn is_our_syn(&self) -> bool {
        let is = socket::find(self.ctx, self.reversed) == Found::Connecting
            && !socket::find(self.ctx, self.flow).is_connection();
        unsafe { (*self.trail).our_syn = u32::from(is) };
        is
    }

    #[inline(always)]
    fn route(&self, flow: &Flow) -> Route {
        let (route, out) = if self.bridge == 0 {
            let mut out = 0;
            (route_by(self.ctx, flow, self.ifindex, &mut out), out)
        } else {
            (Route::Wan, 0)
        };
        unsafe {
            (*self.trail).route = route as u32;
            (*self.trail).out = out;
        }
        route
    }

    #[inline(always)]
    fn bypass(&self, flow: &Flow) -> Bypass {
        let (bypass, record) = bypass::ask(flow, self.ifindex);
        unsafe { (*self.trail).record = record };
        bypass
    }

    #[inline(always)]
    fn valve(&self, flow: &Flow) -> Option<Reason> {
        let entrance = if self.bridge == 0 {
            self.ifindex
        } else {
            self.bridge
        };
        let open = valve(self.settings, entrance, flow);
        unsafe { (*self.trail).valve = open.map_or(0, |reason| reason as u32 + 1) };
        open
    }

    /// Most are not.
    #[inline(always)]
    fn is_probe(&self, _: u32) -> bool {
        false
    }

    #[inline(always)]
    fn listener(&self, flow: &Flow) -> Listener {
        let worker = flow.worker(self.settings.workers);
        let beat = HEARTBEATS.get(worker).copied().unwrap_or(0);
        let silent = unsafe { bpf_ktime_get_ns() }.saturating_sub(beat);
        let (listener, word) = if !socket::has_listener(flow.slot(self.settings.workers)) {
            (Listener::None, 0)
        } else if silent > self.settings.heartbeat_stale_ns {
            (Listener::Stale, 2)
        } else {
            (Listener::Alive, 1)
        };
        unsafe {
            (*self.trail).worker = worker;
            (*self.trail).listener = word;
            (*self.trail).silent_ms = u32::try_from(silent / 1_000_000).unwrap_or(u32::MAX);
        }
        listener
    }
}
