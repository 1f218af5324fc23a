//! The access log: requests leave a line behind and go on, a thread of its own writes.

use std::{
    cell::RefCell,
    fmt, mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use tracing::warn;

use super::{
    format::Style,
    output::{AccessLogError, Output, Sink},
    record::AccessRecord,
};

/// How many lines wait for the writer at most; further ones are lost.
const QUEUE_LINES: usize = 8192;

/// How many bytes these lines have at most: targets are the clients' to choose, our memory is not.
const QUEUE_BYTES: usize = 16 << 20;

/// A buffer that has grown beyond this in a burst is given back afterwards, bytes.
const KEPT_BUFFER: usize = 1 << 20;

/// How long [`AccessLog::close`] waits for a sink that takes nothing, such as a stopped pager.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

thread_local! {
    /// A line in the making; one for all of a worker's.
    static LINE: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(512));
}

/// A handle of the access log; clones are the same log.
///
/// Writing never waits for the sink: lines go to a bounded queue, and when that is full they are
/// lost and counted. When the last handle is dropped the log is closed as by
/// [`AccessLog::close`].
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Handle>);

impl AccessLog {
    /// Opens `sink`, for lines of that style. They wait until [`serve`](Self::serve) is called.
    ///
    /// # Errors
    ///
    /// [`AccessLogError::Open`]
    pub fn open(sink: &Sink, style: Style) -> Result<Self, AccessLogError> {
        Ok(Self::new(Output::open(sink)?, style))
    }

    /// Starts the writer's thread, with the privileges that the calling one has.
    ///
    /// # Errors
    ///
    /// [`AccessLogError::Thread`]
    pub fn serve(&self) -> Result<(), AccessLogError> {
        let writers = Arc::clone(&self.0.0);
        let Some((_, output)) = writers.lock().begin() else {
            return Ok(());
        };
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writers.serve(output))
            .map_err(AccessLogError::Thread)?;
        Ok(())
    }

    /// Whether lines are wanted: where they are not, no record need be made.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.shared().on.load(Relaxed)
    }

    /// Leaves the record's line to the writer, or counts it as lost.
    pub fn write(&self, record: &AccessRecord<'_>) {
        if !self.is_on() {
            return;
        }
        LINE.with_borrow_mut(|line| {
            let mut style = self.shared().style();
            loop {
                line.clear();
                style.write(record, line);
                match self.shared().push(line, style) {
                    Ok(()) => return,
                    // Another sink and style since: the line must not go there in this one.
                    Err(Full::Style(now)) => style = now,
                    Err(Full::Queue) => break,
                }
            }
            self.shared().lost.fetch_add(1, Relaxed);
        });
    }

    /// How many lines were lost so far, to a full queue or to a sink that failed.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared().lost.load(Relaxed)
    }

    /// Lets the writer open its file anew, after somebody has renamed it. Does not wait; failure
    /// is reported as an error message, and lines are lost until the next call.
    pub fn reopen(&self) {
        self.shared().lock().reopen = true;
        self.shared().work.notify_one();
    }

    /// Sends all lines from now on to `sink`, in that style. Opens it here, which may block for
    /// as long as the file system does.
    ///
    /// # Errors
    ///
    /// [`AccessLogError::Open`]; the log then goes on as it was.
    pub fn redirect(&self, sink: &Sink, style: Style) -> Result<(), AccessLogError> {
        let output = Output::open(sink)?;
        let shared = self.shared();
        let mut state = shared.lock();
        shared.on.store(!output.is_off(), Relaxed);
        state.style = style;
        state.successor = Some((state.buffer.len(), output));
        drop(state);
        shared.work.notify_one();
        Ok(())
    }

    /// Ends the log: what waits is written, later lines are lost. Blocks until all is written,
    /// for two seconds at most.
    pub fn close(&self) {
        self.shared().close();
    }

    fn new(output: Output, style: Style) -> Self {
        let shared = Arc::new(Shared::default());
        shared.on.store(!output.is_off(), Relaxed);
        let mut state = shared.lock();
        state.style = style;
        state.successor = Some((0, output));
        // Nobody is there yet who would have to be waited for.
        state.closed = true;
        drop(state);
        Self(Arc::new(Handle(shared)))
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }
}

/// What all clones of a log share; the last one closes it.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("on", &self.0.on)
            .field("lost", &self.0.lost)
            .finish()
    }
}

/// What handles and writer share.
///
/// A buffer under a lock instead of a channel: a line costs a copy and no allocation that another
/// thread frees, a batch is one swap, and when the log is closed no line can slip in unseen. The
/// writer never holds the lock while it writes.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// The writer has something to do.
    work: Condvar,
    /// The writer is done for good.
    done: Condvar,
    on: AtomicBool,
    lost: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Whole lines, each with its line feed.
    buffer: Vec<u8>,
    /// How many there are.
    lines: usize,
    reopen: bool,
    /// Where lines go from this position of the buffer on.
    successor: Option<(usize, Output)>,
    /// Of lines from now on.
    style: Style,
    closing: bool,
    closed: bool,
}

/// Why a line was not queued.
enum Full {
    Queue,
    /// It is in another style than lines are now.
    Style(Style),
}

impl Shared {
    fn style(&self) -> Style {
        self.lock().style
    }

    /// Queues the line, if there is room.
    fn push(&self, line: &[u8], style: Style) -> Result<(), Full> {
        let mut state = self.lock();
        if state.style != style {
            return Err(Full::Style(state.style));
        }
        if state.closing
            || state.lines >= QUEUE_LINES
            || state.buffer.len() + line.len() > QUEUE_BYTES
        {
            return Err(Full::Queue);
        }
        state.buffer.extend_from_slice(line);
        state.lines += 1;
        // For further lines of the same batch the writer is awake already.
        let first = state.lines == 1;
        drop(state);
        if first {
            self.work.notify_one();
        }
        Ok(())
    }

    /// The writer's life.
    fn serve(&self, mut output: Output) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            while !state.has_work() {
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            mem::swap(&mut state.buffer, &mut batch);
            state.lines = 0;
            let reopen = mem::take(&mut state.reopen);
            let successor = state.successor.take();
            let closing = state.closing;
            drop(state);

            let split = successor
                .as_ref()
                .map_or(batch.len(), |(position, _)| *position);
            let (before, after) = batch.split_at(split);
            self.lost.fetch_add(output.write(before), Relaxed);
            if let Some((_, successor)) = successor {
                output = successor;
            } else if reopen {
                output.reopen();
            }
            self.lost.fetch_add(output.write(after), Relaxed);
            batch.clear();
            batch.shrink_to(KEPT_BUFFER);

            // Nothing is queued once `closing` is set, so that was all.
            if closing {
                drop(output);
                self.lock().closed = true;
                self.done.notify_all();
                return;
            }
        }
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.work.notify_one();
        let (state, timeout) = self
            .done
            .wait_timeout_while(state, CLOSE_WAIT, |state| !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if timeout.timed_out() {
            warn!("access log closed although its sink did not take every line");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens under the lock but for running out of memory.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What the writer begins with; `None` if there is one already.
    fn begin(&mut self) -> Option<(usize, Output)> {
        if !self.closed || self.closing {
            return None;
        }
        self.closed = false;
        self.successor.take()
    }

    fn has_work(&self) -> bool {
        self.lines > 0 || self.reopen || self.successor.is_some() || self.closing
    }
}

#[cfg(test)]
mod tests;
