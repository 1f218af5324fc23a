//! `weir doctor`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::ask;
use crate::{
    config::DEFAULT_PATH,
    control::Request,
    daemon::{self, Cured, Patient, Source},
    doctor::{Finding, Level},
    fault::Fault,
};

/// About a daemon that runs, unless interfaces or a file are given: then, or if none runs, about one
/// that would.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Interfaces that clients come from.
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "IF")]
    lan: Vec<String>,
    /// Interfaces that origins are behind.
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "IF")]
    wan: Vec<String>,
    /// With the HTTP connections of this host itself, as `weir run --output` intercepts them.
    #[arg(long)]
    output: bool,
    /// Configuration file [default: /etc/weir/weir.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Instance name, as given to `weir run`.
    #[arg(long, default_value = "default", value_name = "NAME")]
    instance: String,
    /// Named network namespace to look at [default: the daemon's, or the current one].
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// Mends what can be mended, all of it or nothing; it stays when the daemon goes.
    #[arg(long)]
    fix: bool,
    /// Undoes what --fix has done.
    #[arg(long, conflicts_with = "fix")]
    undo: bool,
    /// Only prints the commands for what --fix or --undo would do.
    #[arg(long)]
    dry_run: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
    /// Only what is not as it should be.
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    if args.dry_run && !args.fix && !args.undo {
        let message = "--dry-run goes with --fix or --undo: without them nothing is changed";
        return Err(Fault::Usage(message.to_owned()).into());
    }
    if args.undo {
        let undone = daemon::undo_fixes(&args.instance, args.dry_run)?;
        return print_commands(&undone, args);
    }
    if !args.fix {
        return report(&[], daemon::examine(&patient(args)?)?, args);
    }
    let cure = daemon::fix(patient(args)?, &args.instance, args.dry_run)?;
    if args.dry_run {
        let commands: Vec<_> = cure.done.into_iter().map(|it| it.command).collect();
        return print_commands(&commands, args);
    }
    report(&cure.done, cure.findings, args)
}

/// The commands alone, as a shell takes them.
fn print_commands(commands: &[String], args: &Args) -> Result<()> {
    if args.json {
        let all = json!({ "commands": commands });
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        for command in commands {
            println!("{command}");
        }
    }
    Ok(())
}

fn report(done: &[Cured], mut findings: Vec<Finding>, args: &Args) -> Result<()> {
    if args.quiet {
        findings.retain(|finding| finding.level != Level::Ok);
    }
    let of = |level| findings.iter().filter(|it| it.level == level).count();
    if args.json {
        let counts = json!({
            "ok": of(Level::Ok),
            "note": of(Level::Note),
            "warning": of(Level::Warning),
            "error": of(Level::Error),
        });
        let mut all = json!({ "counts": counts, "findings": findings });
        if args.fix {
            all["fixed"] = serde_json::to_value(done)?;
        }
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        for Cured {
            object, command, ..
        } in done
        {
            println!("fixed    {object}\n         did: {command}");
        }
        for finding in &findings {
            print!("{}", shown(finding));
        }
    }
    match of(Level::Error) {
        0 => Ok(()),
        1 => Err(Fault::HostCannot("1 error: see above".to_owned()).into()),
        errors => Err(Fault::HostCannot(format!("{errors} errors: see above")).into()),
    }
}

fn patient(args: &Args) -> Result<Patient> {
    let given = !args.lan.is_empty() || !args.wan.is_empty() || args.config.is_some();
    let default = Path::new(DEFAULT_PATH);
    if !given {
        match examine(&args.instance) {
            Ok(status) => return Ok(Patient::Running(status)),
            Err(error) => match error.downcast_ref::<Fault>() {
                Some(Fault::NoInstance(_)) if default.exists() => {}
                Some(Fault::NoInstance(none)) => {
                    return Err(Fault::Usage(format!(
                        "{none}; or name the interfaces of one that would: weir doctor --lan IF \
                         --wan IF"
                    ))
                    .into());
                }
                _ => return Err(error),
            },
        }
    }
    let source = Source {
        file: args
            .config
            .clone()
            .or_else(|| default.exists().then(|| default.to_owned())),
        lan: args.lan.clone(),
        wan: args.wan.clone(),
        output: args.output,
        workers: None,
    };
    let config = Box::new(source.read()?);
    Ok(Patient::Planned(config, args.netns.clone()))
}

/// A daemon of an earlier version does not know what is asked for, and says less.
fn examine(instance: &str) -> Result<serde_json::Value> {
    let examined = ask(instance, &Request::Examine);
    match examined
        .as_ref()
        .map_err(|error| error.downcast_ref::<Fault>())
    {
        Err(Some(Fault::Usage(_))) => ask(instance, &Request::Status),
        _ => examined,
    }
}

/// A line for what is well, more for what is not.
fn shown(finding: &Finding) -> String {
    let Finding {
        level,
        code,
        object,
        found,
        why,
        remedy,
        ..
    } = finding;
    let mut text = format!("{:<8} {object}: {found}", level.as_str());
    if let Some(code) = code {
        text += &format!(" [{code}]");
    }
    text.push('\n');
    if *level != Level::Ok {
        for (word, part) in [("why", why), ("do", remedy)] {
            if !part.is_empty() {
                text += &format!("         {word}: {part}\n");
            }
        }
    }
    text
}
