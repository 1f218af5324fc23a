//! The build tools, and the build.

use std::{env, ffi::OsString, process::Command};

use anyhow::{Context as _, Result};

use crate::tools::{cargo, output, run, sysroot, target_dir, which, workspace};

/// It uses rustc's own LLVM, so no LLVM package is needed; 0.11 and later need one.
const BPF_LINKER: &str = "0.10.3";

/// Only `cargo xtask dist` needs it.
const CARGO_DEB: &str = "3.8.0";

/// Only `cargo xtask fuzz` needs it.
const CARGO_FUZZ: &str = "0.13.2";

/// Brings rust-src and bpf-linker, if they are not there.
pub(crate) fn build_tools() -> Result<()> {
    rust_src()?;
    bpf_linker()
}

/// Builds the release binary.
pub(crate) fn build() -> Result<()> {
    build_tools()?;
    run(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "proxy-userspace",
    ]))
}

/// The kernel programs' `core` is built from source.
fn rust_src() -> Result<()> {
    let library = format!("{}/lib/rustlib/src/rust/library/core", sysroot()?);
    if std::path::Path::new(&library).exists() {
        return Ok(());
    }
    eprintln!("xtask: adding rust-src to the toolchain");
    let rustup = which("rustup").context(
        "the toolchain has no rust-src and there is no rustup to add it: install your \
         distribution's package of the Rust library's source (Debian: rust-src)",
    )?;
    run(Command::new(rustup)
        .current_dir(workspace())
        .args(["component", "add", "rust-src"]))
    .context("rust-src could not be fetched: is the network there?")
}

fn bpf_linker() -> Result<()> {
    install("bpf-linker", BPF_LINKER).context(
        "bpf-linker could not be built: is the network there, and a C linker (Debian: gcc)?",
    )
}

/// Brings cargo-fuzz, if it is not there.
pub(crate) fn cargo_fuzz() -> Result<()> {
    install("cargo-fuzz", CARGO_FUZZ).context(
        "cargo-fuzz could not be built: is the network there, and a C linker (Debian: gcc)?",
    )
}

/// Brings cargo-deb, if it is not there.
pub(crate) fn cargo_deb() -> Result<()> {
    install("cargo-deb", CARGO_DEB).context(
        "cargo-deb could not be built: is the network there, and a C compiler (Debian: gcc)?",
    )
}

/// Brings the standard library of another target, if it is not there.
pub(crate) fn target(target: &str) -> Result<()> {
    let library = format!("{}/lib/rustlib/{target}/lib", sysroot()?);
    if std::path::Path::new(&library).exists() {
        return Ok(());
    }
    eprintln!("xtask: adding {target} to the toolchain");
    let rustup = which("rustup").with_context(|| {
        format!("the toolchain cannot build for {target} and there is no rustup to add that")
    })?;
    run(Command::new(rustup)
        .current_dir(workspace())
        .args(["target", "add", target]))
    .with_context(|| format!("{target} could not be fetched: is the network there?"))
}

/// PATH with our own tools in front.
pub(crate) fn path_with_tools() -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let tools = target_dir().join("tools/bin");
    Ok(env::join_paths(
        std::iter::once(tools).chain(env::split_paths(&path)),
    )?)
}

/// Builds `program` below target/tools, if it is not there in this version.
fn install(program: &str, version: &str) -> Result<()> {
    let tools = target_dir().join("tools");
    let binary = tools.join("bin").join(program);
    if binary.exists()
        && output(Command::new(&binary).arg("--version"))?
            .trim()
            .ends_with(version)
    {
        return Ok(());
    }
    eprintln!("xtask: building {program} {version} (once, about a minute)");
    run(cargo()
        .args(["install", program, "--version", version])
        .args(["--locked", "--force", "--root"])
        .arg(&tools))
}
