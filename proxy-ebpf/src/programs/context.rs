//! Reading addresses from the contexts of programs.

use core::ptr;

use proxy_ebpf::key::Address;

/// Volatile: LLVM would load from a chosen address within the context otherwise, which the verifier
/// refuses.
#[inline(always)]
pub(super) unsafe fn words(address: *const Address) -> Address {
    let word = address.cast::<u32>();
    unsafe {
        [
            ptr::read_volatile(word),
            ptr::read_volatile(word.add(1)),
            ptr::read_volatile(word.add(2)),
            ptr::read_volatile(word.add(3)),
        ]
    }
}
