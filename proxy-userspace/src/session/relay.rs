//! Moving the bytes of bodies and tunnels from one leg to the other.

use std::{cell::Cell, io};

use bytes::Buf as _;
use tokio::{net::TcpStream, time::timeout};

use super::{
    buffer::Buffer,
    leg::{self, BODY_READ, SETTLE},
    watch::{Direction, Side, Watch},
};
use crate::http::{BodyDecoder, Eof, Progress};

/// One direction of an exchange.
pub(super) struct Path<'p> {
    pub(super) source: &'p TcpStream,
    pub(super) sink: &'p TcpStream,
    /// Whose the source is.
    from: Side,
    direction: &'p Direction,
    watch: &'p Watch<'p>,
    /// Bytes that the client has sent, or was sent.
    pub(super) moved: &'p Cell<u64>,
}

/// How a body's relay ended other than well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The sender's stream ended before the body did.
    Truncated,
    /// The sender's connection failed (a reset), or ended where the receiver could not tell.
    Source,
    /// The receiver's did.
    Sink,
    /// The chunked framing is malformed: what came before it has been sent on.
    Malformed,
}

impl<'p> Path<'p> {
    /// From the client to the origin.
    pub(super) const fn up(
        client: &'p TcpStream,
        origin: &'p TcpStream,
        watch: &'p Watch<'p>,
        moved: &'p Cell<u64>,
    ) -> Self {
        Self {
            source: client,
            sink: origin,
            from: Side::Client,
            direction: &watch.up,
            watch,
            moved,
        }
    }

    /// From the origin to the client.
    pub(super) const fn down(
        origin: &'p TcpStream,
        client: &'p TcpStream,
        watch: &'p Watch<'p>,
        moved: &'p Cell<u64>,
    ) -> Self {
        Self {
            source: origin,
            sink: client,
            from: Side::Origin,
            direction: &watch.down,
            watch,
            moved,
        }
    }

    /// Reads up to `size` bytes more; 0 is the end of the stream.
    pub(super) async fn read(&self, buffer: &mut Buffer, size: usize) -> io::Result<usize> {
        let waiting = self.direction.wait(self.from);
        let read = leg::read(self.source, buffer, size).await?;
        drop(waiting);
        self.watch.touch();
        self.direction.count_read(read);
        if self.from == Side::Client {
            self.watch.sent(read);
        }
        Ok(read)
    }

    /// Writes both slices. If the sender resets meanwhile, the receiver has only so long to take
    /// what is left.
    pub(super) async fn write(&self, first: &[u8], second: &[u8]) -> Result<(), Broken> {
        let to = match self.from {
            Side::Client => Side::Origin,
            Side::Origin => Side::Client,
        };
        let waiting = self.direction.wait(to);
        let mut writing = std::pin::pin!(leg::write_both(self.sink, first, second, |written| {
            self.direction.count_written(written);
            if to == Side::Client {
                add(self.moved, written);
                self.watch.received(written);
            }
        }));
        let written = tokio::select! {
            biased;
            written = &mut writing => written,
            () = leg::is_reset(self.source) => match timeout(SETTLE, writing).await {
                Ok(written) => written,
                Err(_) => return Err(Broken::Source),
            },
        };
        drop(waiting);
        self.watch.touch();
        written.map_err(|_| Broken::Sink)
    }

    /// Lets go of bytes that were sent on, or are not to be.
    pub(super) fn consume(&self, buffer: &mut Buffer, progress: &Progress) {
        buffer.advance(progress.consumed());
        if self.from == Side::Client {
            add(self.moved, progress.consumed());
        }
    }

    /// Relays a body: what is in `buffer` first, then what `source` yields. Every byte is checked
    /// before it is sent on, and sent on as it came.
    pub(super) async fn body(
        &self,
        decoder: &mut BodyDecoder,
        buffer: &mut Buffer,
    ) -> Result<(), Broken> {
        loop {
            let progress = decoder.advance(buffer).map_err(|_| Broken::Malformed)?;
            if progress.forward > 0 {
                self.write(&buffer[..progress.forward], &[]).await?;
            }
            self.consume(buffer, &progress);
            if progress.done {
                return Ok(());
            }
            if progress.consumed() > 0 && !buffer.is_empty() {
                continue;
            }
            let read = self
                .read(buffer, BODY_READ)
                .await
                .map_err(|_| Broken::Source)?;
            if read == 0 {
                return match decoder.on_eof() {
                    Eof::Complete => Ok(()),
                    Eof::Truncated => Err(Broken::Truncated),
                    // Only a reset can tell the receiver.
                    Eof::Lost => Err(Broken::Source),
                };
            }
        }
    }

    /// Relays everything to the end of the stream, and then the end itself.
    pub(super) async fn stream(&self, buffer: &mut Buffer) -> Result<(), Broken> {
        loop {
            if !buffer.is_empty() {
                self.write(buffer, &[]).await?;
                if self.from == Side::Client {
                    add(self.moved, buffer.len());
                }
                buffer.clear();
            }
            let read = self
                .read(buffer, BODY_READ)
                .await
                .map_err(|_| Broken::Source)?;
            if read == 0 {
                return leg::end(self.sink).map_err(|_| Broken::Sink);
            }
        }
    }
}

pub(super) fn add(moved: &Cell<u64>, bytes: usize) {
    moved.set(moved.get() + bytes as u64);
}
