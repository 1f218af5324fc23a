//! Landlock (Linux 5.13): the daemon sees no files but those that it needs, whoever it is.

use std::{fmt, path::PathBuf};

use anyhow::{Context as _, Result};
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};

use super::Files;

/// What of it is asked for; the kernel may have less.
const WANTED: ABI = ABI::V6;

/// What has come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Landlocked {
    /// The kernel does all that was asked for.
    Fully,
    /// It is an older one, and does a part.
    Partly,
    /// It has no Landlock.
    Unsupported,
    /// It was not asked for.
    Off,
}

impl fmt::Display for Landlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fully => "full",
            Self::Partly => "partial",
            Self::Unsupported => "unsupported",
            Self::Off => "off",
        })
    }
}

/// Restricts this thread, and those that it starts, to these files. Nothing can be executed, and
/// no process outside be sent a signal.
pub(super) fn restrict(files: &Files) -> Result<Landlocked> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let write = read | make_bitflags!(AccessFs::{WriteFile | Truncate});
    let make = write | make_bitflags!(AccessFs::{MakeReg | MakeSock | RemoveFile});
    let sets = [
        (&files.read, read),
        (&files.write, write),
        (&files.make, make),
    ];
    let restrict = || {
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(WANTED))?
            .scope(Scope::Signal)?
            .create()?;
        for (paths, access) in sets {
            ruleset = add(ruleset, paths, access)?;
        }
        ruleset.restrict_self()
    };
    let status = restrict().context("cannot confine the daemon to its files (Landlock)")?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlocked::Fully,
        RulesetStatus::PartiallyEnforced => Landlocked::Partly,
        RulesetStatus::NotEnforced => Landlocked::Unsupported,
    })
}

/// Those that are not there are left out.
fn add(
    ruleset: landlock::RulesetCreated,
    paths: &[PathBuf],
    access: BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, landlock::RulesetError> {
    ruleset.add_rules(path_beneath_rules(paths, access))
}
