//! `weir down`.

use std::path::PathBuf;

use anyhow::Result;

use super::{Instance, run::configured};
use crate::daemon::{self, Source};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// Undoes what a daemon has left that died, and no more: one that runs goes on, and where a LAN
    /// fails closed everything stays, so that it is closed until a daemon is started.
    #[arg(long)]
    left_behind: bool,
    /// Where it is said which LANs fail closed [default: /etc/weir/weir.toml, if there is one].
    #[arg(long, value_name = "FILE", requires = "left_behind")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> Result<()> {
    let name = &args.instance.instance;
    if !args.left_behind {
        return daemon::down(name);
    }
    let source = Source {
        file: configured(args.config),
        ..Source::default()
    };
    daemon::clear(name, &source)
}
