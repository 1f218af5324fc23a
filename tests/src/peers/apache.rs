//! Apache, with a configuration of our own: installed, or unpacked somewhere.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use proxy_userspace::lab::{Family, Namespace};

use super::{
    program,
    site::{Site, Sites, html},
};

const MODULES: [&str; 10] = [
    "authz_core",
    "dav",
    "dav_fs",
    "deflate",
    "filter",
    "headers",
    "mpm_event",
    "proxy",
    "proxy_http",
    "proxy_wstunnel",
];

pub(super) fn command(origin: &Namespace, root: &Path, addresses: [SocketAddr; 2]) -> Command {
    let apache = program::find("apache2", "WEIR_APACHE", "apache2-bin");
    // usr/sbin/apache2 and usr/lib, wherever the package has been unpacked.
    let libraries = apache
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("/usr"))
        .join("lib");
    let file = root.join("apache.conf");
    let written = fs::write(&file, configuration(root, &libraries, addresses));
    written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut command = origin.command(&apache.display().to_string());
    command.args(["-D", "FOREGROUND", "-f"]).arg(&file);
    command.env("LD_LIBRARY_PATH", library_path(&libraries));
    command
}

fn configuration(root: &Path, libraries: &Path, [ipv4, ipv6]: [SocketAddr; 2]) -> String {
    let modules = libraries.join("apache2/modules");
    let load = MODULES.map(|module| {
        format!(
            "LoadModule {module}_module {}/mod_{module}.so\n",
            modules.display()
        )
    });
    let (load, html, root) = (
        load.concat(),
        html(root).display().to_string(),
        root.display(),
    );
    let (peer, socket) = (Site::PEER, Sites::socket(Family::V4));
    format!(
        "{load}\
         ServerRoot {root}\n\
         ServerName lab\n\
         DefaultRuntimeDir {root}\n\
         PidFile {root}/apache.pid\n\
         ErrorLog /dev/stderr\n\
         Listen {ipv4}\n\
         Listen {ipv6}\n\
         User #65534\n\
         Group #65534\n\
         MaxKeepAliveRequests 0\n\
         DocumentRoot {html}\n\
         DavLockDB {root}/html/up/.lock\n\
         Header always set {peer} \"expr=%{{REMOTE_ADDR}} %{{REMOTE_PORT}}\"\n\
         <Location /gzip.txt>\n\
           ForceType text/plain\n\
           SetOutputFilter DEFLATE\n\
         </Location>\n\
         <Location /up>\n\
           Dav On\n\
         </Location>\n\
         ProxyPass /socket ws://{socket}/\n"
    )
}

/// The directories of shared libraries below `libraries`: those of each architecture.
fn library_path(libraries: &Path) -> String {
    let entries = fs::read_dir(libraries).into_iter().flatten().flatten();
    let of_an_architecture = |name: &str| name.ends_with("-linux-gnu");
    let paths = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(of_an_architecture))
        .map(|entry| entry.path().display().to_string());
    paths.collect::<Vec<_>>().join(":")
}
