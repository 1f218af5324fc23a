//! A network namespace of this process: made, entered, configured, and removed on drop.
//!
//! Names are `weir-<pid>-<number>-<role>`, so that several processes build networks side by side
//! and what a killed one left behind is recognised by its dead pid.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use nix::{
    mount::{MntFlags, umount2},
    sched::{CloneFlags, setns},
};

use super::error::{LabError, Result};

/// Where iproute2 keeps named network namespaces.
const NETNS: &str = "/run/netns";

/// A named network namespace, removed on drop (also by a panic's unwinding).
///
/// Its sockets and interfaces go when the last process or descriptor in it does; stop what was
/// started inside first.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: Arc<File>,
}

impl Namespace {
    /// Makes a further one, beside those of a network.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn further(role: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-{}-x{number}-{role}", std::process::id());
        ip_batch(&[format!("netns add {name}")])?;
        Self::adopt(name)
    }

    /// Takes charge of a namespace that `ip netns add` has made.
    pub(super) fn adopt(name: String) -> Result<Self> {
        let path = path(&name);
        let handle =
            File::open(&path).map_err(LabError::io(format!("opening {}", path.display())))?;
        Ok(Self {
            name,
            handle: Arc::new(handle),
        })
    }

    /// The name, as `ip netns` and `weir run --netns` take it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread inside the namespace and returns what it returned.
    ///
    /// Sockets made there stay there wherever they are used later, and threads and processes
    /// started by `work` are inside as well. A panic of `work` goes on in the caller.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| self.enter().map(|()| work()));
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command that will run `program` inside, by `ip netns exec`.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Loads nftables rules, in the syntax of `nft -f`.
    ///
    /// # Errors
    ///
    /// When `nft` is missing or refuses the rules.
    pub fn nft(&self, rules: &str) -> Result<()> {
        require("nft", "nftables")?;
        let mut command = self.command("nft");
        command.args(["-f", "-"]);
        feed(command, rules, &format!("nft in {}", self.name))
    }

    /// Sets a sysctl of the namespace; `key` with dots or slashes, as `sysctl(8)` takes it.
    ///
    /// # Errors
    ///
    /// When there is no such key or its value is refused.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = sysctl_path(key);
        self.run(|| fs::write(&path, value))?
            .map_err(LabError::io(format!(
                "setting {key}={value} in {}",
                self.name
            )))
    }

    /// Reads a sysctl of the namespace, without the line end.
    ///
    /// # Errors
    ///
    /// When there is no such key.
    pub fn read_sysctl(&self, key: &str) -> Result<String> {
        let path = sysctl_path(key);
        let value = self
            .run(|| fs::read_to_string(&path))?
            .map_err(LabError::io(format!("reading {key} in {}", self.name)))?;
        Ok(value.trim_end().to_owned())
    }

    /// Runs one `ip` command inside and returns its output.
    ///
    /// # Errors
    ///
    /// When `ip` fails.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        let what = format!("ip {} in {}", arguments.join(" "), self.name);
        let output = Command::new("ip")
            .args(["-n", &self.name])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(LabError::io(&what))?;
        if !output.status.success() {
            let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(LabError::Command { what, detail });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `ip` commands inside, one a line.
    pub(super) fn ip_batch(&self, lines: &[String]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name, "-batch", "-"]);
        feed(
            command,
            &lines.join("\n"),
            &format!("ip -batch in {}", self.name),
        )
    }

    fn enter(&self) -> Result<()> {
        setns(&*self.handle, CloneFlags::CLONE_NEWNET).map_err(|errno| LabError::Enter {
            name: self.name.clone(),
            source: errno.into(),
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Runs `ip` commands outside of any lab namespace, one a line.
pub(super) fn ip_batch(lines: &[String]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]);
    feed(command, &lines.join("\n"), "ip -batch")
}

/// Removes the namespaces that labs of processes which no longer live have left.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(NETNS) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove(&name);
        }
    }
}

/// An error that names the package unless `tool` is on the PATH.
///
/// # Errors
///
/// When it is not.
pub fn require(tool: &str, package: &'static str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|directory| directory.join(tool).is_file()) {
        return Ok(());
    }
    Err(LabError::MissingTool {
        tool: tool.to_owned(),
        package,
    })
}

/// The pid in a lab namespace's name; `None` for everybody else's namespaces.
fn owner(name: &str) -> Option<u32> {
    let mut parts = name.strip_prefix("weir-")?.split('-');
    let pid = parts.next()?.parse().ok()?;
    let _number: u32 = parts.next()?.parse().ok()?;
    parts.next().filter(|role| !role.is_empty())?;
    parts.next().is_none().then_some(pid)
}

/// What `ip netns del` does, without a process. Failures are left to the next sweep.
fn remove(name: &str) {
    let path = path(name);
    let unmounted = umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    let removed = fs::remove_file(&path);
    if let Err(error) = removed {
        tracing::debug!(namespace = name, ?unmounted, %error, "lab namespace not removed");
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(NETNS).join(name)
}

fn sysctl_path(key: &str) -> PathBuf {
    let key = if key.contains('/') {
        key.to_owned()
    } else {
        key.replace('.', "/")
    };
    Path::new("/proc/sys").join(key)
}

/// Runs `command` with `input` on its standard input.
fn feed(mut command: Command, input: &str, what: &str) -> Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(LabError::io(what))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that fails early closes its end; its standard error tells more than EPIPE.
        let _ = stdin
            .write_all(input.as_bytes())
            .and_then(|()| stdin.write_all(b"\n"));
    }
    let output = child.wait_with_output().map_err(LabError::io(what))?;
    if output.status.success() {
        return Ok(());
    }
    let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LabError::Command {
        what: what.to_owned(),
        detail: format!("{detail}\ninput:\n{input}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_labs_have_an_owner() {
        assert_eq!(owner("weir-4711-0-rtr"), Some(4711));
        for name in [
            "weir",
            "weir-4711",
            "weir-4711-0",
            "weir-4711-0-",
            "weir-x-0-rtr",
            "prod",
        ] {
            assert_eq!(owner(name), None, "{name}");
        }
        assert_eq!(owner("weir-4711-0-rtr-mine"), None);
    }

    #[test]
    fn sysctl_keys_with_dots_or_slashes() {
        assert_eq!(
            sysctl_path("net.ipv4.ip_forward"),
            Path::new("/proc/sys/net/ipv4/ip_forward")
        );
        assert_eq!(
            sysctl_path("net/ipv4/conf/eth0.7/rp_filter"),
            Path::new("/proc/sys/net/ipv4/conf/eth0.7/rp_filter")
        );
    }
}
