//! What is known of the translation (NAT) of our connections to origins.
//!
//! Where the router translates source addresses, an answer comes in with the translated address
//! as its destination, and is translated back only behind TC. So what leaves is compared with the
//! socket that it leaves, see [`record`](super::record), and what comes in is looked up here.

use aya_ebpf::programs::TcContext;
use proxy_ebpf::key::Flow;

use super::{
    maps::{TRANSLATING, TRANSLATIONS},
    socket::{self, Found},
};

/// Whether packets of `flow`, as they come in, are answers to a socket of ours once they are
/// translated back. Forgets what has no socket any more.
#[inline(always)]
pub(super) fn has_socket(ctx: &TcContext, flow: &Flow) -> bool {
    is_any() && look_up(ctx, flow)
}

/// Whether anything has ever been translated here.
#[inline(always)]
pub(super) fn is_any() -> bool {
    TRANSLATING.get(0).is_some_and(|any| *any != 0)
}

#[inline(never)]
fn look_up(ctx: &TcContext, flow: &Flow) -> bool {
    let Some(answer) = (unsafe { TRANSLATIONS.get(flow) }) else {
        return false;
    };
    if !is_gone(socket::find(ctx, answer)) {
        return true;
    }
    let _ = TRANSLATIONS.remove(flow);
    false
}

/// Whether a connection of which this was found is over.
#[inline(always)]
pub(super) fn is_gone(found: Found) -> bool {
    !found.is_connection()
}
