//! `cargo xtask dist`: what others install.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    programs::Programs,
    setup,
    tools::{cargo, is_root, output, run, target_dir, which, workspace},
};

/// Needs no library of the system that it runs on.
const TARGET: &str = "x86_64-unknown-linux-musl";

const PROFILE: &str = "dist";

/// What the package is tested with besides what all tests want, with Debian's package of each.
const CHECKED_WITH: [(&str, &str); 7] = [
    ("dpkg", "dpkg"),
    ("systemd-analyze", "systemd"),
    ("deb-systemd-helper", "init-system-helpers"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("man", "man-db"),
    ("bash", "bash"),
];

/// Builds the static program and the package; then tests them, if wanted.
pub(crate) fn dist(check: bool) -> Result<()> {
    let program = program()?;
    setup::cargo_deb()?;
    stage(&program)?;
    let package = package("1")?;
    for made in [&program, &package] {
        eprintln!("xtask: made {}", made.display());
    }
    if check {
        // Another one, to be upgraded to.
        test(&program, &package, &self::package("2")?)?;
    }
    Ok(())
}

/// The static program.
fn program() -> Result<PathBuf> {
    if !cfg!(target_arch = "x86_64") {
        bail!("packages are made on x86_64 only: for others, `cargo xtask build`");
    }
    setup::build_tools()?;
    setup::target(TARGET)?;
    run(cargo().args([
        "build",
        "--locked",
        "--package",
        "proxy-userspace",
        "--profile",
        PROFILE,
        "--target",
        TARGET,
    ]))?;
    Ok(built().join("weir"))
}

fn built() -> PathBuf {
    target_dir().join(TARGET).join(PROFILE)
}

/// Puts what the package has besides the program beside that, where
/// `proxy-userspace/Cargo.toml` says that it is.
fn stage(program: &Path) -> Result<()> {
    let stage = built().join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage).with_context(|| stage.display().to_string())?;
    }
    fs::create_dir_all(&stage).with_context(|| stage.display().to_string())?;
    run(Command::new(program).arg("generate").arg(&stage))?;
    for page in fs::read_dir(stage.join("man")).context("the manual")? {
        compress(&page?.path())?;
    }
    let changes = stage.join("changelog");
    fs::copy(workspace().join("CHANGELOG.md"), &changes).context("CHANGELOG.md")?;
    compress(&changes)
}

/// As Debian has it: without name and time, so that the same is the same.
fn compress(file: &Path) -> Result<()> {
    run(Command::new("gzip").args(["-9", "--no-name"]).arg(file))
}

/// The package; `revision` is behind its version.
fn package(revision: &str) -> Result<PathBuf> {
    let version = format!("{}-{revision}", env!("CARGO_PKG_VERSION"));
    let package = target_dir()
        .join("deb")
        .join(format!("weir_{version}_amd64.deb"));
    run(Command::new(target_dir().join("tools/bin/cargo-deb"))
        .current_dir(workspace())
        .args(["--package", "proxy-userspace", "--no-build", "--no-strip"])
        .args(["--profile", PROFILE, "--target", TARGET])
        .args(["--deb-version", &version, "--output"])
        .arg(&package))?;
    Ok(package)
}

/// Installs it on machines of its own, with a systemd of theirs, and removes it again.
fn test(program: &Path, package: &Path, next: &Path) -> Result<()> {
    if !is_root()? {
        bail!("the package is tested on machines in namespaces: run as root");
    }
    let missing: Vec<_> = CHECKED_WITH
        .iter()
        .filter(|(program, _)| which(program).is_none())
        .collect();
    if !missing.is_empty() {
        let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
        let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        bail!(
            "the package is NOT TESTED: {} missing; apt-get install {}",
            programs.join(", "),
            packages.join(" ")
        );
    }
    let programs = Programs::bring()?;
    run(cargo()
        .args(["test", "--release", "--locked", "--workspace"])
        .args(["--test", "package", "--", "--ignored"])
        .env("WEIR_BIN", program)
        .env("WEIR_PACKAGE", package)
        .env("WEIR_NEXT_PACKAGE", next)
        .envs(programs.environment()))?;
    // The tests have skipped nothing; what they cannot tell is said where people look for it.
    let systemd = output(Command::new("systemctl").arg("--version"))?;
    let version = systemd.lines().next().unwrap_or("systemd");
    eprintln!(
        "xtask: tested with {version}; what is not tested: docs/OPERATING.md, \"As a service\""
    );
    Ok(())
}
