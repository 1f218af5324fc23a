//! Python's `http.server` and `websockets`, with the scripts in `tests/peers/`.

use std::{env, net::SocketAddr, path::Path, process::Command};

use proxy_userspace::lab::Namespace;

/// A site with its files in `html`.
pub(super) fn site(origin: &Namespace, html: &Path, addresses: [SocketAddr; 2]) -> Command {
    let mut command = origin.command("python3");
    command.arg(script("server.py")).arg(html);
    command.args(addresses.map(|address| address.ip().to_string()));
    command
}

/// A WebSocket server; the addresses have one port.
pub(super) fn socket(origin: &Namespace, addresses: [SocketAddr; 2]) -> Command {
    let mut command = origin.command("python3");
    command.arg(script("websocket_server.py"));
    command.arg(addresses[0].port().to_string());
    command.args(addresses.map(|address| address.ip().to_string()));
    command.envs(environment());
    command
}

/// The path of a script.
pub(super) fn script(name: &str) -> String {
    format!("{}/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Where `websockets` is, if Python does not know it by itself.
pub(super) fn environment() -> Option<(&'static str, String)> {
    let path = env::var("WEIR_PYTHONPATH").ok()?;
    (!path.is_empty()).then_some(("PYTHONPATH", path))
}
