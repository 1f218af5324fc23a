//! `weir config`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use super::{Instance, ask};
use crate::{
    config::{Config, DEFAULT_PATH},
    control::Request,
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
    /// Prints what is in force in a running daemon, and what a reload or restart would change.
    Show {
        #[command(flatten)]
        instance: Instance,
        /// Only what is not at its default, or is about to change.
        #[arg(long)]
        changed: bool,
        /// For programs.
        #[arg(long)]
        json: bool,
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
        Verb::Show {
            instance,
            changed,
            json,
        } => {
            let told = ask(&instance.instance, &Request::Config)?;
            if *json {
                println!("{}", serde_json::to_string_pretty(&told)?);
            } else {
                print!("{}", shown(&told, *changed));
            }
        }
        Verb::Sample => print!("{}", Config::sample()),
    }
    Ok(())
}

/// As a file, which reads back as what is in force; what would change stands beside it.
fn shown(told: &Value, changed: bool) -> String {
    let mut lines = vec![match told["file"].as_str() {
        Some(file) => format!("# in force; read from {file}"),
        None => "# in force; read from no file".to_owned(),
    }];
    if let Some(fault) = told["fault"].as_str() {
        lines.push(format!(
            "# WRONG by now, a reload would be refused: {fault}"
        ));
    }
    let mut section = "";
    for setting in told["settings"].as_array().into_iter().flatten() {
        let pending = &setting["pending"];
        let is_default = setting["default"] == true;
        if changed && is_default && pending.is_null() {
            continue;
        }
        let path = setting["key"].as_str().unwrap_or_default();
        let (within, key) = path.rsplit_once('.').unwrap_or(("", path));
        if within != section {
            lines.push(format!("\n[{within}]"));
            section = within;
        }
        let value = setting["value"].as_str().unwrap_or_default();
        let word = match (pending["value"].as_str(), is_default) {
            (Some(new), _) => {
                let by = pending["by"].as_str().unwrap_or_default();
                format!("  # {new} after a {by}")
            }
            (None, true) => "  # default".to_owned(),
            (None, false) => String::new(),
        };
        lines.push(format!("{key} = {value}{word}"));
    }
    let pending = match told["rules_pending"] == true {
        true => ", others after a reload",
        false => "",
    };
    lines.push(format!("\n# {} rules{pending}", told["rules"]));
    lines.join("\n") + "\n"
}
