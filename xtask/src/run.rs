//! `cargo xtask run`.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    setup,
    tools::{is_root, weir},
};

/// Builds, then becomes `weir lab`, or `weir run` where interfaces are given.
pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::build()?;
    let real = args.iter().any(|arg| arg.starts_with("--lan"));
    let verb = if real { "run" } else { "lab" };
    let mut command = Command::new(weir());
    command.arg(verb).args(args);
    if !is_root()? {
        let args = args.join(" ");
        bail!(
            "network namespaces and BPF need root; it is built, now run:\n  sudo {} {verb} {args}",
            weir().display()
        );
    }
    // It takes this process over, so that Ctrl-C is its own business: it cleans up.
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", weir().display()))
}
