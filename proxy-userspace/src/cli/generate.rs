//! `weir generate`: what a package has besides the program. Not for operators, so it is hidden.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};

use super::Cli;
use crate::config::Config;

/// Shells that completions are written for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

#[derive(clap::Args)]
pub(super) struct Args {
    /// Where to write `man/`, `completions/` and `weir.toml`.
    directory: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let command = Cli::command();
    let manual = made(&args.directory, "man")?;
    clap_mangen::generate_to(command.clone(), &manual).context("cannot write the manual")?;
    let completions = made(&args.directory, "completions")?;
    for shell in SHELLS {
        generate_to(shell, &mut command.clone(), "weir", &completions)
            .with_context(|| format!("cannot write the completions of {shell}"))?;
    }
    let configuration = args.directory.join("weir.toml");
    fs::write(&configuration, Config::sample())
        .with_context(|| format!("cannot write {}", configuration.display()))
}

fn made(within: &Path, name: &str) -> Result<PathBuf> {
    let directory = within.join(name);
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}
