//! A request on its way to the origin.

use super::{
    buffer::Buffer,
    leg::{self, HEAD_READ},
    outcome::Progress,
    relay::{Broken, Path},
    request::Request,
};
use crate::{http::Edits, observe::Asymmetry};

/// Requests that a client may send ahead of their answers are read up to this many bytes;
/// beyond that they wait in the socket.
const READ_AHEAD: usize = 64 * 1024;

/// Sends head and body to the origin, then reads ahead, so that the client's FIN or RST is seen
/// and passed on. Returns only when something went wrong.
pub(super) async fn send_request(
    request: &Request,
    edits: Edits<'_>,
    buffer: &mut Buffer,
    client_done: bool,
    path: &Path<'_>,
    progress: &Progress<'_>,
) -> Broken {
    match head_and_body(request, edits, buffer, path, progress).await {
        Ok(()) => {}
        Err(broken) => {
            if broken == Broken::Truncated {
                progress.client_done.set(true);
                progress.stats.asymmetry(Asymmetry::TruncatedRequest);
                let _ = leg::end(path.sink);
            }
            return broken;
        }
    }
    progress.request_sent.set(true);
    progress.sent.notify_one();
    read_ahead(
        buffer,
        client_done,
        request.may_become_tunnel(),
        path,
        progress,
    )
    .await
}

async fn head_and_body(
    request: &Request,
    edits: Edits<'_>,
    buffer: &mut Buffer,
    path: &Path<'_>,
    progress: &Progress<'_>,
) -> Result<(), Broken> {
    let Request {
        head,
        received,
        body,
        ..
    } = request;
    let mut rewritten = Vec::new();
    let bytes = if head.is_verbatim(&edits) {
        &received[..]
    } else {
        head.write_forwarded(received, &edits, &mut rewritten);
        &rewritten
    };
    if let Some(body) = body {
        progress.request_begun.set(true);
        return path.write(bytes, &request.edited(body, &edits)).await;
    }
    // Nothing goes out of a request whose body begins malformed.
    let mut decoder = head.decoder(received).without(edits.remove);
    let first = decoder.advance(buffer).map_err(|_| Broken::Malformed)?;
    progress.request_begun.set(true);
    path.write(bytes, &buffer[..first.forward]).await?;
    path.consume(buffer, &first);
    path.body(&mut decoder, buffer).await
}

async fn read_ahead(
    buffer: &mut Buffer,
    mut client_done: bool,
    tunnel_follows: bool,
    path: &Path<'_>,
    progress: &Progress<'_>,
) -> Broken {
    loop {
        if client_done {
            // The client's FIN, once everything that came before it is sent. In a tunnel to be,
            // what is in the buffer belongs to the tunnel.
            if buffer.is_empty() && !tunnel_follows && leg::end(path.sink).is_err() {
                return Broken::Sink;
            }
            return std::future::pending().await;
        }
        if buffer.len() >= READ_AHEAD || buffer.is_too_much(HEAD_READ) {
            return std::future::pending().await;
        }
        // Nobody is waited for: the client need not send anything.
        match leg::read(path.source, buffer, HEAD_READ).await {
            Ok(0) => {
                client_done = true;
                progress.client_done.set(true);
                progress.stats.asymmetry(Asymmetry::ClientHalfClosed);
            }
            Ok(_) => {}
            Err(_) => return Broken::Source,
        }
    }
}
