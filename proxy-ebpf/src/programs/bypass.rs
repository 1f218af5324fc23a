//! The bypass table, as the programs read it.

use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xadd},
};

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps},
    helpers::generated::{bpf_ktime_get_boot_ns, bpf_loop},
    macros::{btf_map, classifier, map},
    maps::PerCpuArray,
    programs::TcContext,
};
use proxy_ebpf::{
    abi::BYPASS_FLAGS,
    bypass::{
        self, Hit, Lines, Query, STEPS, Step, Walk,
        bits::Bits,
        layout::{self, VARIABLE, WORDS, header},
    },
    key::Flow,
    verdict::Bypass,
};

use super::maps;

/// The smallest table, and what all are shaped like.
pub(super) type Table = Array<[u64; WORDS], { VARIABLE as usize }, { BYPASS_FLAGS as usize }>;

#[btf_map]
pub(super) static BYPASS: ArrayOfMaps<Table, 1> = ArrayOfMaps::new();

#[map]
static WALK: PerCpuArray<Walk> = PerCpuArray::with_max_entries(1, 0);
#[map]
static TRIAL: PerCpuArray<Walk> = PerCpuArray::with_max_entries(1, 0);

/// What the lists say of a flow that came in on `ifindex`; counts the hit.
#[inline(never)]
pub(super) fn decide(flow: &Flow, ifindex: u32) -> Bypass {
    let Some(walk) = WALK.get_ptr_mut(0) else {
        return Bypass::No;
    };
    let lan = maps::interface(ifindex).map_or(0, |lan| lan.lan);
    decide_for(flow, lan, walk)
}

/// The same for a LAN by its number; 0 is none. `walk` is working memory.
#[inline(always)]
pub(super) fn decide_for(flow: &Flow, lan: u32, walk: *mut Walk) -> Bypass {
    let Some(table) = BYPASS.get(0) else {
        return Bypass::No;
    };
    let hit = search(table, &query(flow, lan), walk);
    if hit.record != 0 {
        count_hit(table, hit);
    }
    meaning(hit)
}

/// What the lists say of a flow that came in on `ifindex`, and the record that says so; counts
/// nothing.
#[inline(never)]
pub(super) fn ask(flow: &Flow, ifindex: u32) -> (Bypass, u32) {
    let (Some(table), Some(walk)) = (BYPASS.get(0), TRIAL.get_ptr_mut(0)) else {
        return (Bypass::No, 0);
    };
    let lan = maps::interface(ifindex).map_or(0, |lan| lan.lan);
    let hit = search(table, &query(flow, lan), walk);
    (meaning(hit), hit.record)
}

#[inline(always)]
fn query(flow: &Flow, lan: u32) -> Query {
    Query {
        family: flow.family,
        lan,
        port: u32::from(u16::from_be(flow.dport)),
        reserved: 0,
        destination: Bits::new(flow.family, &flow.daddr),
        source: Bits::new(flow.family, &flow.saddr),
    }
}

#[inline(always)]
fn meaning(hit: Hit) -> Bypass {
    if hit.record == 0 || hit.intercept != 0 {
        Bypass::No
    } else if hit.by_source != 0 {
        Bypass::Source
    } else {
        Bypass::Destination
    }
}

/// Runs the search alone, for whoever asks what the loaded table would do. Counts nothing.
#[classifier]
pub(super) fn weir_match(ctx: TcContext) -> i32 {
    let Ok(query) = ctx.load::<Query>(0) else {
        return 0;
    };
    let (Some(table), Some(walk)) = (BYPASS.get(0), TRIAL.get_ptr_mut(0)) else {
        return 0;
    };
    search(table, &query, walk).record.cast_signed()
}

/// What a step of a search is given.
struct Search<'a> {
    table: &'a Table,
    walk: *mut Walk,
}

#[inline(always)]
pub(super) fn search(table: &Table, query: &Query, walk: *mut Walk) -> Hit {
    let mut search = Search { table, walk };
    if bypass::begin(&Lined(table), query, unsafe { &mut *walk }).is_some() {
        let callback: extern "C" fn(u64, *mut Search<'_>) -> u64 = step;
        unsafe {
            bpf_loop(
                STEPS,
                callback as *mut c_void,
                (&raw mut search).cast::<c_void>(),
                0,
            )
        };
    }
    unsafe { (*walk).hit }
}

/// 1 ends the loop.
extern "C" fn step(_: u64, search: *mut Search<'_>) -> u64 {
    let Search { table, walk } = unsafe { &*search };
    u64::from(bypass::step(&Lined(table), unsafe { &mut **walk }) == Step::Done)
}

#[inline(always)]
fn count_hit(table: &Table, hit: Hit) {
    let Some(head) = table.get_ptr(0) else {
        return;
    };
    let (_, counters) =
        layout::halves(unsafe { (&raw const (*head)[header::RECORDS]).read_volatile() });
    let (line, word) = layout::counter(hit.record);
    let Some(line) = table.get_ptr_mut(counters + line) else {
        return;
    };
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let pair = unsafe { line.cast::<u64>().add(word & 6) };
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(pair, 1) };
    unsafe { pair.add(1).write_volatile(now) };
}

/// A table as the search wants it.
struct Lined<'a>(&'a Table);

/// A line of one.
struct Line(*const [u64; WORDS]);

impl Lines for Lined<'_> {
    type Line = Line;

    #[inline(always)]
    fn line(&self, index: u32) -> Option<Line> {
        self.0.get_ptr(index).map(Line)
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        unsafe { bpf_ktime_get_boot_ns() }
    }
}

impl bypass::Line for Line {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        // Volatile, as the daemon writes to the same memory.
        unsafe { self.0.cast::<u64>().add(index).read_volatile() }
    }
}
