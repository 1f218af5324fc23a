//! `cargo xtask bench`.

use anyhow::{Result, bail};

use crate::{
    setup,
    tools::{cargo, run, weir},
};

/// The benchmarks, and the packages that they are in.
const BENCHES: [(&str, &str); 2] = [("rules", "proxy-userspace"), ("slowloris", "weir-tests")];

/// Builds and runs one. It prints what it measures; a goal that is missed fails.
pub(crate) fn bench(name: &str) -> Result<()> {
    let Some((_, package)) = BENCHES.iter().find(|(bench, _)| *bench == name) else {
        let names: Vec<_> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!(
            "there is no benchmark {name}; there are: {}",
            names.join(", ")
        );
    };
    setup::build()?;
    run(cargo()
        .args(["bench", "--locked", "--package", package, "--bench", name])
        .env("WEIR_BIN", weir()))
}
