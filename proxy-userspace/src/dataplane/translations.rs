//! What is known of translated (NAT) connections of ours: looking after the map.

use aya::programs::{TestRun as _, TestRunOptions};
use proxy_ebpf::abi::{self, map};

use super::{Dataplane, DataplaneError, chain, classifier, reading};

/// The kernel takes no test packet below the length of an Ethernet header.
const INPUT_LEN: usize = 14;

impl Dataplane {
    /// Whether any connection of ours has been translated since the programs were loaded.
    ///
    /// # Errors
    ///
    /// If the map cannot be read.
    pub fn translates(&self) -> Result<bool, DataplaneError> {
        let any = self.translating.get(&0, 0);
        Ok(any.map_err(reading(map::TRANSLATING))? != 0)
    }

    /// Forgets translations whose connection is over, with `time_wait` those in TIME_WAIT as well,
    /// and returns how many there are still. Must be called in the programs' network namespace.
    ///
    /// # Errors
    ///
    /// If the kernel does not run the program.
    pub fn sweep_translations(&mut self, time_wait: bool) -> Result<u32, DataplaneError> {
        let mut input = [0; INPUT_LEN];
        input[0] = u8::from(time_wait);
        let options = TestRunOptions {
            data_in: Some(&input),
            ..TestRunOptions::new()
        };
        let run = classifier(&mut self.ebpf, abi::PROGRAM_SWEEP)?.test_run(options);
        let run = run.map_err(|error| DataplaneError::Map {
            operation: "sweep",
            map: map::TRANSLATIONS,
            cause: chain(&error),
        })?;
        Ok(run.return_value)
    }
}
