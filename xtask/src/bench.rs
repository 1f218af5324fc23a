//! `cargo xtask bench`.

use anyhow::{Result, bail};

use crate::{
    setup,
    tools::{cargo, run},
};

/// The benchmarks, all in `proxy-userspace/benches`.
const BENCHES: [&str; 1] = ["rules"];

/// Builds and runs one. It prints what it measures; a goal that is missed fails.
pub(crate) fn bench(name: &str) -> Result<()> {
    if !BENCHES.contains(&name) {
        bail!(
            "there is no benchmark {name}; there are: {}",
            BENCHES.join(", ")
        );
    }
    setup::build_tools()?;
    run(cargo().args([
        "bench",
        "--locked",
        "--package",
        "proxy-userspace",
        "--bench",
        name,
    ]))
}
