//! Weir's kernel programs: a thin shell around [`proxy_ebpf`]'s packet walk and verdict.

#![no_std]
#![no_main]
// The target has atomic addition, but core's `AtomicU64` has only what every operation exists for.
#![feature(core_intrinsics)]
#![allow(
    internal_features,
    reason = "one intrinsic, the kernel's atomic addition"
)]
#![allow(unsafe_code, reason = "every kernel helper is an unsafe function")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the verifier proves what SAFETY would claim"
)]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "a key passed by value is copied to the stack, of which there are 512 bytes"
)]

mod programs;

use proxy_ebpf::abi::ABI_VERSION;

/// Read by the daemon from the object before it loads anything.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.weir.abi")]
#[used]
static WEIR_ABI_VERSION: u32 = ABI_VERSION;

/// GPL-only helpers (`bpf_skb_set_tunnel_key`'s kin, the logger) need exactly this string.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
