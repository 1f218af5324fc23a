//! `weir_listen`: the `sk_lookup` program of the namespace.
//!
//! It gives connections from our LANs, and those of this host itself that `weir_output` has marked,
//! to watched ports of addresses that are not this host's to the listener of the worker that the
//! four-tuple names. It runs for every packet without a
//! connection of its own, marked or not, so it leaves everything else alone.

use core::ptr;

use aya_ebpf::{macros::sk_lookup, programs::SkLookupContext};
use proxy_ebpf::{
    counter::Delivery,
    key::{Flow, IPV4, IPV6},
    settings::{ROLE_BRIDGE, ROLE_LAN, ROLE_OUTPUT},
};

use super::{
    context::words,
    maps::{self, LISTENERS, LOOKING, OWN_ADDRESSES, SETTINGS},
};

/// `SK_PASS`: the lookup goes on with the socket that was assigned, or as if we were not there.
const SK_PASS: u32 = 1;
const AF_INET: u32 = 2;
const IPPROTO_TCP: u32 = 6;

#[sk_lookup]
pub(super) fn weir_listen(ctx: SkLookupContext) -> u32 {
    listen(&ctx);
    SK_PASS
}

#[inline(always)]
fn listen(ctx: &SkLookupContext) {
    let lookup = unsafe { &*ctx.lookup };
    let Some(settings) = SETTINGS.get(0) else {
        return;
    };
    // The local port alone is in host order.
    #[expect(clippy::cast_possible_truncation, reason = "a port, 16 bits in a u32")]
    let local_port = (lookup.local_port as u16).to_be();
    if lookup.protocol != IPPROTO_TCP || !settings.follows(local_port) {
        return;
    }
    let Some(interface) = maps::interface(lookup.ingress_ifindex) else {
        return;
    };
    if interface.role & (ROLE_LAN | ROLE_BRIDGE | ROLE_OUTPUT) == 0 {
        return;
    }
    let flow = flow(ctx, local_port);
    if maps::contains(&OWN_ADDRESSES, flow.family, &flow.daddr) {
        return;
    }
    let assigned = LISTENERS
        .redirect_sk_lookup(ctx, flow.slot(settings.workers), 0)
        .is_ok();
    let looking = LOOKING.get(0).copied().unwrap_or(0) != 0;
    if assigned && !looking {
        maps::count_delivery(interface.slot, flow.family, Delivery::Delivered);
    }
}

/// The flow, client to origin.
///
/// Every field is read before any is chosen, and volatile: left to itself LLVM loads from a
/// chosen address within the context, which the verifier refuses. The fields of the other family
/// read as 0.
#[inline(always)]
fn flow(ctx: &SkLookupContext, local_port: u16) -> Flow {
    let lookup = ctx.lookup;
    let (family, sport, remote4, local4, remote6, local6) = unsafe {
        (
            ptr::read_volatile(&raw const (*lookup).family),
            ptr::read_volatile(&raw const (*lookup).remote_port),
            ptr::read_volatile(&raw const (*lookup).remote_ip4),
            ptr::read_volatile(&raw const (*lookup).local_ip4),
            words(&raw const (*lookup).remote_ip6),
            words(&raw const (*lookup).local_ip6),
        )
    };
    let v4 = family == AF_INET;
    Flow {
        family: if v4 { IPV4 } else { IPV6 },
        saddr: if v4 { [remote4, 0, 0, 0] } else { remote6 },
        daddr: if v4 { [local4, 0, 0, 0] } else { local6 },
        sport,
        dport: local_port,
    }
}
