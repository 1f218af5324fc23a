//! Memory that is shared with the kernel.

use std::{io, num::NonZeroUsize, os::fd::AsFd, ptr::NonNull, sync::atomic::AtomicU64};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The values of a `BPF_F_MMAPABLE` array (Linux 5.5), for reading and writing. Unmapped on drop;
/// it holds the map, also when its file descriptor is closed.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: plain memory that nothing but this owns, and only atomic accesses are given out.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `words` 64-bit words of the array.
    ///
    /// # Errors
    ///
    /// As `mmap(2)`; `InvalidInput` for no words.
    pub fn new(map: impl AsFd, words: usize) -> io::Result<Self> {
        let length = words
            .checked_mul(size_of::<u64>())
            .and_then(NonZeroUsize::new)
            .ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory of ours.
        let start = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                map,
                0,
            )
        }?;
        Ok(Self {
            start: start.cast(),
            words,
        })
    }
}

impl AsRef<[AtomicU64]> for Mapping {
    fn as_ref(&self) -> &[AtomicU64] {
        // SAFETY: mapped from `new` to `drop`, page-aligned, zeroed by the kernel; the kernel side
        // changes it at any time, which atomics allow.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; nothing borrowed from it outlives it.
        let result = unsafe { munmap(self.start.cast(), self.words * size_of::<u64>()) };
        debug_assert!(result.is_ok(), "{result:?}");
    }
}
