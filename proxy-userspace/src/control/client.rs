//! The commands' end of the control socket.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::{Answer, Request, protocol::MAX_LINE, socket_path};

/// How long a daemon may take to answer. It edits and reads maps; it does not wait for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the daemon with this run directory.
///
/// # Errors
///
/// `NotFound` or `ConnectionRefused`: there is no daemon. `PermissionDenied`: not for this user.
pub fn call(run_dir: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket_path(run_dir))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the daemon closed the control connection without an answer",
        ));
    }
    Ok(serde_json::from_str(&answer)?)
}
