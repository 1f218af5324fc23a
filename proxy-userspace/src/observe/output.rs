//! Where the access log's lines end up: a file, standard output, the journal, or nowhere.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
};
use tracing::{error, info};

use super::journal::Journal;

/// Who asked for what is nobody's business but the owner's and the group's.
const MODE: u32 = 0o640;

/// How long to leave a full pipe or terminal alone that somebody made non-blocking.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// How often a journal that went away is looked for.
const RECONNECT: Duration = Duration::from_secs(1);

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of a file, which is created with mode 0640 if it is missing; its directory
    /// must exist. A named pipe must have a reader.
    File(PathBuf),
    /// To the journal of systemd, at this socket.
    Journald(PathBuf),
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
            Self::Journald(path) => write!(f, "journald ({})", path.display()),
        }
    }
}

/// Why there is no access log.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// The file, or standard output, cannot be opened.
    #[error(
        "cannot open access log {sink}: {source}; {} (log.access)",
        remedy(sink, source)
    )]
    Open {
        /// What was to be opened.
        sink: Sink,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no thread for the writer.
    #[error("cannot start the access log's thread: {0}; is a limit on tasks reached?")]
    Thread(io::Error),
}

/// What the operator can do.
fn remedy(sink: &Sink, cause: &io::Error) -> &'static str {
    match sink {
        Sink::Journald(_) => "is systemd-journald running, and its socket at log.journal?",
        _ if cause.raw_os_error() == Some(Errno::ENXIO as i32) => {
            "nobody reads this pipe: start its reader first"
        }
        _ if cause.raw_os_error() == Some(Errno::EACCES as i32) => {
            "it must be writable for the daemon's user (security.user), and its directory be the \
             one of the start (security.landlock)"
        }
        _ => "its directory must exist and be writable",
    }
}

type Out = Box<dyn Write + Send>;
type Open = Box<dyn FnMut() -> io::Result<Out> + Send>;

/// A sink that is open, or was until it failed.
pub(super) struct Output {
    name: String,
    /// `None`: lines are not wanted at all.
    open: Option<Open>,
    /// `None`: nothing can be written until the next [`Output::reopen`].
    out: Option<Out>,
    /// It is opened anew by itself: its other end may go away for a moment.
    reconnects: bool,
    /// Not before this time again.
    next_try: Option<Instant>,
}

impl Output {
    pub(super) fn open(sink: &Sink) -> Result<Self, AccessLogError> {
        let name = sink.to_string();
        let result = match sink {
            Sink::Off => {
                return Ok(Self {
                    name,
                    open: None,
                    out: None,
                    reconnects: false,
                    next_try: None,
                });
            }
            // The descriptor itself: `io::Stdout` keeps what it could not write and would not
            // tell which lines are lost.
            Sink::Stdout => Self::opened(name, || {
                Ok(Box::new(File::from(
                    io::stdout().as_fd().try_clone_to_owned()?,
                )))
            }),
            Sink::File(path) => {
                let path = path.clone();
                Self::opened(name, move || Ok(Box::new(append(&path)?)))
            }
            Sink::Journald(path) => {
                let path = path.clone();
                Self::opened(name, move || Ok(Box::new(Journal::connect(&path)?))).map(|output| {
                    Self {
                        reconnects: true,
                        ..output
                    }
                })
            }
        };
        result.map_err(|source| AccessLogError::Open {
            sink: sink.clone(),
            source,
        })
    }

    /// An output that `open` opens, now and again at each [`Output::reopen`].
    pub(super) fn opened(
        name: String,
        mut open: impl FnMut() -> io::Result<Out> + Send + 'static,
    ) -> io::Result<Self> {
        let out = Some(open()?);
        Ok(Self {
            name,
            open: Some(Box::new(open)),
            out,
            reconnects: false,
            next_try: None,
        })
    }

    pub(super) fn is_off(&self) -> bool {
        self.open.is_none()
    }

    /// Writes whole lines and returns how many of them were lost. The first failure is reported;
    /// from then on every line is lost until [`Output::reopen`].
    pub(super) fn write(&mut self, lines: &[u8]) -> u64 {
        if self.is_off() || lines.is_empty() {
            return 0;
        }
        if self.out.is_none() && self.reconnects {
            self.reconnect();
        }
        let Some(out) = &mut self.out else {
            return count(lines);
        };
        let Err((mut rest, mut cause)) = write_all(out, lines) else {
            return 0;
        };
        self.out = None;
        if self.reconnects
            && self.reconnect()
            && let Some(out) = &mut self.out
        {
            match write_all(out, rest) {
                Ok(()) => return 0,
                Err(again) => (rest, cause) = again,
            }
            self.out = None;
        }
        let remedy = if self.reconnects {
            "until it is there again"
        } else {
            "until SIGUSR1 opens it anew"
        };
        error!(path = %self.name, %cause, "access log cannot be written, lines are lost {remedy}");
        count(rest)
    }

