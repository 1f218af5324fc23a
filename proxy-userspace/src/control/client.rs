//! The commands' end of the control socket.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{Answer, FailureKind, Request, protocol::MAX_LINE, socket_path};

/// How long a daemon may take to take a request in.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests from this many octets on have a list in them.
const LARGE: usize = 1 << 20;

/// How long it may take to answer those: a list of a million entries is work for some seconds.
const WORK: Duration = Duration::from_secs(120);

/// Whether there is a daemon with this run directory that takes requests.
#[must_use]
pub fn is_listening(run_dir: &Path) -> bool {
    UnixStream::connect(socket_path(run_dir)).is_ok()
}

/// The longest pause before it is asked again, while one daemon takes over from another.
const AGAIN: Duration = Duration::from_millis(20);

/// Asks the daemon with this run directory.
///
/// # Errors
///
/// `NotFound` or `ConnectionRefused`: there is no daemon. `PermissionDenied`: not for this user.
pub fn call(run_dir: &Path, request: &Request) -> io::Result<Answer> {
    let began = Instant::now();
    // The other one serves by then. Whoever waited would find it handing over in its turn where
    // upgrades follow on each other, every time.
    let mut pause = Duration::ZERO;
    loop {
        match ask(run_dir, request)? {
            Answer::Failed {
                kind: FailureKind::Moved,
                ..
            } if began.elapsed() < PATIENCE => {
                thread::sleep(pause);
                pause = (pause * 2 + Duration::from_millis(1)).min(AGAIN);
            }
            answer => return Ok(answer),
        }
    }
}

fn ask(run_dir: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket_path(run_dir))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let patience = if line.len() < LARGE { PATIENCE } else { WORK };
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let refused = match stream.write_all(&line) {
        // Who may not ask is told so before it has, perhaps.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(error),
        asked => asked.map(|()| None)?,
    };
    let mut answer = String::new();
    let answered = BufReader::new(stream.take(MAX_LINE)).read_line(&mut answer);
    if answer.is_empty() {
        answered?;
        return Err(refused.unwrap_or_else(|| {
            io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the daemon closed the control connection without an answer",
            )
        }));
    }
    Ok(serde_json::from_str(&answer)?)
}
