//! Clients and servers that we did not write, with Weir between them.

mod apache;
mod nginx;
mod program;
mod python;
mod site;

use std::{ffi::OsStr, fs, path::Path, process::Stdio};

use proxy_userspace::lab::{Family, Layout, Network};
use tempfile::TempDir;

pub use self::{
    program::Program,
    site::{Site, Sites},
};
use crate::{daemon::Weir, launch::Options, network};

/// Every [`Site`] behind the router, and a directory for the clients. Dropped in the order of its
/// fields.
#[derive(Debug)]
pub struct Peers {
    /// The daemon.
    pub weir: Weir,
    /// The servers.
    pub sites: Sites,
    /// The network.
    pub net: Network,
    directory: TempDir,
}

impl Peers {
    /// The default network and configuration.
    #[track_caller]
    #[must_use]
    pub fn new() -> Self {
        let net = network(&Layout::default());
        let sites = Sites::start(&net.origin);
        let weir = Weir::start(&net.router, &Options::default());
        Self {
            weir,
            sites,
            net,
            directory: tempfile::tempdir().unwrap_or_else(|error| panic!("tempdir: {error}")),
        }
    }

    /// Runs a client to its good end; what it printed to its standard output.
    ///
    /// # Panics
    ///
    /// When it is not there, naming the package, or fails.
    #[track_caller]
    pub fn run(
        &self,
        program: &str,
        package: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> String {
        let mut command = self.net.client.command(program);
        command
            .args(arguments)
            .envs(python::environment())
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (printed, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "{command:?} (package {package}): {}\n{printed}{errors}",
            output.status
        );
        printed
    }

    /// As [`Peers::run`], for a script in `tests/peers/`.
    #[track_caller]
    pub fn script(&self, name: &str, arguments: &[&str]) -> String {
        let path = python::script(name);
        let path = [path.as_str()];
        self.run("python3", "python3", path.iter().chain(arguments))
    }

    /// A file that a client has written to its directory.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[track_caller]
    #[must_use]
    pub fn file(&self, name: &str) -> Vec<u8> {
        read(&self.directory.path().join(name))
    }

    /// Puts a file into the clients' directory.
    ///
    /// # Panics
    ///
    /// When that fails.
    #[track_caller]
    pub fn put(&self, name: &str, octets: &[u8]) {
        let written = fs::write(self.directory.path().join(name), octets);
        written.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a server saw this client's address, on a connection of ours: `peer` is what it says
/// in [`Site::PEER`], `own` the port that the client says it had.
#[must_use]
pub fn spoofed(peer: &str, family: Family, own: &str) -> bool {
    peer.split_once(' ')
        .is_some_and(|(address, port)| address == family.client().to_string() && port != own)
}

#[track_caller]
fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
