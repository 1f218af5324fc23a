//! `weir_bridge`: TC ingress of ports of a bridge.
//!
//! The verdict is [`steer`](super::steer)'s. What differs: frames are for anybody, with or without
//! a VLAN tag; what is ours needs the bridge's own address as its destination, or the bridge would
//! not pass it up; and the way back is learned from the client's frames, for `weir_leave`.

use aya_ebpf::{
    EbpfContext as _,
    bindings::tcx_action_base::TCX_NEXT,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_skb_load_bytes, bpf_skb_store_bytes, bpf_skb_vlan_pop},
    },
    macros::{classifier, map},
    maps::{HashMap, LruHashMap, PerCpuArray},
    programs::TcContext,
};
use proxy_ebpf::{
    abi::MAX_STATIONS,
    bridge::{KEEP, Mac, Pair, Path, tag},
    counter::Event,
    key::Flow,
    packet::ETHERNET_LEN,
    settings::ROLE_LAN,
};

use super::{
    maps::{self, count},
    steer::steer,
};

/// Capacity of [`PATHS`] in the object; the daemon sets its own.
const PATHS_LEN: u32 = 1 << 16;

#[map]
pub(super) static PATHS: LruHashMap<Pair, Path> = LruHashMap::with_max_entries(PATHS_LEN, 0);
#[map]
static STATIONS: HashMap<Mac, u32> = HashMap::with_max_entries(MAX_STATIONS, 1);
#[map]
static PORT: PerCpuArray<Port> = PerCpuArray::with_max_entries(1, 0);

/// 802.1Q and 802.1ad, as `skb->protocol` and `skb->vlan_proto` have them.
const VLAN_PROTOCOLS: [u32; 2] = [0x8100u16.to_be() as u32, 0x88a8u16.to_be() as u32];
/// How often a path that does not change is written again, in nanoseconds.
const REFRESH: u64 = 1_000_000_000;

/// A frame that came in by a port.
#[repr(C)]
pub(super) struct Port {
    /// How the way between the two ends looks to this frame.
    path: Path,
    pair: Pair,
    /// Index of the bridge.
    bridge: u32,
    /// Not 0 if clients are behind the port.
    lan: u32,
    mac: Mac,
    /// The frame's destination and source.
    ends: [Mac; 2],
}

#[classifier]
pub(super) fn weir_bridge(ctx: TcContext) -> i32 {
    if let Some(port) = PORT.get_ptr_mut(0) {
        let port = unsafe { &mut *port };
        if arrived(&ctx, port) {
            return steer(&ctx, ETHERNET_LEN, Some(port));
        }
    }
    TCX_NEXT
}

/// Whether the frame could be ours; then `port` has what of it is known so far.
#[inline(always)]
fn arrived(ctx: &TcContext, port: &mut Port) -> bool {
    let skb = unsafe { &*ctx.skb.skb };
    let Some(interface) = maps::interface(skb.ifindex) else {
        return false;
    };
    let to = port.ends.as_mut_ptr().cast();
    if unsafe { bpf_skb_load_bytes(ctx.as_ptr().cast(), 0, to, 12) } != 0 {
        return false;
    }
    let [destination, source] = &port.ends;
    // For a group, or for the bridge itself, which then is its router.
    if destination[0] & 1 != 0 || same(destination, &interface.mac) {
        return false;
    }
    let tagged = skb.vlan_present != 0;
    if VLAN_PROTOCOLS.contains(&skb.protocol) || tagged && skb.vlan_proto != VLAN_PROTOCOLS[0] {
        count(Event::DoubleTagged);
        return false;
    }
    port.path = Path {
        seen: 0,
        client: *source,
        next_hop: *destination,
        tag: tag(tagged, skb.vlan_tci),
    };
    port.bridge = interface.bridge;
    port.lan = interface.role & ROLE_LAN;
    port.mac = interface.mac;
    true
}

impl Port {
    /// Index of the bridge.
    #[inline(always)]
    pub(super) fn bridge(&self) -> u32 {
        self.bridge
    }

    /// The VLAN tag that the frame came with.
    #[inline(always)]
    pub(super) fn tag(&self) -> u32 {
        self.path.tag
    }

    /// Whose frame it is. To be called before what follows.
    #[inline(always)]
    pub(super) fn of(&mut self, flow: &Flow) {
        self.pair = Pair::of(flow, self.lan != 0);
    }

    /// Whether the frame's destination is behind a WAN, as the bridge knows it.
    #[inline(always)]
    pub(super) fn leads_to_wan(&self) -> bool {
        STATIONS.get_ptr(&self.ends[0]).is_some()
    }

    /// Whether the same client and origin are in use in another VLAN.
    #[inline(never)]
    pub(super) fn is_apart(&self) -> bool {
        let Some(known) = (unsafe { PATHS.get(&self.pair) }) else {
            return false;
        };
        let now = unsafe { bpf_ktime_get_ns() };
        known.is_apart(self.path.tag) && now.saturating_sub(known.seen) < KEEP
    }

    /// Remembers the way back, if this is from the client.
    #[inline(never)]
    pub(super) fn learn(&mut self) {
        if self.lan == 0 {
            return;
        }
        let now = unsafe { bpf_ktime_get_ns() };
        if let Some(known) = unsafe { PATHS.get(&self.pair) }
            && now.saturating_sub(known.seen) < REFRESH
            && known.tag == self.path.tag
            && same(&known.client, &self.path.client)
            && same(&known.next_hop, &self.path.next_hop)
        {
            return;
        }
        self.path.seen = now;
        let _ = PATHS.insert(&self.pair, &self.path, 0);
    }

    /// Makes the bridge pass the frame up.
    #[inline(always)]
    pub(super) fn take_up(&self, ctx: &TcContext) {
        unsafe {
            bpf_skb_store_bytes(ctx.as_ptr().cast(), 0, self.mac.as_ptr().cast(), 6, 0);
        }
        if self.path.is_tagged() {
            unsafe { bpf_skb_vlan_pop(ctx.skb.skb) };
        }
    }
}

/// Not `==`, which would be a call.
#[inline(always)]
fn same(one: &Mac, other: &Mac) -> bool {
    let mut difference = 0;
    let mut i = 0;
    while i < 6 {
        difference |= one[i] ^ other[i];
        i += 1;
    }
    difference == 0
}
