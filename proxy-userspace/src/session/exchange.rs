//! One request and its response.

use std::cell::Cell;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::{ReadHalf, WriteHalf},
};

use super::{
    Session, Shared,
    activity::Activity,
    leg::HEAD_READ,
    record::Transaction,
    relay::{self, Broken, add, write_both},
};
use crate::{
    http::{
        BodyDecoder, HeadScanner, RequestContext, RequestHead, ResponseFraming, ResponseHead,
        parse_response_from,
    },
    reason::Reason,
};

/// What follows an exchange.
pub(super) enum After {
    /// Another request may come.
    NextRequest,
    /// Nothing: FIN.
    Close,
    /// Nothing: RST.
    Reset,
    /// Something that is not HTTP, both ways.
    Tunnel(Box<Transaction>),
}

/// Requests that a client may send ahead of their answers are read up to this many bytes;
/// beyond that they wait in the socket.
const READ_AHEAD: usize = 64 * 1024;

impl Session {
    pub(super) async fn exchange(&mut self, head: RequestHead, received: Bytes) -> After {
        self.shared.stats.request();
        let mut transaction = self.transaction();
        transaction.describe(&head, &received);
        if let Err(error) = self.connect().await {
            let body = !head.context().head;
            let after = match error.status() {
                None => After::Reset,
                Some(status) => {
                    self.answer(status, error.reason(), body, &mut transaction)
                        .await;
                    After::Close
                }
            };
            transaction.end(&self.shared, error.reason());
            return after;
        }
        transaction.spoofed = self.origin.as_ref().map(|origin| origin.spoofed);

        let progress = Progress::default();
        let outcome = self.relay(&head, &received, &progress).await;
        transaction.status = progress.status.get();
        transaction.bytes_in += progress.bytes_in.get();
        transaction.bytes_out += progress.bytes_out.get();
        self.client_done |= progress.client_done.get();
        self.conclude(outcome, &head, transaction).await
    }

    async fn conclude(
        &mut self,
        outcome: Outcome,
        head: &RequestHead,
        mut transaction: Transaction,
    ) -> After {
        let (after, reason) = match outcome {
            Outcome::Complete { persistent: true } => (After::NextRequest, Reason::Served),
            Outcome::Complete { persistent: false } => (After::Close, Reason::Served),
            Outcome::Tunnel => return After::Tunnel(Box::new(transaction)),
            Outcome::ClientGone => (After::Reset, Reason::ClientClosed),
            Outcome::OriginReset => (After::Reset, Reason::OriginClosed),
            // The client sees the response end where it ended for us.
            Outcome::Truncated => (After::Close, Reason::OriginClosed),
            Outcome::BadResponse if transaction.status.is_none() => {
                let body = !head.context().head;
                self.answer(502, Reason::BadResponse, body, &mut transaction)
                    .await;
                (After::Close, Reason::BadResponse)
            }
            Outcome::BadResponse => (After::Reset, Reason::BadResponse),
            Outcome::BadRequest if transaction.status.is_none() => {
                self.answer(400, Reason::BadRequest, true, &mut transaction)
                    .await;
                (After::Close, Reason::BadRequest)
            }
            Outcome::BadRequest => (After::Reset, Reason::BadRequest),
            Outcome::Stalled => (After::Reset, Reason::IdleTimeout),
            Outcome::Cut => (After::Reset, Reason::Draining),
        };
        transaction.end(&self.shared, reason);
        if let (After::Close, Outcome::BadRequest | Outcome::BadResponse, Some(origin)) =
            (&after, &outcome, &self.origin)
        {
            // It must not take what it has for a whole message.
            origin.leg.reset_on_close();
        }
        after
    }

