//! The rest of a daemon that has been taken over from: its connections run to their end.

use std::time::Duration;

use anyhow::Result;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, ReadHalf, WriteHalf},
    net::UnixStream,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use super::{inputs::Signals, keeper::Running, settings::Lasting, stop::CUT};

/// How often the successor is told how many connections are left.
const REPORT: Duration = Duration::from_secs(1);

/// How long those may take who have connected to the control socket, and say nothing.
const ANSWERS: Duration = Duration::from_secs(1);

/// What the successor has said.
enum Word {
    /// The host is being given back: so many milliseconds are left.
    Stop(u64),
    /// This generation has to end now, and why.
    Cut(String),
    /// Nothing that this version knows.
    Other,
    /// It has gone.
    Gone,
}

/// Lets connections that are under way run to their end; the host is the successor's.
pub(super) async fn retire(running: Running, successor: UnixStream) -> Result<()> {
    let Running {
        mut keeper,
        inputs,
        mut workers,
        claim,
    } = running;
    for worker in &workers {
        worker.retire();
    }
    // At once: should the successor die this moment, they are what says that somebody listens.
    keeper.listeners.clear();
    keeper.lasting.drain.cancel();
    let (mut signals, answered) = inputs.retire();
    // Its locks are the successor's as well, who has them still.
    drop(claim);
    let lasting = keeper.lasting.clone();
    // What is on a link of this process goes with it; the successor's own is in place.
    drop(keeper);
    let active = lasting.stats.active();
    tracing::info!(
        active,
        "handed over: connections that are under way go on here"
    );

    let done = async {
        for worker in &mut workers {
            let _ = (&mut worker.done).await;
        }
        let _ = timeout(ANSWERS, answered).await;
    };
    drain(&lasting, Successor::new(successor), &mut signals, done).await;
    for worker in workers {
        worker.join();
    }
    lasting.log.close();
    tracing::info!("the last connection of this process has ended");
    Ok(())
}

/// Waits until all is `done`, or has to be cut.
async fn drain(
    lasting: &Lasting,
    mut successor: Successor,
    signals: &mut Signals,
    done: impl Future<Output = ()>,
) {
    let mut done = std::pin::pin!(done);
    let mut deadline = None;
    let mut reports = interval(REPORT);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let why = loop {
        tokio::select! {
            () = &mut done => return,
            _ = reports.tick() => successor.tell(lasting.stats.active()).await,
            word = successor.word() => match word {
                Word::Stop(left) => deadline = Some(Instant::now() + Duration::from_millis(left)),
                Word::Cut(why) => break why,
                Word::Other | Word::Gone => {}
            },
            () = until(deadline) => break "drain deadline reached".to_owned(),
            () = signals.end() => break "told to stop".to_owned(),
        }
    };
    tracing::warn!(
        active = lasting.stats.active(),
        "{why}: cutting what is left"
    );
    lasting.cut.cancel();
    let _ = timeout(CUT, done).await;
}

struct Successor {
    read: Lines<BufReader<ReadHalf<UnixStream>>>,
    write: WriteHalf<UnixStream>,
    gone: bool,
}

impl Successor {
    fn new(stream: UnixStream) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            read: BufReader::new(read).lines(),
            write,
            gone: false,
        }
    }

    async fn tell(&mut self, active: u64) {
        let _ = self
            .write
            .write_all(format!("active {active}\n").as_bytes())
            .await;
    }

    /// The next word. Cancel-safe.
    async fn word(&mut self) -> Word {
        if self.gone {
            return std::future::pending().await;
        }
        let Ok(Some(line)) = self.read.next_line().await else {
            // Whoever comes next knows nothing of this process; what it has, ends by itself.
            self.gone = true;
            return Word::Gone;
        };
        match line.split_once(' ') {
            Some(("stop", left)) => left.parse().map_or(Word::Other, Word::Stop),
            Some(("cut", why)) => Word::Cut(why.to_owned()),
            _ => Word::Other,
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
