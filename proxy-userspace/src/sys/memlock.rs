//! Whether BPF maps are charged to `RLIMIT_MEMLOCK`, as by kernels before 5.11, found out by
//! making one that is larger than the limit.

use std::io;

use nix::sys::resource::{Resource, getrlimit};

use super::bpf::create_array;

/// The most that is tried, octets: about what the maps of a daemon take.
const MUCH: u64 = 16 << 20;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memlock {
    /// There is no limit, or one beyond what is needed.
    Enough,
    /// The limit, octets, does not matter to BPF here.
    NotCharged(u64),
    /// The limit, octets, keeps maps from being made.
    TooLow(u64),
}

/// Tries.
///
/// # Errors
///
/// If no map can be made at all: `EPERM` without `CAP_BPF`.
pub fn probe() -> io::Result<Memlock> {
    let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    if limit >= MUCH {
        return Ok(Memlock::Enough);
    }
    create_array("weir_probe", 8, 1, 0)?;
    let entries = u32::try_from(limit / PAGE + 1).unwrap_or(u32::MAX);
    match create_array("weir_probe", PAGE_SIZE, entries, 0) {
        Ok(_) => Ok(Memlock::NotCharged(limit)),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(Memlock::TooLow(limit)),
        Err(error) => Err(error),
    }
}

const PAGE_SIZE: u32 = 4096;
const PAGE: u64 = PAGE_SIZE as u64;
