//! Builds the kernel programs and hands their object to the daemon, which embeds it.
//!
//! There is no stub: where the programs cannot be built, the daemon is not built either, and the
//! message names the command that brings what is missing.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

const REMEDY: &str = "run `cargo xtask setup`, which brings it";

fn main() {
    let workspace = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("..");
    for input in [
        "proxy-ebpf/src",
        "proxy-ebpf/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(input).display()
        );
    }
    println!("cargo::rerun-if-env-changed=WEIR_KERNEL_LOG");

    let target_dir = target_dir();
    let linker = linker(&target_dir);
    check_rust_src();

    let object = build(&workspace, &target_dir.join("bpf"), &linker);
    println!("cargo::rustc-env=WEIR_OBJECT={}", object.display());
}

fn build(workspace: &Path, target_dir: &Path, linker: &Path) -> PathBuf {
    let endian = if var("CARGO_CFG_TARGET_ENDIAN") == "big" {
        "eb"
    } else {
        "el"
    };
    let target = format!("bpf{endian}-unknown-none");
    let arch = var("CARGO_CFG_TARGET_ARCH");
    let flags = [
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        format!("--cfg=bpf_target_arch=\"{}\"", arch.to_string_lossy()),
    ];
    let features = if env::var_os("WEIR_KERNEL_LOG").is_some() {
        "programs,log"
    } else {
        "programs"
    };
    let status = Command::new(var("CARGO"))
        .args([
            "build",
            "--package",
            "proxy-ebpf",
            "--bin",
            "weir-programs",
            "--profile",
            "bpf",
        ])
        .args([
            "--features",
            features,
            "--target",
            &target,
            "-Zbuild-std=core",
        ])
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(workspace)
        // `-Zbuild-std` is all that the pinned stable toolchain needs this for.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER")
        .status()
        .unwrap_or_else(|error| panic!("cannot start cargo for the kernel programs: {error}"));
    assert!(
        status.success(),
        "the kernel programs do not build (see above)"
    );
    target_dir.join(target).join("bpf").join("weir-programs")
}

fn linker(target_dir: &Path) -> PathBuf {
    let own = target_dir.join("tools/bin/bpf-linker");
    if own.exists() {
        return own;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join("bpf-linker"))
        .find(|candidate| candidate.exists())
        .unwrap_or_else(|| panic!("no bpf-linker in {} or PATH: {REMEDY}", own.display()))
}

fn check_rust_src() {
    let output = Command::new(var("RUSTC"))
        .args(["--print", "sysroot"])
        .output()
        .unwrap_or_else(|error| panic!("cannot start rustc: {error}"));
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let library = sysroot.join("lib/rustlib/src/rust/library/core");
    assert!(
        library.exists(),
        "the toolchain has no rust-src ({}): {REMEDY}",
        library.display()
    );
}

/// Cargo does not tell a build script where the target directory is; OUT_DIR is
/// `TARGET_DIR/[TRIPLE/]PROFILE/build/PACKAGE-HASH/out`.
fn target_dir() -> PathBuf {
    let out = PathBuf::from(var("OUT_DIR"));
    let build = out
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == "build"));
    let profile = build
        .and_then(Path::parent)
        .expect("OUT_DIR is below build/");
    let above = profile
        .parent()
        .expect("a profile's directory has a parent");
    let triple = env::var_os("TARGET").is_some_and(|triple| above.ends_with(&triple));
    if triple {
        above.parent().unwrap_or(above).to_owned()
    } else {
        above.to_owned()
    }
}

fn var(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name} for build scripts"))
}
