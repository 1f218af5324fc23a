//! A response on its way to the client.

use std::time::Duration;

use bytes::Buf as _;
use tokio::time::timeout;

use super::{
    Shared,
    buffer::Buffer,
    leg::HEAD_READ,
    outcome::{Outcome, Progress},
    relay::{Broken, Path},
};
use crate::{
    http::{
        Edits, HeadScanner, RequestContext, ResponseFraming, ResponseHead, ResponseStart,
        classify_response, parse_response_from,
    },
    observe::Asymmetry,
};

/// How long an answer that is shorter than any status line, and none, may be the beginning of one
/// behind some junk.
const SHORT_ANSWER: Duration = Duration::from_millis(300);

/// What the response is to be like, and what it answers.
pub(super) struct Expected<'e> {
    pub(super) request: RequestContext,
    pub(super) edits: Edits<'e>,
    /// The first of its connection: an origin that does not speak HTTP may show it now.
    pub(super) first: bool,
}

/// Reads the response from the origin, interim ones before it, and sends it on.
pub(super) async fn receive_response(
    shared: &Shared,
    expected: &Expected<'_>,
    buffer: &mut Buffer,
    path: &Path<'_>,
    progress: &Progress<'_>,
) -> Outcome {
    match receive(shared, expected, buffer, path, progress).await {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

async fn receive(
    shared: &Shared,
    expected: &Expected<'_>,
    buffer: &mut Buffer,
    path: &Path<'_>,
    progress: &Progress<'_>,
) -> Result<Outcome, Outcome> {
    if expected.first && is_raw(buffer, path, progress).await? {
        progress.unfinished.set(true);
        return raw(buffer, path).await;
    }
    let head = loop {
        let head = response_head(shared, expected.request, buffer, path, progress).await?;
        if !head.interim {
            break head;
        }
        interim(&head, expected, buffer, path, progress).await?;
    };
    let is_tunnel = head.framing == ResponseFraming::Tunnel;
    if is_tunnel && !progress.request_sent.get() {
        // What is still to come of the request's body would be read as the tunnel's bytes.
        return Ok(Outcome::BadResponse);
    }
    progress.describe(&head, buffer);
    if !progress.request_sent.get() {
        progress.stats.asymmetry(Asymmetry::EarlyResponse);
    }
    let persistent = head.persistent && !shared.drain.is_cancelled();
    let says_persistent = persistent || !head.persistent;

    let mut decoder = head.decoder(buffer).without(expected.edits.remove);
    // Nothing goes out of a response whose body begins malformed.
    let Ok(part) = decoder.advance(&buffer[head.len..]) else {
        return Ok(Outcome::BadResponse);
    };
    progress.status.set(Some(head.status));
    let end = head.len + part.forward;
    if head.is_verbatim(says_persistent, &expected.edits) {
        progress.head_out.set(head.len as u64);
        path.write(&buffer[..end], &[]).await
    } else {
        let mut rewritten = Vec::with_capacity(head.len + expected.edits.append.len() + 64);
        head.write_forwarded(buffer, says_persistent, &expected.edits, &mut rewritten);
        progress.head_out.set(rewritten.len() as u64);
        path.write(&rewritten, &buffer[head.len..end]).await
    }
    .map_err(outcome)?;
    buffer.advance(end + part.dropped);
    if is_tunnel {
        return Ok(Outcome::Tunnel);
    }
    if !part.done {
        path.body(&mut decoder, buffer).await.map_err(outcome)?;
    }
    // Bytes behind a complete response belong to no request of ours (RFC 9112 §9.2).
    if persistent && !buffer.is_empty() {
        progress.stats.asymmetry(Asymmetry::BytesBehindResponse);
    }
    Ok(Outcome::Complete {
        persistent: persistent && buffer.is_empty(),
    })
}

/// Does the origin answer with what no reader could take for HTTP/1?
async fn is_raw(
    buffer: &mut Buffer,
    path: &Path<'_>,
    progress: &Progress<'_>,
) -> Result<bool, Outcome> {
    loop {
        match classify_response(buffer) {
            ResponseStart::Http => return Ok(false),
            ResponseStart::NotHttp => return Ok(true),
            ResponseStart::NeedMore => {}
        }
        // It may be a short banner that nothing follows; the beginning of a status line is not.
        let patience = if buffer.is_empty() || b"HTTP".starts_with(buffer) {
            Duration::MAX
        } else {
            SHORT_ANSWER
        };
        match timeout(patience, more(buffer, path, progress)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Ok(!buffer.is_empty()),
            Ok(Err(outcome)) => return Err(outcome),
            Err(_) => return Ok(true),
        }
    }
}

/// ICY, HTTP/0.9 and the like: as it comes, to the end of the stream, which is its only framing.
async fn raw(buffer: &mut Buffer, path: &Path<'_>) -> Result<Outcome, Outcome> {
    path.stream(buffer).await.map_err(outcome)?;
    Ok(Outcome::Raw)
}

/// What it means for the exchange that the response did not come through.
const fn outcome(broken: Broken) -> Outcome {
    match broken {
        Broken::Truncated => Outcome::Truncated,
        Broken::Source => Outcome::OriginReset,
        Broken::Sink => Outcome::ClientGone,
        Broken::Malformed => Outcome::BadResponse,
    }
}

async fn interim(
    head: &ResponseHead,
    expected: &Expected<'_>,
    buffer: &mut Buffer,
    path: &Path<'_>,
    progress: &Progress<'_>,
) -> Result<(), Outcome> {
    progress.interim.set(true);
    // RFC 9110 §15.2: a client of HTTP/1.0 does not know interim responses.
    if expected.request.minor > 0 {
        let mut bytes = Vec::with_capacity(head.len);
        head.write_forwarded(buffer, true, &Edits::NONE, &mut bytes);
        progress.unfinished.set(true);
        path.write(&bytes, &[]).await.map_err(outcome)?;
        progress.unfinished.set(false);
    }
    buffer.advance(head.len);
    Ok(())
}

async fn response_head(
    shared: &Shared,
    request: RequestContext,
    buffer: &mut Buffer,
    path: &Path<'_>,
    progress: &Progress<'_>,
) -> Result<ResponseHead, Outcome> {
    let mut scanner = HeadScanner::new();
    loop {
        if !buffer.is_empty() {
            match parse_response_from(&mut scanner, buffer, &shared.limits, &request) {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => {}
                Err(refusal) => {
                    tracing::debug!(detail = refusal.detail, "response refused");
                    return Err(Outcome::BadResponse);
                }
            }
        }
        if !more(buffer, path, progress).await? {
            // Nothing of a response: the client sees the same.
            return Err(if buffer.is_empty() {
                Outcome::Truncated
            } else {
                Outcome::BadResponse
            });
        }
    }
}

/// Reads more from the origin; false at the end of its stream.
async fn more(
    buffer: &mut Buffer,
    path: &Path<'_>,
    progress: &Progress<'_>,
) -> Result<bool, Outcome> {
    match path.read(buffer, HEAD_READ).await {
        Ok(0) => Ok(false),
        Ok(_) => {
            progress.hear();
            Ok(true)
        }
        Err(_) => Err(Outcome::OriginReset),
    }
}
