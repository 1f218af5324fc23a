//! `weir_leave`: TC egress of a bridge.
//!
//! What our sockets send through the bridge has [`NEXT_HOP`] as its destination. Here it gets the
//! addresses and the tag that frames between client and origin have, so that neither side's
//! switches and neighbour caches see us. It runs before the bridge decides about the port.

use aya_ebpf::{
    EbpfContext as _,
    bindings::tcx_action_base::{TCX_DROP, TCX_NEXT},
    helpers::generated::{bpf_skb_store_bytes, bpf_skb_vlan_push},
    macros::{classifier, map},
    maps::PerCpuArray,
    programs::TcContext,
};
use proxy_ebpf::{
    bridge::{Mac, NEXT_HOP, Pair},
    counter::Event,
    packet::{self, ETHERNET_LEN, Kind, Segment},
};

use super::{
    bridge::PATHS,
    maps::{SETTINGS, count},
    steer::Skb,
};

/// 802.1Q.
const VLAN: u16 = 0x8100u16.to_be();

/// Working memory: a program's stack has 512 bytes.
#[repr(C)]
struct Work {
    segment: Segment,
    pair: Pair,
    /// Destination and source.
    addresses: [Mac; 2],
}

#[map(name = "LEAVE")]
static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

#[classifier]
pub(super) fn weir_leave(ctx: TcContext) -> i32 {
    let Ok(destination) = ctx.load::<[u16; 3]>(0) else {
        return TCX_NEXT;
    };
    if destination != HOP {
        return TCX_NEXT;
    }
    if send_on(&ctx) {
        return TCX_NEXT;
    }
    // A frame for an address that nobody has would be flooded.
    count(Event::NoPath);
    TCX_DROP
}

/// [`NEXT_HOP`], to be compared without a call.
const HOP: [u16; 3] = [
    u16::from_ne_bytes([NEXT_HOP[0], NEXT_HOP[1]]),
    u16::from_ne_bytes([NEXT_HOP[2], NEXT_HOP[3]]),
    u16::from_ne_bytes([NEXT_HOP[4], NEXT_HOP[5]]),
];

#[inline(always)]
fn send_on(ctx: &TcContext) -> bool {
    let (Some(settings), Some(work)) = (SETTINGS.get(0), WORK.get_ptr_mut(0)) else {
        return false;
    };
    let Work {
        segment,
        pair,
        addresses,
    } = unsafe { &mut *work };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an EtherType, 16 bits in a u32"
    )]
    let ethertype = unsafe { (*ctx.skb.skb).protocol } as u16;
    let mut to_origin = match packet::parse(&Skb(ctx), ethertype, ETHERNET_LEN, segment) {
        Kind::Tcp => settings.follows(segment.flow.dport),
        // Without ports either way is possible. Only a path below the minimum MTU makes them.
        Kind::LaterFragment => true,
        _ => return false,
    };
    *pair = Pair::of(&segment.flow, to_origin);
    let mut path = unsafe { PATHS.get(&*pair) };
    if path.is_none() && to_origin {
        // A client with a port that is watched, or a fragment to one.
        to_origin = false;
        *pair = Pair::of(&segment.flow, false);
        path = unsafe { PATHS.get(&*pair) };
    }
    let Some(path) = path else {
        return false;
    };
    *addresses = if to_origin {
        [path.next_hop, path.client]
    } else {
        [path.client, path.next_hop]
    };
    dress(ctx, addresses, path.tci(to_origin))
}

#[inline(always)]
fn dress(ctx: &TcContext, addresses: &[Mac; 2], tci: Option<u16>) -> bool {
    unsafe {
        bpf_skb_store_bytes(ctx.as_ptr().cast(), 0, addresses.as_ptr().cast(), 12, 0) == 0
            && tci.is_none_or(|tci| bpf_skb_vlan_push(ctx.skb.skb, VLAN, tci) == 0)
    }
}
