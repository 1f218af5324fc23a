//! `weir lab`.

use std::env;

use anyhow::{Context as _, Result};

use crate::{
    fault::Fault,
    lab::{self, LabOptions},
};

/// A throwaway client–router–origin network with weir on its router.
#[derive(clap::Args)]
pub(super) struct Args {
    /// End in a shell in the client's namespace, with weir running.
    #[arg(long)]
    shell: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Fault::NotPermitted(
            "network namespaces and BPF need root: sudo weir lab".to_owned(),
        )
        .into());
    }
    let weir = env::current_exe().context("cannot tell where this executable is")?;
    Ok(lab::run(
        &LabOptions {
            shell: args.shell,
            weir,
        },
        &mut std::io::stdout(),
    )?)
}
