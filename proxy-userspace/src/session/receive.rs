//! A response on its way to the client.

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::AsyncWriteExt as _,
    net::tcp::{ReadHalf, WriteHalf},
};

use super::{
    Shared,
    activity::Activity,
    exchange::{Outcome, Progress},
    leg::{self, HEAD_READ},
    relay::{self, Broken, add, write_both},
};
use crate::http::{
    self, Edits, HeadScanner, RequestContext, ResponseFraming, ResponseHead, parse_response_from,
};

/// Reads the response to `request` from the origin, interim ones before it, and sends it on.
pub(super) async fn receive_response(
    shared: &Shared,
    request: RequestContext,
    buffer: &mut BytesMut,
    origin: &mut ReadHalf<'_>,
    client: &mut WriteHalf<'_>,
    progress: &Progress,
    activity: &Activity,
) -> Outcome {
    let head = loop {
        let head = match response_head(shared, request, buffer, origin, activity).await {
            Ok(head) => head,
            Err(outcome) => return outcome,
        };
        if !head.interim {
            break head;
        }
        // RFC 9110 §15.2: a client of HTTP/1.0 does not know interim responses.
        if request.minor > 0 {
            let mut bytes = Vec::with_capacity(head.len);
            head.write_forwarded(buffer, true, &Edits::NONE, &mut bytes);
            progress.within_interim.set(true);
            if client.write_all(&bytes).await.is_err() {
                return Outcome::ClientGone;
            }
            progress.within_interim.set(false);
            add(&progress.bytes_out, bytes.len());
        }
        buffer.advance(head.len);
    };
    progress.status.set(Some(head.status));
    let persistent = head.persistent && !shared.drain.is_cancelled();
    let says_persistent = persistent || !head.persistent;

    let mut rewritten = Vec::new();
    if !head.is_verbatim(says_persistent, &Edits::NONE) {
        head.write_forwarded(buffer, says_persistent, &Edits::NONE, &mut rewritten);
    }
    let mut decoder = head.decoder(buffer);
    let (part, malformed) = match decoder.advance(&buffer[head.len..]) {
        Ok(part) => (part, false),
        Err(_) => (http::Progress::default(), true),
    };
    let end = head.len + part.forward;
    let written = if rewritten.is_empty() {
        client.write_all(&buffer[..end]).await
    } else {
        write_both(client, &rewritten, &buffer[head.len..end]).await
    };
    if written.is_err() {
        return Outcome::ClientGone;
    }
    let head_len = if rewritten.is_empty() {
        head.len
    } else {
        rewritten.len()
    };
    add(&progress.bytes_out, head_len + part.forward);
    buffer.advance(end + part.dropped);
    activity.touch();
    if malformed {
        return Outcome::BadResponse;
    }
    if head.framing == ResponseFraming::Tunnel {
        return Outcome::Tunnel;
    }
    if !decoder.is_done() {
        let relayed = relay::body(
            &mut decoder,
            buffer,
            origin,
            client,
            &progress.bytes_out,
            activity,
        )
        .await;
        match relayed {
            Ok(()) => {}
            Err(Broken::Truncated) => return Outcome::Truncated,
            Err(Broken::Source) => return Outcome::OriginReset,
            Err(Broken::Sink) => return Outcome::ClientGone,
            Err(Broken::Malformed) => return Outcome::BadResponse,
        }
    }
    // Bytes behind a complete response belong to no request of ours (RFC 9112 §9.2).
    Outcome::Complete {
        persistent: persistent && buffer.is_empty(),
    }
}

async fn response_head(
    shared: &Shared,
    request: RequestContext,
    buffer: &mut BytesMut,
    origin: &mut ReadHalf<'_>,
    activity: &Activity,
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
        match leg::read(origin.as_ref(), buffer, HEAD_READ).await {
            // Nothing of a response: the client sees the same.
            Ok(0) if buffer.is_empty() => return Err(Outcome::Truncated),
            Ok(0) => return Err(Outcome::BadResponse),
            Ok(_) => activity.touch(),
            Err(_) => return Err(Outcome::OriginReset),
        }
    }
}
