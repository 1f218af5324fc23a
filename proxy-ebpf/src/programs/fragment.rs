//! Datagrams in fragments: what is done with the first is done with the others.
//!
//! Nothing here runs for packets that are whole.

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::TcContext};
use proxy_ebpf::{counter::Event, fragment::Trace, packet::Segment, settings::Settings};

use super::maps::{FRAGMENTS, count};

/// Remembers what has been done with a first fragment.
///
/// Also of flows that are none of ours: the same identification may have been that of a datagram of
/// ours a moment ago.
#[inline(never)]
pub(super) fn first(ctx: &TcContext, settings: &Settings, segment: &Segment) {
    let steered = mark(ctx) & settings.steer_mark != 0;
    let datagram = segment.datagram();
    let now = unsafe { bpf_ktime_get_ns() };
    if steered
        && let Some(before) = unsafe { FRAGMENTS.get(&datagram) }
        && before.is_fresh(now)
        && !before.steered()
    {
        count(Event::FragmentOvertaken);
    }
    let _ = FRAGMENTS.insert(&datagram, Trace::new(now, steered), 0);
}

/// Marks a fragment without ports if it is of a datagram of ours.
#[inline(never)]
pub(super) fn later(ctx: &TcContext, settings: &Settings, segment: &Segment) {
    let datagram = segment.datagram();
    let now = unsafe { bpf_ktime_get_ns() };
    let known = unsafe { FRAGMENTS.get(&datagram) }.filter(|before| before.is_fresh(now));
    match known {
        Some(before) if before.steered() => {
            count(Event::FragmentSteered);
            ctx.set_mark(mark(ctx) | settings.steer_mark);
        }
        Some(_) => count(Event::LaterFragment),
        None => {
            count(Event::LaterFragment);
            let _ = FRAGMENTS.insert(&datagram, Trace::new(now, false), 0);
        }
    }
}

#[inline(always)]
fn mark(ctx: &TcContext) -> u32 {
    unsafe { (*ctx.skb.skb).mark }
}
