//! The rest of a daemon that has been taken over from: its connections run to their end.

use std::time::Duration;

use anyhow::Result;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, ReadHalf},
    net::UnixStream,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use super::{
    elsewhere::{Counted, Question},
    inputs::Signals,
    keeper::Running,
    settings::Lasting,
    stop::CUT,
};

/// How often the successor is told how many connections are left.
const REPORT: Duration = Duration::from_secs(1);

/// How long those may take who have connected to the control socket, and say nothing.
const ANSWERS: Duration = Duration::from_secs(1);

/// How long the successor may take to hear what is left to be said in the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the successor has said.
enum Word {
    /// The host is being given back: so many milliseconds are left.
    Stop(u64),
    /// This generation has to end now, and why.
    Cut(String),
    /// It wants to know something, and have the answer with that.
    Ask(String, Question),
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
    // The programs look at the successor's table, and nothing more is counted in this one's.
    keeper.carry_hits();
    let counted = keeper.lists.counted(&keeper.dataplane);
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
    let mut successor = Successor::new(successor);
    successor.count_on(&counted);
    drain(&lasting, &mut successor, &mut signals, done).await;
    for worker in workers {
        worker.join();
    }
    successor.finish().await;
    lasting.log.close();
    tracing::info!("the last connection of this process has ended");
    Ok(())
}

/// Waits until all is `done`, or has to be cut.
async fn drain(
    lasting: &Lasting,
    successor: &mut Successor,
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
            _ = reports.tick() => successor.say(&format!("active {}", lasting.stats.active())),
            word = successor.word() => match word {
                Word::Stop(left) => deadline = Some(Instant::now() + Duration::from_millis(left)),
                Word::Cut(why) => break why,
                Word::Ask(tag, question) => {
                    let answer = question.answer(&lasting.flows);
                    successor.say(&format!("answer {tag} {answer}"));
                }
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
    /// What is to be said; a successor that hangs is not waited for.
    lines: mpsc::UnboundedSender<String>,
    /// Ends when all is said.
    said: JoinHandle<()>,
    gone: bool,
}

/// Entries of which hits are told in a line.
const COUNTED: usize = 500;

impl Successor {
    fn new(stream: UnixStream) -> Self {
        let (read, mut write) = tokio::io::split(stream);
        let (lines, mut to_say) = mpsc::unbounded_channel::<String>();
        let said = tokio::spawn(async move {
            while let Some(line) = to_say.recv().await {
                if write.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        Self {
            read: BufReader::new(read).lines(),
            lines,
            said,
            gone: false,
        }
    }

    fn say(&self, words: &str) {
        let _ = self.lines.send(format!("{words}\n"));
    }

    /// Waits until it has been told everything, unless it hangs.
    async fn finish(self) {
        drop(self.lines);
        let _ = timeout(LAST_WORDS, self.said).await;
    }

    /// Has it go on counting from there.
    fn count_on(&self, counted: &[Counted]) {
        for some in counted.chunks(COUNTED) {
            if let Ok(some) = serde_json::to_string(some) {
                self.say(&format!("hits {some}"));
            }
        }
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
            Some(("ask", rest)) => match rest.split_once(' ') {
                Some((tag, question)) => match serde_json::from_str(question) {
                    Ok(question) => Word::Ask(tag.to_owned(), question),
                    Err(_) => Word::Other,
                },
                None => Word::Other,
            },
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