    /// Both directions at once: a response may come before the request's body is through.
    async fn relay(
        &mut self,
        head: &RequestHead,
        received: &Bytes,
        progress: &Progress,
    ) -> Outcome {
        let Some(origin) = &mut self.origin else {
            return Outcome::OriginReset;
        };
        let activity = Activity::new(self.shared.idle_timeout);
        let (mut client_read, mut client_write) = self.client.stream.split();
        let (mut origin_read, mut origin_write) = origin.leg.stream.split();
        let mut request = std::pin::pin!(send_request(
            head,
            received,
            &mut self.client.buffer,
            self.client_done,
            &mut client_read,
            &mut origin_write,
            progress,
            &activity,
        ));
        let response = receive_response(
            &self.shared,
            head.context(),
            &mut origin.leg.buffer,
            &mut origin_read,
            &mut client_write,
            progress,
            &activity,
        );
        let mut response = std::pin::pin!(response);
        let mut request_failed = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut response => break ended,
                failed = &mut request, if !request_failed => {
                    request_failed = true;
                    match failed {
                        Broken::Source => return Outcome::ClientGone,
                        Broken::Malformed => return Outcome::BadRequest,
                        // The origin takes no more; it may have answered all the same. Or the
                        // client ended its stream early: the origin sees that and decides.
                        Broken::Sink | Broken::Truncated => {}
                    }
                }
                () = activity.stalled() => return Outcome::Stalled,
                () = self.shared.cut.cancelled() => return Outcome::Cut,
            }
        };
        match ended {
            Outcome::Complete { persistent } => {
                let draining = self.shared.drain.is_cancelled();
                let mut persistent = persistent && head.persistent && !draining && !request_failed;
                if persistent && !progress.request_sent.get() {
                    // An early final response: the rest of the request's body comes first.
                    persistent = tokio::select! {
                        _ = &mut request => false,
                        () = progress.sent.notified() => true,
                        () = activity.stalled() => false,
                    };
                }
                Outcome::Complete { persistent }
            }
            other => other,
        }
    }
}

/// How both directions together ended.
enum Outcome {
    Complete {
        persistent: bool,
    },
    Tunnel,
    ClientGone,
    OriginReset,
    Truncated,
    BadResponse,
    BadRequest,
    Stalled,
    /// The drain's deadline.
    Cut,
}

/// What both directions tell each other and the record.
#[derive(Default)]
struct Progress {
    status: Cell<Option<u16>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    request_sent: Cell<bool>,
    sent: tokio::sync::Notify,
    client_done: Cell<bool>,
}

/// Sends head and body to the origin, then reads ahead, so that the client's FIN or RST is seen
/// and passed on. Returns only when something went wrong.
#[expect(
    clippy::too_many_arguments,
    reason = "two halves of two legs, borrowed separately"
)]
async fn send_request(
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
    let bytes = if head.is_verbatim() {
        &received[..]
    } else {
        head.write_forwarded(received, &mut rewritten);
        &rewritten
    };
    let mut decoder = BodyDecoder::from(head.framing);
    let (part, malformed) = match decoder.advance(buffer) {
        Ok(part) => (part.consumed, false),
        Err(_) => (0, true),
    };
    if write_both(origin, bytes, &buffer[..part]).await.is_err() {
        return Broken::Sink;
    }
    buffer.advance(part);
    add(&progress.bytes_in, part);
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
        buffer.reserve(HEAD_READ);
        match client.read_buf(buffer).await {
            Ok(0) => {
                client_done = true;
                progress.client_done.set(true);
            }
            Ok(_) => {}
            Err(_) => return Broken::Source,
        }
    }
}

async fn receive_response(
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
        // RFC 9110 §15.2: a 1.0 client does not know interim responses.
        if request.minor > 0 {
            let mut bytes = Vec::with_capacity(head.len);
            head.write_forwarded(buffer, true, &mut bytes);
            if client.write_all(&bytes).await.is_err() {
                return Outcome::ClientGone;
            }
            add(&progress.bytes_out, bytes.len());
        }
        buffer.advance(head.len);
    };
    progress.status.set(Some(head.status));
    let persistent = head.persistent && !shared.drain.is_cancelled();
    let says_persistent = persistent || !head.persistent;

    let mut rewritten = Vec::new();
    if !head.is_verbatim(says_persistent) {
        head.write_forwarded(buffer, says_persistent, &mut rewritten);
    }
    let mut decoder = BodyDecoder::from(head.framing);
    let (part, malformed) = match decoder.advance(&buffer[head.len..]) {
        Ok(part) => (part.consumed, false),
        Err(_) => (0, true),
    };
    let end = head.len + part;
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
    add(&progress.bytes_out, head_len + part);
    buffer.advance(end);
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
        buffer.reserve(HEAD_READ);
        match origin.read_buf(buffer).await {
            // Nothing of a response: the client sees the same.
            Ok(0) if buffer.is_empty() => return Err(Outcome::Truncated),
            Ok(0) => return Err(Outcome::BadResponse),
            Ok(_) => activity.touch(),
            Err(_) => return Err(Outcome::OriginReset),
        }
    }
}
