//! A request on its way to the origin.

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::AsyncWriteExt as _,
    net::tcp::{ReadHalf, WriteHalf},
};

use super::{
    activity::Activity,
    exchange::Progress,
    leg::{self, HEAD_READ},
    relay::{self, Broken, add, write_both},
};
use crate::http::{self, Edits, RequestHead};

/// Requests that a client may send ahead of their answers are read up to this many bytes;
/// beyond that they wait in the socket.
const READ_AHEAD: usize = 64 * 1024;

/// Sends head and body to the origin, then reads ahead, so that the client's FIN or RST is seen
/// and passed on. Returns only when something went wrong.
#[expect(
    clippy::too_many_arguments,
    reason = "two halves of two legs, borrowed separately"
)]
pub(super) async fn send_request(
    head: &RequestHead,
    received: &Bytes,
    buffer: &mut BytesMut,
    client_done: bool,
    client: &mut ReadHalf<'_>,
    origin: &mut WriteHalf<'_>,
    progress: &Progress,
    activity: &Activity,
) -> Broken {
    let mut rewritten = Vec::new();
    let bytes = if head.is_verbatim(&Edits::NONE) {
        &received[..]
    } else {
        head.write_forwarded(received, &Edits::NONE, &mut rewritten);
        &rewritten
    };
    let mut decoder = head.decoder(received);
    let (part, malformed) = match decoder.advance(buffer) {
        Ok(part) => (part, false),
        Err(_) => (http::Progress::default(), true),
    };
    let sent = write_both(origin, bytes, &buffer[..part.forward]).await;
    if sent.is_err() {
        return Broken::Sink;
    }
    buffer.advance(part.consumed());
    add(&progress.bytes_in, part.forward);
    if malformed {
        return Broken::Malformed;
    }
    if !decoder.is_done()
        && let Err(broken) = relay::body(
            &mut decoder,
            buffer,
            client,
            origin,
            &progress.bytes_in,
            activity,
        )
        .await
    {
        if matches!(broken, Broken::Truncated) {
            progress.client_done.set(true);
            let _ = origin.shutdown().await;
        }
        return broken;
    }
    progress.request_sent.set(true);
    progress.sent.notify_one();
    let tunnel_follows = head.upgrade || head.context().connect;
    read_ahead(
        buffer,
        client_done,
        tunnel_follows,
        client,
        origin,
        progress,
    )
    .await
}

async fn read_ahead(
    buffer: &mut BytesMut,
    mut client_done: bool,
    tunnel_follows: bool,
    client: &mut ReadHalf<'_>,
    origin: &mut WriteHalf<'_>,
    progress: &Progress,
) -> Broken {
    loop {
        if client_done {
            // The client's FIN, once everything that came before it is sent. In a tunnel to be,
            // what is in the buffer belongs to the tunnel.
            if buffer.is_empty() && !tunnel_follows && origin.shutdown().await.is_err() {
                return Broken::Sink;
            }
            return std::future::pending().await;
        }
        if buffer.len() >= READ_AHEAD {
            return std::future::pending().await;
        }
        match leg::read(client.as_ref(), buffer, HEAD_READ).await {
            Ok(0) => {
                client_done = true;
                progress.client_done.set(true);
            }
            Ok(_) => {}
            Err(_) => return Broken::Source,
        }
    }
}
