//! The daemon's end of the control socket.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use nix::unistd::Gid;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Answer, FailureKind, Request, Watcher, protocol::MAX_LINE, socket_path, watching};
use crate::{
    observe::Seldom,
    sys::socket::{has_hung_up, peer_groups},
};

/// A request, and where its answer goes.
pub type Call = (Request, oneshot::Sender<Answer>);

/// Where what is asked for goes.
#[derive(Clone, Debug)]
pub struct Calls {
    /// Requests.
    pub requests: mpsc::Sender<Call>,
    /// Connections of processes that want to take over.
    pub successors: mpsc::Sender<UnixStream>,
    /// Those who want to watch.
    pub watchers: mpsc::Sender<Watcher>,
}

/// Who may talk to the daemon besides root.
#[derive(Clone, Copy, Debug, Default)]
pub struct Groups {
    /// Its members may read, and edit bypass lists.
    pub editors: Option<Gid>,
    /// Its members may read.
    pub readers: Option<Gid>,
}

impl Groups {
    /// Those that there are.
    pub fn all(self) -> impl Iterator<Item = Gid> {
        self.editors.into_iter().chain(self.readers)
    }

    /// The socket's group and mode. Where one is enough, nobody else gets as far as to be asked
    /// who he is; where there are two, everybody does, and that alone.
    fn access(self) -> (Option<Gid>, u32) {
        let groups: Vec<_> = self.all().collect();
        match groups.as_slice() {
            [] => (None, 0o600),
            [group] => (Some(*group), 0o660),
            [one, other] if one == other => (Some(*one), 0o660),
            _ => (None, 0o666),
        }
    }
}

/// How long a command may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long after its replacement somebody may still come to a socket: who has looked its file up
/// has yet to connect.
const LATE: Duration = Duration::from_millis(100);

/// Listens for commands while it lives; removes its socket when it is dropped.
pub struct Server {
    path: std::path::PathBuf,
    /// The socket's file may be another process's by now.
    inode: u64,
    retired: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Listens in `run_dir`; each request goes to `calls`. The caller holds the instance's lock,
    /// so a socket that is there is a dead daemon's, or that of one that hands over: it is
    /// replaced, so that there is one at any moment.
    ///
    /// # Errors
    ///
    /// If the socket cannot be made.
    pub fn start(run_dir: &Path, calls: Calls, groups: Groups) -> io::Result<Self> {
        let path = socket_path(run_dir);
        let new = path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&new)?;
        let (group, mode) = groups.access();
        std::os::unix::fs::chown(&new, None, group.map(Gid::as_raw))?;
        fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
        let inode = fs::metadata(&new)?.ino();
        fs::rename(&new, &path)?;
        let retired = CancellationToken::new();
        let is_retired = retired.clone();
        let task = tokio::spawn(async move {
            loop {
                let next = async {
                    tokio::select! {
                        biased;
                        accepted = listener.accept() => Some(accepted),
                        () = async { is_retired.cancelled().await; sleep(LATE).await } => None,
                    }
                };
                match next.await {
                    Some(Ok((stream, _))) => {
                        let calls = calls.clone();
                        tokio::spawn(async move {
                            if let Err(error) = serve(stream, calls, groups).await {
                                tracing::debug!(%error, "control connection");
                            }
                        });
                    }
                    Some(Err(error)) => {
                        static TOLD: Seldom = Seldom::new(1);
                        if let Some(held_back) = TOLD.pass() {
                            tracing::warn!(%error, held_back, "control socket");
                        }
                        sleep(Duration::from_millis(100)).await;
                    }
                    None => return,
                }
            }
        });
        Ok(Self {
            path,
            inode,
            retired,
            task,
        })
    }

    /// Whether nobody has put another socket in its place.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.ino() == self.inode)
    }

    /// Ends when it has accepted those who had connected before another socket took its place.
    pub async fn retire(mut self) {
        self.retired.cancel();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

async fn serve(stream: UnixStream, calls: Calls, groups: Groups) -> io::Result<()> {
    let rank = Rank::of(&stream, groups)?;
    let (read, mut write) = stream.into_split();
    if rank == Rank::Other {
        // It has no time of ours, nor a task: it could have thousands.
        return answer_with(&mut write, &rank.refusal()).await;
    }
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(MAX_LINE));
    timeout(PATIENCE, reader.read_line(&mut line)).await??;
    if has_hung_up(write.as_ref()) {
        // It waited for a daemon that hung, gave up, and has reported that nothing was done.
        return Ok(());
    }
    let answer = match serde_json::from_str(&line) {
        Ok(Request::TakeOver) if rank.may(&Request::TakeOver) => {
            let read = reader.into_inner().into_inner();
            let stream = read.reunite(write).map_err(io::Error::other)?;
            // If there is nobody to take it, its end is the answer.
            let _ = calls.successors.send(stream).await;
            return Ok(());
        }
        Ok(request) if !rank.may(&request) => rank.refusal(),
        Ok(Request::Watch(wanted)) => {
            return watching::serve(wanted, calls.watchers, reader, write).await;
        }
        Ok(request) => {
            let (reply, answer) = oneshot::channel();
            let gone = || Answer::failed("the daemon is stopping");
            match calls.requests.send((request, reply)).await {
                Ok(()) => answer.await.unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            }
        }
        Err(error) => Answer::refused(format!("not a request: {error}")),
    };
    answer_with(&mut write, &answer).await
}

async fn answer_with(write: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    Root,
    Editor,
    Reader,
    Other,
}

impl Rank {
    /// By the credentials that the process had when it connected (`unix(7)`).
    fn of(stream: &UnixStream, groups: Groups) -> io::Result<Self> {
        let peer = stream.peer_cred()?;
        if peer.uid() == 0 {
            return Ok(Self::Root);
        }
        if groups.all().next().is_none() {
            return Ok(Self::Other);
        }
        let theirs = peer_groups(stream)?;
        let is_member = |group: Option<Gid>| {
            let group = group.map(Gid::as_raw);
            group.is_some_and(|group| peer.gid() == group || theirs.contains(&group))
        };
        Ok(if is_member(groups.editors) {
            Self::Editor
        } else if is_member(groups.readers) {
            Self::Reader
        } else {
            Self::Other
        })
    }

    fn may(self, request: &Request) -> bool {
        match self {
            Self::Root => true,
            Self::Editor => request.is_for_editors(),
            Self::Reader => request.is_for_readers(),
            Self::Other => false,
        }
    }

    fn refusal(self) -> Answer {
        let message = match self {
            Self::Editor => "not permitted: only root may do this to a daemon",
            Self::Reader => "not permitted: members of control.read_group may read, and no more",
            Self::Root | Self::Other => {
                "not permitted: only root and members of the groups that control.group and \
                 control.read_group name may talk to the daemon"
            }
        };
        Answer::Failed {
            kind: FailureKind::NotPermitted,
            message: message.to_owned(),
        }
    }
}