    /// Tries to open the sink anew, now and then.
    fn reconnect(&mut self) -> bool {
        let now = Instant::now();
        if self.next_try.is_some_and(|then| now < then) {
            return false;
        }
        self.next_try = Some(now + RECONNECT);
        self.out = self.open.as_mut().and_then(|open| open().ok());
        self.out.is_some()
    }

    /// Opens the sink anew. If that fails, lines are lost until it works.
    pub(super) fn reopen(&mut self) {
        let Some(open) = &mut self.open else { return };
        self.out = None;
        match open() {
            Ok(out) => {
                info!(path = %self.name, "access log opened anew");
                self.out = Some(out);
            }
            Err(cause) => error!(
                path = %self.name, %cause,
                "access log cannot be opened anew, lines are lost until SIGUSR1 tries again"
            ),
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        // A pipe without a reader is an error, where the daemon would wait for one otherwise.
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    // From here on only the writer's thread waits, for as long as the reader likes.
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    if ends_within_a_line(path) {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// Whether a full disk or a crash has left half a line, which the next one must not be glued to.
/// What cannot be read back (a pipe, a file that we may only write) counts as whole.
fn ends_within_a_line(path: &Path) -> bool {
    let last_byte = || -> io::Result<u8> {
        if !path.metadata()?.is_file() {
            return Ok(b'\n');
        }
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok(last[0])
    };
    last_byte().is_ok_and(|byte| byte != b'\n')
}

/// `Write::write_all` that tells what is left when it fails.
fn write_all<'a>(out: &mut Out, lines: &'a [u8]) -> Result<(), (&'a [u8], io::Error)> {
    let mut rest = lines;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err((rest, io::ErrorKind::WriteZero.into())),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(BUSY_PAUSE),
            Err(error) => return Err((rest, error)),
        }
    }
    out.flush().map_err(|error| (rest, error))
}

/// Each line has one line feed, its last byte.
fn count(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    };

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    /// Takes so many bytes, then fails.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(taken)
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn files_are_appended_to_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.json");
        let sink = Sink::File(path.clone());
        assert_eq!(Output::open(&sink).unwrap().write(b"1\n2\n"), 0);
        assert_eq!(Output::open(&sink).unwrap().write(b"3\n"), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
    }

    #[test]
    fn half_a_line_is_ended_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.json");
        fs::write(&path, "1\n{\"ti").unwrap();
        Output::open(&Sink::File(path.clone()))
            .unwrap()
            .write(b"2\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n{\"ti\n2\n");
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let error = Output::open(&Sink::File("/nowhere/access.json".into()))
            .err()
            .unwrap();
        assert!(
            error
                .to_string()
                .starts_with("cannot open access log /nowhere/access.json: No")
        );
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_an_error_and_no_wait() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let sink = Sink::File(path.clone());
        let error = Output::open(&sink).err().unwrap().to_string();
        assert!(error.contains("nobody reads this pipe"), "{error}");

        let mut reader = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path)
            .unwrap();
        let mut output = Output::open(&sink).unwrap();
        assert_eq!(output.write(b"1\n"), 0);
        let mut line = [0; 2];
        reader.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"1\n");
        drop(reader);
        assert_eq!(output.write(b"2\n"), 1, "the reader is gone");
    }

    #[test]
    fn standard_output_can_be_opened() {
        assert!(!Output::open(&Sink::Stdout).unwrap().is_off());
    }

    #[test]
    fn off_loses_nothing() {
        let mut output = Output::open(&Sink::Off).unwrap();
        assert!(output.is_off());
        output.reopen();
        assert_eq!(output.write(b"1\n"), 0);
    }

    #[test]
    fn a_failure_loses_what_was_not_written_and_all_until_reopened() {
        let mut room = [4, 100].into_iter();
        let mut output = Output::opened("x".into(), move || match room.next() {
            Some(room) => Ok(Box::new(Full(room)) as Out),
            None => Err(io::ErrorKind::NotFound.into()),
        })
        .unwrap();
        assert_eq!(output.write(b"1\n"), 0);
        assert_eq!(output.write(b"2\n3\n4\n"), 2, "line 2 was written");
        assert_eq!(output.write(b"5\n"), 1);
        output.reopen();
        assert_eq!(output.write(b"6\n"), 0);
        output.reopen();
        assert_eq!(output.write(b"7\n8\n"), 2, "could not be opened");
    }

    #[test]
    fn a_journal_that_comes_back_is_written_to_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        assert!(Output::open(&Sink::Journald(path.clone())).is_err());
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut output = Output::open(&Sink::Journald(path.clone())).unwrap();
        assert_eq!(output.write(b"1\n"), 0);
        drop(journald);
        assert_eq!(output.write(b"2\n3\n"), 2, "nobody is there");
        fs::remove_file(&path).unwrap();
        let journald = UnixDatagram::bind(&path).unwrap();
        output.next_try = None;
        assert_eq!(output.write(b"4\n"), 0);
        let mut datagram = [0; 100];
        let length = journald.recv(&mut datagram).unwrap();
        assert!(datagram[..length].ends_with(b"MESSAGE=4\n"));
    }
}
