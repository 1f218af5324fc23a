//! One of the two TCP connections of a session, with the bytes read from it but not yet used.

use std::{io, net::Shutdown, time::Duration};

use socket2::SockRef;
use tokio::{
    io::Interest,
    net::TcpStream,
    task::consume_budget,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::buffer::{Buffer, Meter};
use crate::{addr::SpoofedAddr, sys, upstream::Way};

/// Space made for a read; a body's reads grow to [`BODY_READ`].
pub(super) const HEAD_READ: usize = 4 * 1024;

/// Space made for a read of a body's bytes.
pub(super) const BODY_READ: usize = 64 * 1024;

/// How long a closing connection waits for the other side to do anything: to send more, which is
/// read and dropped, or to close as well. A close with unread bytes would be a reset, and could
/// destroy the answer on its way (RFC 9112 §9.6).
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// How long it waits in total for a client that goes on sending, such as one whose upload was
/// answered early.
pub(super) const LINGER_TOTAL: Duration = Duration::from_secs(30);

/// How long a reset waits for the bytes before it to be taken, and then acknowledged.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// How often it looks, at first; each time half as often, down to [`SETTLE_SLOWEST`].
const SETTLE_FIRST: Duration = Duration::from_millis(1);
const SETTLE_SLOWEST: Duration = Duration::from_millis(50);

pub(super) struct Leg {
    pub(super) stream: TcpStream,
    pub(super) buffer: Buffer,
}

/// The origin's leg.
pub(super) struct Origin {
    pub(super) leg: Leg,
    pub(super) spoofed: SpoofedAddr,
    /// How it was connected.
    pub(super) way: Way,
    /// Requests that were sent on it.
    pub(super) requests: u64,
}

impl Leg {
    pub(super) fn new(stream: TcpStream, meter: &Meter) -> Self {
        Self {
            stream,
            buffer: Buffer::new(meter),
        }
    }

    /// Reads more into the buffer. 0 is the end of the stream. Cancel-safe.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        read(&self.stream, &mut self.buffer, HEAD_READ).await
    }

    /// Whether there is nothing to read: no bytes, and no end of the stream. What it finds is
    /// lost: the connection must not be used again then.
    ///
    /// It looks at the socket only if something may have come since the last look; for a
    /// connection that was waited on in vain, that was known without a system call.
    pub(super) fn is_quiet(&self) -> bool {
        let nothing = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.buffer.is_empty() && self.stream.try_read(&mut [0]).is_err_and(nothing)
    }

    /// Writes an answer of our own. A client that does not take it is not waited for.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        timeout(LINGER, write_all(&self.stream, bytes)).await?
    }

    /// Ends the stream in an orderly way: FIN, then whatever still comes is read and dropped, for
    /// so long in total.
    pub(super) async fn finish(mut self, total: Duration) {
        if end(&self.stream).is_err() {
            return;
        }
        let deadline = Instant::now() + total;
        loop {
            self.buffer.clear();
            let more = timeout_at(deadline.min(Instant::now() + LINGER), self.fill()).await;
            if !matches!(more, Ok(Ok(1..))) {
                return;
            }
        }
    }

    /// Resets the connection once the other side has what was written before (or takes too
    /// long): a reset may destroy what is on its way, and a response that was complete would not
    /// arrive.
    pub(super) async fn reset_behind_what_was_sent(self) {
        let deadline = Instant::now() + SETTLE;
        let mut pause = SETTLE_FIRST;
        while Instant::now() < deadline
            && sys::socket::unacknowledged(&self.stream).is_ok_and(|bytes| bytes > 0)
        {
            sleep(pause).await;
            pause = (pause * 2).min(SETTLE_SLOWEST);
        }
        self.reset_on_close();
    }

    /// Dropping the connection from now on sends a reset.
    pub(super) fn reset_on_close(&self) {
        reset_on_close(&self.stream);
    }
}

/// Reads up to `size` bytes more into `buffer`. 0 is the end of the stream. Cancel-safe.
///
/// Space is made when there is something to read, and an empty buffer's is given back until
/// then: whoever waits, for a request or in a tunnel, holds none.
pub(super) async fn read(
    stream: &TcpStream,
    buffer: &mut Buffer,
    size: usize,
) -> io::Result<usize> {
    loop {
        // Where both sides are faster than we are nothing else would ever wait.
        consume_budget().await;
        stream.readable().await?;
        buffer.make_room(size, HEAD_READ);
        match stream.try_read_buf(&mut **buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => buffer.release(),
            read => return read,
        }
    }
}

/// Writes all of `bytes`.
pub(super) async fn write_all(stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    write_both(stream, bytes, &[], |_| {}).await
}

/// Writes two slices, in one system call if the socket takes them, and tells `written` how much
/// each call has taken.
pub(super) async fn write_both(
    stream: &TcpStream,
    mut first: &[u8],
    mut second: &[u8],
    written: impl Fn(usize),
) -> io::Result<()> {
    while !first.is_empty() || !second.is_empty() {
        let taken = match (first, second) {
            (one, []) | ([], one) => stream.try_write(one),
            (first, second) => {
                stream.try_write_vectored(&[io::IoSlice::new(first), io::IoSlice::new(second)])
            }
        };
        match taken {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => {
                written(taken);
                let of_first = taken.min(first.len());
                first = &first[of_first..];
                second = &second[taken - of_first..];
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns when the other side has reset the connection, whatever is still unread.
pub(super) async fn is_reset(stream: &TcpStream) {
    // Nothing is consumed: a read sees it too, behind the bytes that came before.
    while let Ok(ready) = stream.ready(Interest::ERROR).await {
        if ready.is_error() {
            return;
        }
    }
}

/// FIN: nothing more will be sent.
pub(super) fn end(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(Shutdown::Write)
}

/// Dropping the connection from now on sends a reset.
pub(super) fn reset_on_close(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "SO_LINGER");
    }
}
