//! How the `weir` under test is found, configured and started.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitStatus, Stdio},
};

use proxy_userspace::lab::{LAN, WAN};
use tempfile::TempDir;

/// How a daemon is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Interfaces for `--lan`.
    pub lan: Vec<String>,
    /// Interfaces for `--wan`.
    pub wan: Vec<String>,
    /// TOML; tables `[log]` and `[bypass]` are added unless they are here.
    pub config: String,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
    /// The instance's name; a new one if absent.
    pub instance: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lan: vec![LAN.to_owned()],
            wan: vec![WAN.to_owned()],
            config: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            instance: None,
        }
    }
}

impl Options {
    /// The usual interfaces with this configuration.
    #[must_use]
    pub fn config(config: &str) -> Self {
        Self {
            config: config.to_owned(),
            ..Self::default()
        }
    }
}

/// A daemon that did not come to intercepting.
#[derive(Debug)]
pub struct Failed {
    /// Its instance name.
    pub instance: String,
    /// How it ended; 1 failed, 2 usage or configuration, …
    pub status: ExitStatus,
    /// What it said.
    pub output: String,
}

/// Runs `weir` with these arguments to its end.
///
/// # Panics
///
/// When it cannot be started.
#[must_use]
pub fn run_weir(arguments: &[&str]) -> process::Output {
    let output = Command::new(weir_binary())
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    output.unwrap_or_else(|error| panic!("weir {arguments:?}: {error}"))
}

/// The executable under test.
///
/// # Panics
///
/// When it is not there, with the command that makes it.
#[must_use]
pub fn weir_binary() -> PathBuf {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/weir");
    let path = env::var_os("WEIR_BIN").map_or_else(built, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is not there: run `cargo xtask build`",
        path.display()
    );
    path
}

/// A copy of the executable where everybody may execute it; it goes with the directory.
///
/// Another process writes it: a descriptor of ours would be inherited by what other threads start
/// at the time, and nobody can execute what somebody has open for writing.
///
/// # Panics
///
/// When it cannot be made.
#[must_use]
pub fn everybodys_weir() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("tempdir: {error}"));
    let path = directory.path().join("weir");
    let everybodys = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), everybodys)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.path().display()));
    let installed = Command::new("install")
        .args(["-m", "755"])
        .arg(weir_binary())
        .arg(&path)
        .status();
    assert!(
        installed.is_ok_and(|status| status.success()),
        "install, of coreutils, cannot make {}",
        path.display()
    );
    (directory, path)
}

pub(crate) fn spawn(netns: &str, instance: &str, options: &Options, directory: &Path) -> Child {
    let mut command = Command::new(weir_binary());
    command.args(["run", "--netns", netns, "--instance", instance, "--config"]);
    command.arg(directory.join("weir.toml"));
    for (option, interfaces) in [("--lan", &options.lan), ("--wan", &options.wan)] {
        for interface in interfaces {
            command.args([option, interface]);
        }
    }
    command.args(&options.arguments);
    command.envs(options.environment.iter().cloned());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

pub(crate) fn write_config(directory: &Path, config: &str) {
    let mut text = config.to_owned();
    for (table, key, file) in [
        ("[log]", "access", "access.log"),
        ("[bypass]", "directory", "bypass"),
    ] {
        if !config.contains(table) {
            let path = directory.join(file).display().to_string();
            text.push_str(&format!("\n{table}\n{key} = {path:?}\n"));
        }
    }
    let written = fs::write(directory.join("weir.toml"), text);
    written.unwrap_or_else(|error| panic!("weir.toml: {error}"));
}
