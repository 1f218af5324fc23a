//! `weir_listen`: the `sk_lookup` program of the namespace.
//!
//! It gives connections from our LANs to watched ports of addresses that are not this host's to
//! the listener of the worker that the four-tuple names. It runs for every packet without a
//! connection of its own, marked or not, so it leaves everything else alone.

use aya_ebpf::{macros::sk_lookup, programs::SkLookupContext};
use proxy_ebpf::{
    counter::Event,
    key::{Flow, IPV4, IPV6},
    settings::ROLE_LAN,
};

use super::maps::{self, LISTENERS, LOOKING, OWN_ADDRESSES, SETTINGS, count};

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
    let Some(settings) = SETTINGS.get(0) else { return };
    // The local port alone is in host order.
    #[expect(clippy::cast_possible_truncation, reason = "a port, 16 bits in a u32")]
    let local_port = (lookup.local_port as u16).to_be();
    if lookup.protocol != IPPROTO_TCP || !settings.watches(local_port) {
        return;
    }
    let Some(interface) = maps::interface(lookup.ingress_ifindex) else { return };
    if interface.role & ROLE_LAN == 0 {
        return;
    }
    let flow = if lookup.family == AF_INET {
        Flow {
            family: IPV4,
            saddr: [lookup.remote_ip4, 0, 0, 0],
            daddr: [lookup.local_ip4, 0, 0, 0],
            sport: lookup.remote_port,
            dport: local_port,
        }
    } else {
        let (remote, local) = (&lookup.remote_ip6, &lookup.local_ip6);
        Flow {
            family: IPV6,
            saddr: [remote[0], remote[1], remote[2], remote[3]],
            daddr: [local[0], local[1], local[2], local[3]],
            sport: lookup.remote_port,
            dport: local_port,
        }
    };
    if maps::contains(&OWN_ADDRESSES, flow.family, &flow.daddr) {
        return;
    }
    let assigned = LISTENERS.redirect_sk_lookup(ctx, flow.slot(settings.workers), 0).is_ok();
    let looking = LOOKING.get(0).copied().unwrap_or(0) != 0;
    if assigned && !looking {
        count(Event::SynDelivered);
    }
}
