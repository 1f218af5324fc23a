//! Moving the bytes of bodies and tunnels from one leg to the other.

use std::{cell::Cell, io};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::AsyncWriteExt as _,
    net::tcp::{ReadHalf, WriteHalf},
};

use super::{
    activity::Activity,
    leg::{self, BODY_READ},
};
use crate::http::{BodyDecoder, Eof};

/// How a body's relay ended other than well.
pub(super) enum Broken {
    /// The sender's stream ended before the body did.
    Truncated,
    /// The sender's connection failed (a reset).
    Source,
    /// The receiver's did.
    Sink,
    /// The chunked framing is malformed: what came before it has been sent on.
    Malformed,
}

/// Relays a body: bytes that are in `buffer` first, then what `source` yields. Every byte is
/// checked before it is sent on, and sent on as it came. `moved` counts those.
pub(super) async fn body(
    decoder: &mut BodyDecoder,
    buffer: &mut BytesMut,
    source: &mut ReadHalf<'_>,
    sink: &mut WriteHalf<'_>,
    moved: &Cell<u64>,
    activity: &Activity,
) -> Result<(), Broken> {
    loop {
        let progress = decoder.advance(buffer).map_err(|_| Broken::Malformed)?;
        if progress.consumed() > 0 {
            sink.write_all(&buffer[..progress.forward])
                .await
                .map_err(|_| Broken::Sink)?;
            buffer.advance(progress.consumed());
            add(moved, progress.forward);
            activity.touch();
        }
        if progress.done {
            return Ok(());
        }
        if progress.consumed() > 0 && !buffer.is_empty() {
            continue;
        }
        let read = leg::read(source.as_ref(), buffer, BODY_READ)
            .await
            .map_err(|_| Broken::Source)?;
        activity.touch();
        if read == 0 {
            return match decoder.on_eof() {
                Eof::Complete => Ok(()),
                Eof::Truncated => Err(Broken::Truncated),
                // As a reset of the sender's would be passed on.
                Eof::Lost => Err(Broken::Source),
            };
        }
    }
}

/// Relays everything to the end of the stream, and then the end itself.
pub(super) async fn stream(
    buffer: &mut BytesMut,
    source: &mut ReadHalf<'_>,
    sink: &mut WriteHalf<'_>,
    moved: &Cell<u64>,
    activity: &Activity,
) -> io::Result<()> {
    loop {
        if !buffer.is_empty() {
            sink.write_all(buffer).await?;
            add(moved, buffer.len());
            buffer.clear();
            activity.touch();
        }
        let read = leg::read(source.as_ref(), buffer, BODY_READ).await?;
        activity.touch();
        if read == 0 {
            return sink.shutdown().await;
        }
    }
}

/// Writes two slices, in one system call if the socket takes them.
pub(super) async fn write_both(
    sink: &mut WriteHalf<'_>,
    mut first: &[u8],
    second: &[u8],
) -> io::Result<()> {
    while !first.is_empty() {
        let slices = [io::IoSlice::new(first), io::IoSlice::new(second)];
        let written = sink.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        match first.get(written..) {
            Some(rest) => first = rest,
            None => return sink.write_all(&second[written - first.len()..]).await,
        }
    }
    sink.write_all(second).await
}

pub(super) fn add(moved: &Cell<u64>, bytes: usize) {
    moved.set(moved.get() + bytes as u64);
}
