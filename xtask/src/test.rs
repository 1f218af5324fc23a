//! `cargo xtask test` and `cargo xtask lint`.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    rooms, setup,
    tools::{cargo, is_root, run, target_dir, weir, which},
};

/// What the integration tests start besides Weir: the program, and Debian's package of it.
const PROGRAMS: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("nft", "nftables"),
    ("curl", "curl"),
];

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

/// Unit tests, then integration tests. A missing privilege or program fails.
pub(crate) fn test(args: &[String]) -> Result<()> {
    if !is_root()? {
        bail!("the integration tests make network namespaces and load BPF programs: run as root");
    }
    setup::build()?;
    let nginx = test_programs()?;
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
        .env("WEIR_NGINX", nginx))
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
            "programs,log",
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

fn test_programs() -> Result<PathBuf> {
    for (program, package) in PROGRAMS {
        if which(program).is_none() {
            install(package).with_context(|| {
                format!("the tests need `{program}`: install your distribution's {package}")
            })?;
        }
    }
    nginx()
}

fn install(package: &str) -> Result<()> {
    let apt = which("apt-get").context("there is no apt-get here to install it with")?;
    eprintln!("xtask: installing {package}");
    let install = || {
        let mut command = Command::new(&apt);
        command.args(["install", "--yes", "--no-install-recommends", package]);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(&mut install()).or_else(|_| {
        run(Command::new(&apt).arg("update"))?;
        run(&mut install())
    })
}

/// Debian's nginx, unpacked rather than installed: installing it would start a server.
fn nginx() -> Result<PathBuf> {
    if let Some(nginx) = which("nginx") {
        return Ok(nginx);
    }
    let root = target_dir().join("tools/nginx");
    let nginx = root.join("usr/sbin/nginx");
    if nginx.exists() {
        return Ok(nginx);
    }
    let missing = "the tests need `nginx`: install your distribution's package (Debian: \
                   nginx-light)";
    let apt = which("apt-get").context(missing)?;
    eprintln!("xtask: fetching nginx");
    std::fs::create_dir_all(&root)?;
    let download = || {
        let mut command = Command::new(&apt);
        command
            .args(["download", "-o", "APT::Sandbox::User=root", "nginx"])
            .current_dir(&root);
        command
    };
    run(&mut download())
        .or_else(|_| {
            run(Command::new(&apt).arg("update"))?;
            run(&mut download())
        })
        .context(missing)?;
    for entry in std::fs::read_dir(&root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg").arg("-x").arg(&path).arg(&root)).context(missing)?;
        }
    }
    if !nginx.exists() {
        bail!("{missing}");
    }
    Ok(nginx)
}
