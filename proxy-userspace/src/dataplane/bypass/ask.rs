//! Asks the kernel which entry decides.

use aya::programs::{TestRun as _, TestRunOptions};
use proxy_ebpf::abi::{self, map};

use super::{Entry, Flow};
use crate::dataplane::{Dataplane, DataplaneError, chain, classifier};

impl Dataplane {
    /// Which entry the kernel finds for a flow: the same search as for a SYN, but not counted.
    ///
    /// # Errors
    ///
    /// If the kernel does not run the program (Linux 5.2 and later do).
    pub fn match_bypass(&mut self, flow: &Flow) -> Result<Option<Entry>, DataplaneError> {
        let mut packet = [0; size_of::<Flow>()];
        let words = [
            pair(flow.family, flow.lan),
            pair(flow.port, flow.reserved),
            flow.destination.0,
            flow.destination.1,
            flow.source.0,
            flow.source.1,
        ];
        for (octets, word) in packet.chunks_exact_mut(8).zip(words) {
            octets.copy_from_slice(&word.to_ne_bytes());
        }
        let run = classifier(&mut self.ebpf, abi::PROGRAM_MATCH)?
            .test_run(TestRunOptions {
                data_in: Some(&packet),
                ..TestRunOptions::new()
            })
            .map_err(|error| DataplaneError::Map {
                operation: "search",
                map: map::BYPASS,
                cause: chain(&error),
            })?;
        let number = run.return_value;
        Ok((number != 0).then(|| self.bypass.table.record(number)))
    }
}

/// Two fields as they are beside each other in memory.
fn pair(first: u32, second: u32) -> u64 {
    let (first, second) = (u64::from(first), u64::from(second));
    if cfg!(target_endian = "big") {
        first << 32 | second
    } else {
        second << 32 | first
    }
}
