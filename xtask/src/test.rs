//! `cargo xtask test` and `cargo xtask lint`.

use anyhow::{Result, bail};

use crate::{
    programs::Programs,
    rooms, setup,
    tools::{cargo, is_root, run, target_dir, weir},
};

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

/// Unit tests, then integration tests. A missing privilege or program fails.
pub(crate) fn test(args: &[String]) -> Result<()> {
    if !is_root()? {
        bail!("the integration tests make network namespaces and load BPF programs: run as root");
    }
    setup::build()?;
    let programs = Programs::bring()?;
    run(cargo()
        .args([
            "test",
            "--release",
            "--locked",
            "--workspace",
            "--no-fail-fast",
        ])
        .args(args)
        .env("WEIR_BIN", weir())
        .envs(programs.environment()))
}

/// Formatting and lints, warnings denied, for the daemon, the fuzz targets and the kernel programs.
pub(crate) fn lint() -> Result<()> {
    setup::build_tools()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    let fuzz = ["--manifest-path", "fuzz/Cargo.toml"];
    run(cargo().arg("fmt").args(fuzz).arg("--check"))?;
    rooms::check()?;
    run(cargo()
        .args([
            "clippy",
            "--release",
            "--locked",
            "--workspace",
            "--all-targets",
        ])
        .args(DENY_WARNINGS))?;
    run(cargo()
        .arg("clippy")
        .args(fuzz)
        .args(["--release", "--locked", "--all-targets", "--target-dir"])
        .arg(target_dir())
        .args(DENY_WARNINGS))?;
    // As `proxy-userspace/build.rs` builds them, with everything that is compiled out otherwise.
    run(cargo()
        .args([
            "clippy",
            "--package",
            "proxy-ebpf",
            "--bin",
            "weir-programs",
            "--profile",
            "bpf",
        ])
        .args([
            "--features",
            "programs,log,bench",
            "--target",
            "bpfel-unknown-none",
        ])
        .args(["-Zbuild-std=core", "--target-dir"])
        .arg(target_dir().join("bpf"))
        .args(DENY_WARNINGS)
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            "--cfg=bpf_target_arch=\"x86_64\"",
        ))
}
