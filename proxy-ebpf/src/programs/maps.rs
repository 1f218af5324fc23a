//! The maps. Names, capacities and meanings: [`proxy_ebpf::abi`].

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SockMap, lpm_trie::Key},
};
use proxy_ebpf::{
    abi::{
        MAX_DIRECT_FLOWS, MAX_FRAGMENTS, MAX_INTERFACES, MAX_OWN_ADDRESSES, MAX_SHADOWED,
        MAX_WORKERS, WENT_AROUND_LEN,
    },
    counter::{self, DELIVERIES as DELIVERY_SLOTS, Delivery, Event},
    fragment::{Datagram, Trace},
    key::{Address, AddressBits, Flow},
    packet::Segment,
    settings::{Interface, Settings},
    verdict::Reason,
};

#[map]
pub(super) static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
#[map]
pub(super) static INTERFACES: HashMap<u32, Interface> =
    HashMap::with_max_entries(MAX_INTERFACES, 0);
#[map]
pub(super) static OWN_ADDRESSES: LpmTrie<AddressBits, u32> =
    LpmTrie::with_max_entries(MAX_OWN_ADDRESSES, 0);
#[map]
pub(super) static LISTENERS: SockMap = SockMap::with_max_entries(2 * MAX_WORKERS, 0);
#[map]
pub(super) static HEARTBEATS: Array<u64> = Array::with_max_entries(MAX_WORKERS, 0);
#[map]
pub(super) static FLOWS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT, 0);
#[map]
pub(super) static EVENTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Event::COUNT, 0);
#[map]
pub(super) static DELIVERIES: PerCpuArray<u64> = PerCpuArray::with_max_entries(DELIVERY_SLOTS, 0);
#[map]
pub(super) static DIRECT_FLOWS: LruHashMap<Flow, u32> =
    LruHashMap::with_max_entries(MAX_DIRECT_FLOWS, 0);
#[map]
pub(super) static LOOKING: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub(super) static WENT_AROUND: RingBuf = RingBuf::with_byte_size(WENT_AROUND_LEN, 0);

/// Capacity of [`TRANSLATIONS`] in the object; the daemon sets its own.
const TRANSLATIONS_LEN: u32 = 1 << 16;
/// `BPF_F_NO_PREALLOC`: most routers' need none.
const NO_PREALLOC: u32 = 1;

#[map]
pub(super) static TRANSLATIONS: HashMap<Flow, Flow> =
    HashMap::with_max_entries(TRANSLATIONS_LEN, NO_PREALLOC);
#[map]
pub(super) static TRANSLATING: Array<u32> = Array::with_max_entries(1, 0);
#[map]
pub(super) static FRAGMENTS: LruHashMap<Datagram, Trace> =
    LruHashMap::with_max_entries(MAX_FRAGMENTS, 0);

#[map]
static SHADOW_CLIENTS: LruHashMap<AddressBits, u64> = LruHashMap::with_max_entries(MAX_SHADOWED, 0);
#[map]
static SHADOW_ORIGINS: LruHashMap<AddressBits, u64> = LruHashMap::with_max_entries(MAX_SHADOWED, 0);

/// Working memory of `weir_steer`: its stack has 512 bytes.
#[repr(C)]
pub(super) struct Scratch {
    /// What the packet is.
    pub(super) segment: Segment,
    /// Its flow, reversed.
    pub(super) reversed: Flow,
}

#[map]
pub(super) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// The interface with this index.
///
/// A reference: the compiler copies parts of an absent one as well, which the verifier refuses.
#[inline(always)]
pub(super) fn interface(index: u32) -> Option<&'static Interface> {
    unsafe { INTERFACES.get(index) }
}

/// Whether `trie` has a prefix of `address`.
#[inline(always)]
pub(super) fn contains(trie: &LpmTrie<AddressBits, u32>, family: u32, address: &Address) -> bool {
    let key = Key::new(
        AddressBits::full_length(family),
        AddressBits::new(family, *address),
    );
    trie.get(&key).is_some()
}

/// Counts a flow.
#[inline(always)]
pub(super) fn count_flow(reason: Reason) {
    bump(&FLOWS, reason as u32);
}

/// Counts an event.
#[inline(always)]
pub(super) fn count(event: Event) {
    bump(&EVENTS, event as u32);
}

/// Counts a SYN of `family` from the LAN with this slot.
#[inline(always)]
pub(super) fn count_delivery(interface: u32, family: u32, what: Delivery) {
    bump(&DELIVERIES, counter::delivery(interface, family, what));
}

/// Counts both ends of a flow that would have been intercepted.
#[inline(never)]
pub(super) fn count_shadowed(flow: &Flow) {
    tally(&SHADOW_CLIENTS, AddressBits::new(flow.family, flow.saddr));
    tally(&SHADOW_ORIGINS, AddressBits::new(flow.family, flow.daddr));
}

#[inline(always)]
fn tally(counts: &LruHashMap<AddressBits, u64>, address: AddressBits) {
    match counts.get_ptr_mut(&address) {
        Some(count) => {
            unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1) };
        }
        None => {
            let _ = counts.insert(&address, 1, 0);
        }
    }
}

#[inline(always)]
fn bump(counters: &PerCpuArray<u64>, slot: u32) {
    if let Some(counter) = counters.get_ptr_mut(slot) {
        unsafe { *counter = (*counter).wrapping_add(1) };
    }
}
