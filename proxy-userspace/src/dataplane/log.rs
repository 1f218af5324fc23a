//! Debug events of the kernel programs.
//!
//! Only builds with `WEIR_KERNEL_LOG` set have them (`WEIR_KERNEL_LOG=1 cargo xtask build`, then
//! `WEIR_LOG=info,weir_programs=debug weir run …`): one for each verdict. Other builds have no
//! trace of them.

use std::time::Duration;

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::time::interval;

/// How often the kernel's ring buffer is emptied. It is a debugging aid: no need to be woken.
const LOOK: Duration = Duration::from_millis(50);

/// Passes events on to the log, from a task on the current runtime, if the programs have any.
/// The programs must be loaded: it takes their map.
pub(super) fn start(ebpf: &mut Ebpf) {
    if ebpf.map("AYA_LOGS").is_none() {
        return;
    }
    match EbpfLogger::init(ebpf) {
        Ok(mut logger) => {
            tokio::spawn(async move {
                let mut looks = interval(LOOK);
                loop {
                    looks.tick().await;
                    logger.flush();
                }
            });
        }
        Err(error) => tracing::warn!(%error, "no kernel debug events"),
    }
}
