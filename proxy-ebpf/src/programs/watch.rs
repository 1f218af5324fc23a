//! Telling those who watch of a decision.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_prandom_u32, bpf_ktime_get_ns},
    macros::map,
    maps::{Array, PerCpuArray, RingBuf},
};
use proxy_ebpf::{
    abi::{DECISIONS_LEN, MAX_WATCHES},
    key::Flow,
    watch::{Decision, SPAN, Watch, Watched},
};

#[map]
static WATCHES: Array<Watch> = Array::with_max_entries(MAX_WATCHES, 0);
#[map]
static WATCHED: PerCpuArray<Watched> = PerCpuArray::with_max_entries(MAX_WATCHES, 0);
#[map]
static DECISIONS: RingBuf = RingBuf::with_byte_size(DECISIONS_LEN, 0);

/// What has become of a SYN.
pub(super) struct Fate {
    pub(super) ifindex: u32,
    pub(super) reason: u32,
    pub(super) outcome: u32,
    pub(super) tag: u32,
}

/// Tells everybody who wants it. To be called if [`Settings::watch`] says that there is somebody.
///
/// [`Settings::watch`]: proxy_ebpf::settings::Settings::watch
#[inline(never)]
pub(super) fn tell(flow: &Flow, fate: &Fate) {
    let now = unsafe { bpf_ktime_get_ns() };
    let mut place = 0;
    while place < MAX_WATCHES {
        if let (Some(watch), Some(watched)) = (WATCHES.get(place), WATCHED.get_ptr_mut(place))
            && now < watch.until
            && watch.wants(flow, fate.ifindex, fate.reason)
        {
            tell_one(flow, fate, now, place, watch, unsafe { &mut *watched });
        }
        place += 1;
    }
}

/// A program may be interrupted by another on the same CPU, which tells of something as well: what
/// is left out is counted atomically, and the rate may be exceeded by one.
#[inline(always)]
fn tell_one(flow: &Flow, fate: &Fate, now: u64, place: u32, watch: &Watch, watched: &mut Watched) {
    if watch.sample > 1 && unsafe { bpf_get_prandom_u32() } % watch.sample != 0 {
        return add(&mut watched.sampled);
    }
    let span = now / SPAN;
    if watched.span != span {
        watched.span = span;
        watched.told = 0;
    }
    if watched.told >= watch.rate as u64 {
        return add(&mut watched.limited);
    }
    watched.told += 1;
    let Some(mut entry) = DECISIONS.reserve::<Decision>(0) else {
        return add(&mut watched.lost);
    };
    entry.write(Decision {
        time: now,
        flow: *flow,
        watch: place,
        ifindex: fate.ifindex,
        reason: fate.reason,
        outcome: fate.outcome,
        tag: fate.tag,
        reserved: 0,
    });
    // Not waked up for: the daemon looks from time to time.
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

#[inline(always)]
fn add(count: &mut u64) {
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1) };
}
