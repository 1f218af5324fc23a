//! `weir_sweep`: forgets translations whose connection is over, for the daemon, which runs it.
//!
//! Most are forgotten by the packet that finds no socket any more; this is for those that never
//! see another one.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::bpf_for_each_map_elem, macros::classifier, programs::TcContext,
};
use proxy_ebpf::key::Flow;

use super::{
    maps::TRANSLATIONS,
    socket::{self, Found},
    translation,
};

struct Sweep {
    ctx: *const TcContext,
    /// Not 0: those in TIME_WAIT go as well.
    hard: u32,
    left: u32,
}

#[classifier]
pub(super) fn weir_sweep(ctx: TcContext) -> i32 {
    let mut sweep = Sweep {
        ctx: &raw const ctx,
        hard: u32::from(ctx.load::<u8>(0).unwrap_or(0)),
        left: 0,
    };
    let callback: extern "C" fn(*mut c_void, &Flow, &Flow, *mut Sweep) -> u64 = look;
    unsafe {
        bpf_for_each_map_elem(
            (&raw const TRANSLATIONS).cast_mut().cast(),
            callback as *mut c_void,
            (&raw mut sweep).cast(),
            0,
        )
    };
    sweep.left.cast_signed()
}

/// 0 goes on with the next.
extern "C" fn look(_: *mut c_void, outside: &Flow, inside: &Flow, sweep: *mut Sweep) -> u64 {
    let sweep = unsafe { &mut *sweep };
    let found = socket::find(unsafe { &*sweep.ctx }, inside);
    if translation::is_gone(found) || (sweep.hard != 0 && found == Found::Dying) {
        let _ = TRANSLATIONS.remove(outside);
    } else {
        sweep.left += 1;
    }
    0
}
