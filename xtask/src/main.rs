//! Weir's build, run and test commands: `cargo xtask help`.

mod bench;
mod dist;
mod fuzz;
mod programs;
mod rooms;
mod run;
mod setup;
mod test;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Build, run and test Weir.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Brings the build tools: rust-src for the pinned toolchain, bpf-linker below target/.
    Setup,
    /// Builds target/release/weir.
    Build,
    /// Builds, then runs: without arguments a throwaway network (`weir lab`), with `--lan` and
    /// `--wan` the daemon on real interfaces.
    Run {
        /// Arguments of `weir run`, or of `weir lab` if there is no `--lan`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Unit tests on this host, then integration tests with real packets in namespaces (root).
    Test {
        /// Arguments of `cargo test`: a test's name, `-- --nocapture`, …
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Runs the fuzz targets, 60 s each unless told otherwise; `fuzz/` has them.
    Fuzz {
        /// One of them: head, chunked, packet, differential, lists.
        target: Option<String>,
        /// How long each runs.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Measures what something costs and compares it with its goals. Wants a machine that is idle.
    Bench {
        /// One of them: rules, slowloris, bypass.
        name: String,
        /// Arguments of the benchmark: of bypass, `--json FILE` and the parts to run.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Builds the static program and the Debian package with everything that a service needs.
    Dist {
        /// Installs, starts, upgrades and removes the package on machines in namespaces (root).
        #[arg(long)]
        check: bool,
    },
    /// rustfmt, clippy with warnings denied, and the rules that neither knows.
    Lint,
}

fn main() -> ExitCode {
    match perform(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: Command) -> Result<()> {
    match command {
        Command::Setup => setup::build_tools(),
        Command::Build => setup::build(),
        Command::Run { args } => run::run(&args),
        Command::Test { args } => test::test(&args),
        Command::Fuzz { target, seconds } => fuzz::fuzz(target.as_deref(), seconds),
        Command::Bench { name, args } => bench::bench(&name, &args),
        Command::Dist { check } => dist::dist(check),
        Command::Lint => test::lint(),
    }
}
