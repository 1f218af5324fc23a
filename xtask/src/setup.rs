//! The build tools, and the build.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tools::{cargo, output, run, target_dir, which, workspace};

/// It uses rustc's own LLVM, so no LLVM package is needed; 0.11 and later need one.
const BPF_LINKER: &str = "0.10.3";

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
    let rustc = || {
        let mut command = Command::new("rustc");
        command.current_dir(workspace());
        command
    };
    let sysroot = output(rustc().args(["--print", "sysroot"]))?;
    let library = format!("{}/lib/rustlib/src/rust/library/core", sysroot.trim());
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
    let tools = target_dir().join("tools");
    let linker = tools.join("bin/bpf-linker");
    if linker.exists()
        && output(Command::new(&linker).arg("--version"))?
            .trim()
            .ends_with(BPF_LINKER)
    {
        return Ok(());
    }
    eprintln!("xtask: building bpf-linker {BPF_LINKER} (once, about a minute)");
    run(cargo()
        .args([
            "install",
            "bpf-linker",
            "--version",
            BPF_LINKER,
            "--locked",
            "--force",
            "--root",
        ])
        .arg(&tools))
    .context("bpf-linker could not be built: is the network there, and a C linker (Debian: gcc)?")
}
