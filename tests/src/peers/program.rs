//! A server's process.

use std::{
    env,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use proxy_userspace::lab::{Namespace, Output};

use crate::{
    client::{Dial, dial},
    wait::until,
};

/// A running server; on drop it is asked to end, and waited for.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    child: Child,
    output: Output,
}

impl Program {
    /// Starts `command`, which has to run inside `namespace`, and waits until connections to each
    /// of these addresses of the namespace are accepted.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or ends, with its output.
    #[must_use]
    pub fn start(
        name: &'static str,
        mut command: Command,
        namespace: &Namespace,
        addresses: &[SocketAddr],
    ) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Output::of(&mut child);
        let mut program = Self {
            name,
            child,
            output,
        };
        for address in addresses {
            program.wait_until_up(namespace, *address);
        }
        program
    }

    fn wait_until_up(&mut self, namespace: &Namespace, address: SocketAddr) {
        until(Duration::from_secs(20), self.name, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.output.finish();
                panic!("{}: {status}\n{}", self.name, self.output.text());
            }
            let way = Dial::new((address.ip(), 0), address);
            namespace
                .run(|| dial(&way).is_ok())
                .unwrap_or_else(|error| panic!("{error}"))
        });
    }
}

/// An executable: the one in the environment's `variable`, or on the PATH.
///
/// # Panics
///
/// When there is none, naming the package.
pub(super) fn find(name: &str, variable: &str, package: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable).map(PathBuf::from) {
        assert!(
            path.is_file(),
            "{variable}: {} is not there",
            path.display()
        );
        return path;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!("no {name} on the PATH, nor in {variable}: install the package {package}")
        })
}

impl Drop for Program {
    fn drop(&mut self) {
        // SIGTERM, not SIGKILL: a master ends its workers.
        let pid = i32::try_from(self.child.id()).map(Pid::from_raw);
        if let Ok(pid) = pid {
            let _ = kill(pid, Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}
