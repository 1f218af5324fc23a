//! One of the two TCP connections of a session, with the bytes read from it but not yet used.

use std::{io, time::Duration};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::addr::SpoofedAddr;

/// Space made for a read; a body's reads grow to [`BODY_READ`].
pub(super) const HEAD_READ: usize = 4 * 1024;

/// Space made for a read of a body's bytes.
pub(super) const BODY_READ: usize = 64 * 1024;

/// How long a closing connection waits for the client to take what was sent and close as well.
/// A close with unread bytes would be a reset, and could destroy the answer on its way.
const LINGER: Duration = Duration::from_secs(2);

pub(super) struct Leg {
    pub(super) stream: TcpStream,
    pub(super) buffer: BytesMut,
}

/// The origin's leg.
pub(super) struct Origin {
    pub(super) leg: Leg,
    pub(super) spoofed: SpoofedAddr,
}

impl Leg {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Reads more into the buffer. 0 is the end of the stream. Cancel-safe.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        read(&self.stream, &mut self.buffer, HEAD_READ).await
    }

    /// Gives an empty buffer's memory back.
    pub(super) fn release(&mut self) {
        release(&mut self.buffer);
    }

    /// Writes an answer of our own. A client that does not take it is not waited for.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(LINGER, self.stream.write_all(bytes)).await?
    }

    /// Ends the stream in an orderly way: FIN, then whatever still comes is read and dropped.
    pub(super) async fn finish(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let drain = async {
            self.buffer.clear();
            while self.fill().await.is_ok_and(|read| read > 0) {
                self.buffer.clear();
            }
        };
        let _ = timeout(LINGER, drain).await;
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
    buffer: &mut BytesMut,
    size: usize,
) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        buffer.reserve(size);
        match stream.try_read_buf(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => release(buffer),
            read => return read,
        }
    }
}

fn release(buffer: &mut BytesMut) {
    if buffer.is_empty() {
        *buffer = BytesMut::new();
    }
}

/// Dropping the connection from now on sends a reset.
pub(super) fn reset_on_close(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "SO_LINGER");
    }
}
