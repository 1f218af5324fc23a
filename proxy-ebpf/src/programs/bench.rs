//! Searches in a row, for `cargo xtask bench bypass`; not in the object that ships.
//!
//! One search is over before a test run of the kernel has begun to measure, and the address that
//! a test run repeats is a hot one. So these run through a map of addresses by themselves.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::bpf_loop,
    macros::{classifier, map},
    maps::{Array, LpmTrie, PerCpuArray, lpm_trie::Key},
    programs::TcContext,
};
use proxy_ebpf::{
    abi::MAX_BYPASS,
    bypass::{Query, Walk},
    key::IPV4,
};

use super::bypass::{BYPASS, search};

/// Addresses to search for, a power of 2.
const SAMPLES: u32 = 1 << 20;
/// Searches of a run.
const SEARCHES: u32 = 1000;

#[map(name = "SAMPLES")]
static QUERIES: Array<Query> = Array::with_max_entries(SAMPLES, 0);
#[map]
static TRIE_V4: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(MAX_BYPASS, 0);
#[map]
static TRIE_V6: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(MAX_BYPASS, 0);
#[map]
static SEARCH: PerCpuArray<Walk> = PerCpuArray::with_max_entries(1, 0);

/// What a run is told, in place of a packet.
#[repr(C)]
#[derive(Clone, Copy)]
struct Plan {
    /// The first sample.
    first: u32,
    /// How far on the next one is; 0 repeats the first.
    step: u32,
}

struct Run {
    plan: Plan,
    walk: *mut Walk,
    found: u32,
}

/// The loop alone.
#[classifier]
pub(super) fn bench_nothing(ctx: TcContext) -> i32 {
    run(&ctx, nothing)
}

/// The bypass table.
#[classifier]
pub(super) fn bench_table(ctx: TcContext) -> i32 {
    run(&ctx, table)
}

/// The kernel's longest prefix match tries, one for each family.
#[classifier]
pub(super) fn bench_trie(ctx: TcContext) -> i32 {
    run(&ctx, trie)
}

#[inline(always)]
fn run(ctx: &TcContext, each: extern "C" fn(u64, *mut Run) -> u64) -> i32 {
    let (Ok(plan), Some(walk)) = (ctx.load::<Plan>(0), SEARCH.get_ptr_mut(0)) else {
        return -1;
    };
    let mut run = Run {
        plan,
        walk,
        found: 0,
    };
    unsafe {
        bpf_loop(
            SEARCHES,
            each as *mut c_void,
            (&raw mut run).cast::<c_void>(),
            0,
        )
    };
    run.found.cast_signed()
}

extern "C" fn nothing(number: u64, run: *mut Run) -> u64 {
    let run = unsafe { &mut *run };
    if let Some(query) = sample(run, number) {
        run.found += (query.destination.0 & 1) as u32;
    }
    0
}

extern "C" fn table(number: u64, run: *mut Run) -> u64 {
    let run = unsafe { &mut *run };
    if let (Some(query), Some(table)) = (sample(run, number), BYPASS.get(0)) {
        run.found += u32::from(search(table, query, run.walk).record != 0);
    }
    0
}

extern "C" fn trie(number: u64, run: *mut Run) -> u64 {
    let run = unsafe { &mut *run };
    if let Some(query) = sample(run, number) {
        let high = query.destination.0.to_be_bytes();
        let found = if query.family == IPV4 {
            let address = [high[0], high[1], high[2], high[3]];
            TRIE_V4.get(&Key::new(32, address)).is_some()
        } else {
            let mut address = [0; 16];
            address[..8].copy_from_slice(&high);
            address[8..].copy_from_slice(&query.destination.1.to_be_bytes());
            TRIE_V6.get(&Key::new(128, address)).is_some()
        };
        run.found += u32::from(found);
    }
    0
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "below SEARCHES")]
fn sample(run: &Run, number: u64) -> Option<&'static Query> {
    let at = run
        .plan
        .first
        .wrapping_add(run.plan.step.wrapping_mul(number as u32));
    QUERIES.get(at % SAMPLES)
}
