//! The same site on three servers.

use std::{
    fs::{self, Permissions},
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use proxy_userspace::lab::{Family, Namespace, origin::Pattern};
use tempfile::TempDir;

use super::{Program, apache, nginx, python, read};

/// A server. Each has `/index.html`, `/big` ([`Site::big`]), `/gzip.txt` ([`Site::text`],
/// compressed for those who take it), and stores what is PUT to `/up/NAME`; nginx and Apache pass
/// `/socket` on to [`Sites::socket`]. Each says in a field [`Site::PEER`] whom it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// nginx, on the origin's first address.
    Nginx,
    /// Apache, on its second.
    Apache,
    /// Python's `http.server`, on its third.
    Python,
}

impl Site {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Apache, Self::Python];
    /// `X-Peer: ADDRESS PORT`.
    pub const PEER: &str = "X-Peer";
    /// What `/index.html` is.
    pub const INDEX: &[u8] = b"hello\n";

    /// Each of them for each family.
    pub fn everywhere() -> impl Iterator<Item = (Self, Family)> {
        let of = |site| Family::BOTH.map(|family| (site, family));
        Self::ALL.into_iter().flat_map(of)
    }

    /// A name, for messages and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache",
            Self::Python => "python",
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(self, family: Family) -> IpAddr {
        family.origin(self as u8)
    }

    /// The URL of a path that begins with `/`.
    #[must_use]
    pub fn url(self, family: Family, path: &str) -> String {
        format!("http://{}{path}", SocketAddr::new(self.address(family), 80))
    }

    /// What `/big` is: 8 MiB.
    #[must_use]
    pub fn big() -> Vec<u8> {
        Pattern::bytes(8 << 20)
    }

    /// What `/gzip.txt` is.
    #[must_use]
    pub fn text() -> String {
        "some text that gzip makes smaller ".repeat(1000)
    }

    fn addresses(self) -> [SocketAddr; 2] {
        Family::BOTH.map(|family| SocketAddr::new(self.address(family), 80))
    }
}

/// Every [`Site`], running.
#[derive(Debug)]
pub struct Sites {
    /// Dropped before the directory.
    _servers: [Program; 4],
    directory: TempDir,
}

impl Sites {
    /// Starts them in the namespace and waits until they answer.
    ///
    /// # Panics
    ///
    /// When a server is not there, naming the package, or does not start.
    #[must_use]
    pub fn start(origin: &Namespace) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("tempdir: {error}"));
        let root = directory.path();
        write_files(root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        let start = |site: Site, command| {
            let addresses = site.addresses();
            Program::start(site.name(), command, origin, &addresses)
        };
        let socket = Family::BOTH.map(Self::socket);
        let servers = [
            start(
                Site::Nginx,
                nginx::command(origin, root, Site::Nginx.addresses()),
            ),
            start(
                Site::Apache,
                apache::command(origin, root, Site::Apache.addresses()),
            ),
            start(
                Site::Python,
                python::site(origin, &html(root), Site::Python.addresses()),
            ),
            Program::start(
                "websockets",
                python::socket(origin, socket),
                origin,
                &socket,
            ),
        ];
        Self {
            _servers: servers,
            directory,
        }
    }

    /// What a client has PUT to `/up/NAME`.
    ///
    /// # Panics
    ///
    /// When it has not.
    #[track_caller]
    #[must_use]
    pub fn stored(&self, name: &str) -> Vec<u8> {
        read(&html(self.directory.path()).join("up").join(name))
    }

    /// Where a WebSocket server is: on the origin's last address.
    #[must_use]
    pub fn socket(family: Family) -> SocketAddr {
        SocketAddr::new(family.origin(3), 80)
    }
}

/// The document root of all servers.
pub(super) fn html(root: &Path) -> PathBuf {
    root.join("html")
}

/// Servers that give their privileges up write there as nobody.
fn write_files(root: &Path) -> std::io::Result<()> {
    let html = html(root);
    let up = html.join("up");
    fs::create_dir_all(&up)?;
    for (directory, mode) in [(root, 0o755), (&html, 0o755), (&up, 0o777)] {
        fs::set_permissions(directory, Permissions::from_mode(mode))?;
    }
    fs::write(html.join("index.html"), Site::INDEX)?;
    fs::write(html.join("big"), Site::big())?;
    fs::write(html.join("gzip.txt"), Site::text())
}
