//! Seeing packets that go round, and breaking the loop.

use aya_ebpf::{
    bindings::tcx_action_base::TCX_DROP,
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, LruHashMap},
};
use proxy_ebpf::{
    abi::{MAX_LOOPING, MAX_SIGHTED},
    counter::Event,
    key::{Address, AddressBits, Flow, IPV4},
    looping::{Looping, MEMORY_NS, Origin, Packet, Sighting, What},
    packet::Load as _,
};

use super::{
    maps::count,
    steer::{Seen, Skb},
};

#[map]
static SIGHTED: LruHashMap<Packet, Sighting> = LruHashMap::with_max_entries(MAX_SIGHTED, 0);
#[map]
static LOOPING: LruHashMap<Origin, Looping> = LruHashMap::with_max_entries(MAX_LOOPING, 0);
/// When a packet came round last, whichever.
#[map]
static LOOPED: Array<u64> = Array::with_max_entries(1, 0);

/// Whether packets of ours to this origin have come round lately.
#[inline(always)]
pub(super) fn is_looping(flow: &Flow) -> bool {
    let Some(last) = LOOPED.get(0).copied() else {
        return false;
    };
    // Nearly always: nothing has ever come round.
    last != 0 && look_up(flow)
}

#[inline(never)]
fn look_up(flow: &Flow) -> bool {
    let now = unsafe { bpf_ktime_get_ns() };
    let origin = AddressBits::new(flow.family, flow.daddr);
    let Some(looping) = (unsafe { LOOPING.get(&origin) }) else {
        return false;
    };
    let seen = looping.seen[What::Ours as usize];
    seen != 0 && now.saturating_sub(seen) < MEMORY_NS
}

impl Seen<'_> {
    /// Drops the packet if it came round. A copy of it that its sender sends once more is another
    /// one, and goes on.
    #[inline(always)]
    pub(super) fn break_loop(&mut self, origin: &Address, what: What) {
        if came_round(self) {
            note(self, origin, what);
            count(Event::LoopBroken);
            self.action = TCX_DROP;
        }
    }
}

/// Whether this packet has been here before. Remembers that it has been now.
#[inline(never)]
fn came_round(seen: &Seen<'_>) -> bool {
    let frame = Skb(seen.ctx);
    // RFC 791 §3.1, RFC 8200 §3.
    let at = if seen.segment.flow.family == IPV4 {
        8
    } else {
        7
    };
    let (Some([hops]), Some(sequence)) = (
        frame.load::<1>(seen.network + at),
        frame.load::<4>(seen.segment.offset + 4),
    ) else {
        return false;
    };
    let now = Sighting {
        sequence: u32::from_ne_bytes(sequence),
        hops: u32::from(hops),
    };
    let packet = Packet {
        flow: seen.segment.flow,
        ifindex: seen.ifindex(),
    };
    if let Some(earlier) = unsafe { SIGHTED.get(&packet) }
        && now.came_round(earlier)
    {
        return true;
    }
    let _ = SIGHTED.insert(&packet, &now, 0);
    false
}

#[inline(never)]
fn note(seen: &Seen<'_>, origin: &Address, what: What) {
    let now = unsafe { bpf_ktime_get_ns() };
    let key = AddressBits::new(seen.segment.flow.family, *origin);
    let mut looping = unsafe { LOOPING.get(&key) }.copied().unwrap_or(Looping {
        seen: [0; 3],
        ifindex: 0,
        reserved: 0,
    });
    looping.ifindex = seen.ifindex();
    match what {
        What::Ours => looping.seen[0] = now,
        What::Direct => looping.seen[1] = now,
        What::Answer => looping.seen[2] = now,
    }
    if LOOPING.insert(&key, &looping, 0).is_ok()
        && let Some(last) = LOOPED.get_ptr_mut(0)
    {
        unsafe { *last = now };
    }
}
