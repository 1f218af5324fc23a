//! Which files the daemon needs while it serves.

use std::path::{Path, PathBuf};

use crate::{
    config::{AccessTarget, Config},
    daemon::Source,
};

/// What is read in passing: the resolver's and the time zones' files, devices, the kernel's.
const SYSTEM: [&str; 8] = [
    "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sys", "/usr",
];

/// What is written in passing: pipes and terminals that the access log goes to, and kernel
/// parameters of bridges.
const DEVICES: [&str; 2] = ["/dev", "/proc/sys/net"];

/// Where an access log may be from a reload on, if there is that directory.
const LOGS: &str = "/var/log/weir";

/// Directories, each with all that is below it.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Files {
    /// What is in them may be read.
    pub(super) read: Vec<PathBuf>,
    /// What is there may be written as well, but nothing made.
    pub(super) write: Vec<PathBuf>,
    /// Files may be made and removed in them as well.
    pub(super) make: Vec<PathBuf>,
}

impl Files {
    /// Those that a daemon with this run directory and configuration needs.
    pub(in crate::daemon) fn of(
        run_dir: &Path,
        instance: &str,
        config: &Config,
        source: &Source,
    ) -> Self {
        let mut files = Self {
            read: SYSTEM.map(PathBuf::from).into(),
            write: DEVICES.map(PathBuf::from).into(),
            make: vec![
                run_dir.to_owned(),
                config.bypass.path(instance),
                LOGS.into(),
            ],
        };
        let inputs = config.bypass.feeds.iter().chain(&source.file);
        files.read.extend(inputs.filter_map(|it| directory_of(it)));
        if let AccessTarget::File(path) = &config.log.access {
            files.make.extend(directory_of(path));
        }
        files
    }
}

/// A file can be replaced by another one of its name.
fn directory_of(file: &Path) -> Option<PathBuf> {
    // A relative path is one of the directory in which the daemon was started.
    let file = std::path::absolute(file).ok()?;
    file.parent().map(Path::to_owned)
}
