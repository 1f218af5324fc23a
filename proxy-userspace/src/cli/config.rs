//! `weir config`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::{
    config::{Config, DEFAULT_PATH},
    fault::Fault,
    policy::Policy,
};

/// The configuration.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Checks a file: silent and exit code 0 if it is good.
    Check {
        /// The file.
        #[arg(default_value = DEFAULT_PATH)]
        file: PathBuf,
    },
    /// Prints a file with every key, its meaning and its default.
    Sample,
}

pub(super) fn run(args: &Args) -> Result<()> {
    match &args.verb {
        Verb::Check { file } => {
            let config = Config::load(file).map_err(|error| Fault::Usage(error.to_string()))?;
            Policy::compile(&config.rules).map_err(|error| Fault::Usage(error.to_string()))?;
        }
        Verb::Sample => print!("{}", Config::sample()),
    }
    Ok(())
}
