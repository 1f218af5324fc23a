//! `cargo xtask bench`.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{
    setup,
    tools::{cargo, run, target_dir, weir},
};

/// The benchmarks, and the packages that they are in.
const BENCHES: [(&str, &str); 4] = [
    ("links", "weir-tests"),
    ("rules", "proxy-userspace"),
    ("slowloris", "weir-tests"),
    (BYPASS, "weir-tests"),
];

/// Runs kernel programs of its own.
const BYPASS: &str = "bypass";

/// Builds and runs one with these arguments. It prints what it measures; a goal that is missed
/// fails.
pub(crate) fn bench(name: &str, arguments: &[String]) -> Result<()> {
    let Some((_, package)) = BENCHES.iter().find(|(bench, _)| *bench == name) else {
        let names: Vec<_> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!(
            "there is no benchmark {name}; there are: {}",
            names.join(", ")
        );
    };
    setup::build()?;
    let mut bench = cargo();
    bench
        .args(["bench", "--locked", "--package", package, "--bench", name])
        .arg("--")
        .args(absolute(arguments)?)
        .env("WEIR_BIN", weir());
    if name == BYPASS {
        bench.env("WEIR_BENCH_OBJECT", programs()?);
    }
    run(&mut bench)
}

/// Cargo runs a benchmark in its package's directory; files are meant from here.
fn absolute(arguments: &[String]) -> Result<Vec<String>> {
    let mut arguments = arguments.to_vec();
    if let Some(at) = arguments.iter().position(|argument| argument == "--json")
        && let Some(file) = arguments.get_mut(at + 1)
    {
        let here = env::current_dir().context("there is no current directory")?;
        *file = here.join(&file).display().to_string();
    }
    Ok(arguments)
}

/// The kernel programs with those that only benchmarks run, as `proxy-userspace/build.rs` builds
/// what ships, but beside it.
fn programs() -> Result<PathBuf> {
    let directory = target_dir().join("bpf-bench");
    let linker = target_dir().join("tools/bin/bpf-linker");
    let flags = [
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
    ];
    let target = if cfg!(target_endian = "big") {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    };
    run(cargo()
        .args(["build", "--locked", "--package", "proxy-ebpf"])
        .args(["--bin", "weir-programs", "--profile", "bpf"])
        .args(["--features", "programs,bench", "--target", target])
        .args(["-Zbuild-std=core", "--target-dir"])
        .arg(&directory)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")))?;
    Ok(directory.join(target).join("bpf/weir-programs"))
}
