//! A machine for what is installed: this host's files, with whatever becomes of them thrown away,
//! and a systemd of its own as the first process.
//!
//! It is in a network namespace of the test's, and has mounts, processes, control groups and
//! devices of its own. Of the host's units it has none but [`UNITS`].

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use proxy_userspace::lab::{Namespace, Output};
use tempfile::TempDir;

use crate::{
    said::Said,
    wait::{until, until_some},
};

const SOON: Duration = Duration::from_secs(60);

/// systemd's own units that the machine has.
const UNITS: [&str; 14] = [
    "basic.target",
    "multi-user.target",
    "network-online.target",
    "network.target",
    "paths.target",
    "shutdown.target",
    "slices.target",
    "sockets.target",
    "sysinit.target",
    "systemd-journald-dev-log.socket",
    "systemd-journald.service",
    "systemd-journald.socket",
    "timers.target",
    "umount.target",
];

/// What the machine's programs are found in.
const PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/// A machine that runs. Everything of it ends with its first process.
#[derive(Debug)]
pub struct Machine {
    directory: TempDir,
    process: Child,
    first: u32,
    output: Output,
}

impl Machine {
    /// Boots it in the namespace.
    ///
    /// # Panics
    ///
    /// When it does not come up, with what it has said.
    #[track_caller]
    #[must_use]
    pub fn boot(router: &Namespace) -> Self {
        assert!(
            Path::new("/lib/systemd/systemd").exists() && Path::new("/usr/bin/dpkg").exists(),
            "a machine is made of a Debian with systemd: apt-get install systemd"
        );
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("tempdir: {error}"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/machine.sh");
        let mut process = router
            .command("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--uts"])
            .args(["--ipc", "--cgroup", "--", "sh"])
            .arg(script)
            .arg(directory.path())
            .args(UNITS)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("unshare, of util-linux: {error}"));
        let output = Output::of(&mut process);
        let first = until_some(SOON, "the machine's first process", || {
            children(process.id()).into_iter().next()
        });
        let mut machine = Self {
            directory,
            process,
            first,
            output,
        };
        until(SOON, "the machine's boot", || {
            if let Ok(Some(status)) = machine.process.try_wait() {
                machine.output.finish();
                panic!("no machine: {status}\n{}", machine.output.text());
            }
            let state = machine.run(&["systemctl", "is-system-running"]).out;
            matches!(state.trim(), "running" | "degraded")
        });
        machine
    }

    /// A command for the machine.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.first.to_string()])
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"])
            .args(["--root", "--wd", "--", "env", "-i", PATH, "LC_ALL=C"])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output();
        Said::of(&output.unwrap_or_else(|error| panic!("nsenter, of util-linux: {error}")))
    }

    /// As [`Machine::run`], for what is meant to succeed: what it printed.
    ///
    /// # Panics
    ///
    /// When it does not, with the service's journal.
    #[track_caller]
    pub fn does(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(
            said.code,
            Some(0),
            "{arguments:?}: {said:?}\n{}",
            self.journal()
        );
        said.out
    }

    /// What the service has logged.
    #[must_use]
    pub fn journal(&self) -> String {
        let said = self.run(&[
            "journalctl",
            "--no-pager",
            "-o",
            "cat",
            "-u",
            "weir.service",
        ]);
        said.out + &said.err
    }

    /// A property of the service.
    #[track_caller]
    #[must_use]
    pub fn property(&self, name: &str) -> String {
        let shown = self.does(&["systemctl", "show", "--value", "-p", name, "weir.service"]);
        shown.trim().to_owned()
    }

    /// The service's main process, as this process knows it.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[track_caller]
    #[must_use]
    pub fn main_pid(&self) -> u32 {
        let within = self.property("MainPID");
        until_some(SOON, "the service's main process", || {
            processes().find(|pid| {
                let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                let ids = status.lines().find_map(|it| it.strip_prefix("NSpid:"));
                ids.and_then(|ids| ids.split_whitespace().last()) == Some(&within)
                    && same_namespace(*pid, self.first)
            })
        })
    }

    /// Puts a file onto the machine.
    ///
    /// # Panics
    ///
    /// When it cannot.
    #[track_caller]
    pub fn put(&self, path: &str, content: &[u8]) {
        let staged = self.directory.path().join("staged");
        let file = fs::write(&staged, content).and_then(|()| File::open(&staged));
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", staged.display()));
        let script = format!("mkdir -p $(dirname {path}) && cat > {path}");
        let put = self.command(&["sh", "-c", &script]).stdin(file).status();
        assert!(put.is_ok_and(|status| status.success()), "{path}");
    }

    /// Every file that is not as on the host, with what is in it.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    #[must_use]
    pub fn changed(&self) -> BTreeMap<PathBuf, String> {
        let changed = self.directory.path().join("changed");
        let mut found = BTreeMap::new();
        let mut directories = vec![changed.clone()];
        while let Some(directory) = directories.pop() {
            let entries = fs::read_dir(&directory)
                .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
            for entry in entries.flatten() {
                let path = entry.path();
                let name = path.strip_prefix(&changed).unwrap_or(&path).to_owned();
                let ours = Path::new("/").join(&name);
                let kind = entry.file_type().unwrap_or_else(|error| panic!("{error}"));
                let what = if kind.is_dir() {
                    directories.push(path);
                    if ours.is_dir() {
                        continue;
                    }
                    "a directory".to_owned()
                } else if kind.is_file() {
                    let read = |path| fs::read(path).unwrap_or_default();
                    let (theirs, ours) = (read(&path), read(&ours));
                    if theirs == ours {
                        continue;
                    }
                    String::from_utf8_lossy(&theirs).into_owned()
                } else if kind.is_char_device() {
                    "gone".to_owned()
                } else {
                    format!("{:?}", fs::read_link(&path))
                };
                found.insert(name, what);
            }
        }
        found
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the service has logged:\n{}---", self.journal());
        }
        // Its first process goes with it, and everything else with that one.
        let _ = self.process.kill();
        let _ = self.process.wait();
        until(SOON, "the machine's end", || {
            !Path::new(&format!("/proc/{}", self.first)).exists()
        });
    }
}

fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|it| it.parse().ok())
        .collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|it| it.file_name().to_str()?.parse().ok())
}

fn same_namespace(one: u32, other: u32) -> bool {
    let namespace = |pid| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    namespace(one).is_some() && namespace(one) == namespace(other)
}
