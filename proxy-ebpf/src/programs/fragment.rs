//! Datagrams in fragments: what is done with the first is done with the others.
//!
//! Nothing here runs for packets that are whole.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use proxy_ebpf::{counter::Event, fragment::Trace, packet::Segment};

use super::maps::{FRAGMENTS, count};

/// Remembers what has been done with a first fragment.
///
/// Also of flows that are none of ours: the same identification may have been that of a datagram of
/// ours a moment ago.
#[inline(never)]
pub(super) fn first(segment: &Segment, steered: bool) {
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

/// Whether a fragment without ports is of a datagram that was steered; counts it.
#[inline(never)]
pub(super) fn is_steered(segment: &Segment) -> bool {
    let datagram = segment.datagram();
    let now = unsafe { bpf_ktime_get_ns() };
    let known = unsafe { FRAGMENTS.get(&datagram) }.filter(|before| before.is_fresh(now));
    let steered = known.is_some_and(|before| before.steered());
    if steered {
        count(Event::FragmentSteered);
    } else {
        count(Event::LaterFragment);
        if known.is_none() {
            let _ = FRAGMENTS.insert(&datagram, Trace::new(now, false), 0);
        }
    }
    steered
}
