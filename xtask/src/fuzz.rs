//! `cargo xtask fuzz`.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    setup,
    tools::{cargo, run, sysroot, target_dir, workspace},
};

/// Targets of `fuzz/`, and the longest input that each is given, bytes: room for what it reads
/// and little more.
const TARGETS: [(&str, u32); 5] = [
    ("head", 4096),
    ("chunked", 2048),
    ("packet", 512),
    ("differential", 4096),
    ("lists", 1024),
];

/// Tests what the targets share, then runs each target, or the one that is named, for `seconds`.
pub(crate) fn fuzz(target: Option<&str>, seconds: u64) -> Result<()> {
    let targets: Vec<_> = TARGETS
        .iter()
        .filter(|(name, _)| target.is_none_or(|target| target == *name))
        .collect();
    if targets.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        bail!("no such target; there are: {}", names.join(", "));
    }
    setup::build_tools()?;
    setup::cargo_fuzz()?;
    for (name, _) in &targets {
        run(&mut cargo_fuzz("build", name)?).context(
            "the fuzz targets do not build (see above): they need the network once, for their \
             dependencies, and a C++ compiler (Debian: g++)",
        )?;
    }
    // What was found before, and that hyper sees what is sent at all.
    run(cargo()
        .args(["test", "--release", "--locked", "--manifest-path"])
        .arg(workspace().join("fuzz/Cargo.toml"))
        .args(["--lib", "--test", "seeds", "--target-dir"])
        .arg(target_dir()))?;
    let mut found = Vec::new();
    for (name, longest) in &targets {
        eprintln!("xtask: {name}, {seconds} s");
        if run(&mut fuzzing(name, *longest, seconds)?).is_err() {
            found.push(*name);
        }
    }
    if !found.is_empty() {
        bail!(
            "found something: {}; the inputs are below {}",
            found.join(", "),
            workspace().join("fuzz/artifacts").display()
        );
    }
    Ok(())
}

fn fuzzing(name: &str, longest: u32, seconds: u64) -> Result<Command> {
    let seeds = workspace().join("fuzz/seeds").join(name);
    // What is found on the way is kept for the next time, beside the seeds, not among them.
    let corpus = target_dir().join("fuzz").join(name);
    fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
    let mut command = cargo_fuzz("run", name)?;
    command.arg(corpus).arg(seeds).arg("--").args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={longest}"),
        "-timeout=10".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]);
    if name != "packet" {
        let words = workspace().join("fuzz/http.dict");
        command.arg(format!("-dict={}", words.display()));
    }
    Ok(command)
}

fn cargo_fuzz(verb: &str, name: &str) -> Result<Command> {
    let mut command = cargo();
    let path = setup::path_with_tools()?;
    command
        .args(["fuzz", verb, "--fuzz-dir"])
        .arg(workspace().join("fuzz"))
        .arg("--target-dir")
        .arg(target_dir())
        .args(["--sanitizer", sanitizer()?])
        .arg(name)
        .env("PATH", path)
        // Instrumentation is what the pinned stable toolchain needs this for.
        .env("RUSTC_BOOTSTRAP", "1");
    Ok(command)
}

/// Toolchains of rustup bring the runtime of AddressSanitizer, those of distributions may not.
fn sanitizer() -> Result<&'static str> {
    let libraries = Path::new(&sysroot()?).join("lib/rustlib");
    let is_there = fs::read_dir(&libraries)
        .with_context(|| libraries.display().to_string())?
        .filter_map(|target| fs::read_dir(target.ok()?.path().join("lib")).ok())
        .flatten()
        .flatten()
        .any(|file| file.file_name().to_string_lossy().ends_with("_rt.asan.a"));
    Ok(if is_there { "address" } else { "none" })
}
