//! One request and its response.

use std::{cell::Cell, sync::Arc};

use super::{
    Session, Shared,
    connect::Unconnected,
    decide::{Decision, Plan},
    receive::{Expected, receive_response},
    record::Transaction,
    relay::{Broken, Path},
    request::Request,
    send::send_request,
    watch::Watch,
};
use crate::{
    http::ResponseHead,
    observe::{Asymmetry, Stats},
    reason::Reason,
    upstream::Way,
};

/// What follows an exchange.
pub(super) enum After {
    /// Another request may come.
    NextRequest,
    /// Nothing: FIN. The client may still be sending, and is listened to until it has the answer.
    Close,
    /// Nothing: FIN. The client has used up its time.
    Leave,
    /// Nothing: RST, on each leg that is not dead already.
    Reset(Dead),
    /// Something that is not HTTP, both ways.
    Tunnel(Box<Transaction>, Reason),
}

/// Which leg has ended by itself, so that there is nothing to be waited for on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dead {
    Client,
    Origin,
    /// Neither has; both are cut, at once.
    Neither,
}

/// How both directions together ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Complete {
        persistent: bool,
    },
    /// What is no HTTP has been relayed to its end.
    Raw,
    Tunnel,
    ClientGone,
    OriginReset,
    Truncated,
    BadResponse,
    BadRequest,
    /// Somebody was waited for too long.
    Expired(Reason),
    /// The drain's deadline.
    Cut,
}

/// What both directions tell each other and the record.
pub(super) struct Progress<'s> {
    pub(super) stats: &'s Stats,
    /// The final response's status, once anything of it may have been sent to the client.
    pub(super) status: Cell<Option<u16>>,
    pub(super) content_type: Cell<Option<Vec<u8>>>,
    wants_content_type: bool,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
    /// Of these, the head of the final response.
    pub(super) head_out: Cell<u64>,
    pub(super) request_begun: Cell<bool>,
    pub(super) request_sent: Cell<bool>,
    pub(super) sent: tokio::sync::Notify,
    /// Anything has come from the origin.
    pub(super) heard: Cell<bool>,
    /// There was an interim response.
    pub(super) interim: Cell<bool>,
    /// In the middle of an interim response's head.
    pub(super) within_interim: Cell<bool>,
    pub(super) client_done: Cell<bool>,
}

impl<'s> Progress<'s> {
    fn new(shared: &'s Shared) -> Self {
        Self {
            stats: &shared.stats,
            status: Cell::default(),
            content_type: Cell::default(),
            wants_content_type: shared.log.is_on(),
            bytes_in: Cell::default(),
            bytes_out: Cell::default(),
            head_out: Cell::default(),
            request_begun: Cell::default(),
            request_sent: Cell::default(),
            sent: tokio::sync::Notify::new(),
            heard: Cell::default(),
            interim: Cell::default(),
            within_interim: Cell::default(),
            client_done: Cell::default(),
        }
    }

    /// What the access log says of a response.
    pub(super) fn describe(&self, head: &ResponseHead, buf: &[u8]) {
        if self.wants_content_type {
            let value = head.field(buf, "content-type").map(<[u8]>::to_vec);
            self.content_type.set(value);
        }
    }

    /// May the client still be given an answer of ours?
    fn can_answer(&self) -> bool {
        self.status.get().is_none() && !self.within_interim.get()
    }
}

impl Session {
    pub(super) async fn exchange(&mut self, request: Request) -> After {
        let shared = Arc::clone(&self.shared);
        shared.stats.request();
        let mut transaction = self.transaction();
        transaction.describe(&request.head, &request.received);
        let plan = match self.decide(&shared, &request, &mut transaction).await {
            Decision::Forward(plan) => plan,
            Decision::Tunnel(way) => return self.tunnel_request(&request, way, transaction).await,
            Decision::Answer {
                status,
                reason,
                bytes,
            } => {
                self.send_answer(status, &bytes, &mut transaction).await;
                transaction.end(&shared, reason);
                return After::Close;
            }
        };
        let mut repeated = false;
        loop {
            if let Err(error) = self.connect(plan.way).await {
                return self.without_origin(&request, &error, transaction).await;
            }
            let first = self.begins_origin_connection();
            transaction.spoofed = self.origin.as_ref().map(|origin| origin.spoofed);
            let progress = Progress::new(&shared);
            let outcome = self.relay(&request, &plan, first, &progress).await;
            self.client_done |= progress.client_done.get();
            let died = matches!(outcome, Outcome::Truncated | Outcome::OriginReset);
            // An origin may close a connection at any time between requests, and the request was
            // on its way already: neither side is to blame (RFC 9112 §9.3.1).
            if died && !first && !repeated && !progress.heard.get() && request.is_replayable() {
                shared.stats.asymmetry(Asymmetry::Retried);
                repeated = true;
                self.origin = None;
                continue;
            }
            transaction.status = progress.status.get();
            transaction.bytes_in += progress.bytes_in.get();
            transaction.bytes_out += progress.bytes_out.get();
            transaction.head_out = progress.head_out.get();
            transaction.content_type(progress.content_type.take());
            return self
                .conclude(outcome, &request, &progress, transaction)
                .await;
        }
    }

    /// A rule wants the request, and what follows on its connection, relayed unread.
    async fn tunnel_request(
        &mut self,
        request: &Request,
        way: Way,
        mut transaction: Transaction,
    ) -> After {
        if let Err(error) = self.connect(way).await {
            return self.without_origin(request, &error, transaction).await;
        }
        transaction.spoofed = self.origin.as_ref().map(|origin| origin.spoofed);
        // The tunnel counts all that it sends.
        transaction.bytes_in = 0;
        request.give_back(&mut self.client.buffer);
        After::Tunnel(Box::new(transaction), Reason::Tunnel)
    }

    /// Counts a request on the origin's connection; true for its first.
    fn begins_origin_connection(&mut self) -> bool {
        self.origin.as_mut().is_some_and(|origin| {
            origin.requests += 1;
            origin.requests == 1
        })
    }

    /// There is no origin to send the request to.
    async fn without_origin(
        &mut self,
        request: &Request,
        error: &Unconnected,
        mut transaction: Transaction,
    ) -> After {
        let after = match error.status() {
            None => After::Reset(Dead::Origin),
            Some(status) => {
                let body = !request.head.context().head;
                self.answer(status, error.reason(), body, &mut transaction)
                    .await;
                After::Close
            }
        };
        transaction.end(&self.shared, error.reason());
        after
    }

    async fn conclude(
        &mut self,
        outcome: Outcome,
        request: &Request,
        progress: &Progress<'_>,
        mut transaction: Transaction,
    ) -> After {
        let stats = progress.stats;
        let (after, reason) = match outcome {
            Outcome::Complete { persistent: true } => (After::NextRequest, Reason::Served),
            Outcome::Complete { persistent: false } => (After::Close, Reason::Served),
            Outcome::Raw => (After::Close, Reason::RawResponse),
            Outcome::Tunnel => return After::Tunnel(Box::new(transaction), Reason::Upgraded),
            Outcome::ClientGone => {
                stats.asymmetry(Asymmetry::ClientReset);
                (After::Reset(Dead::Client), Reason::ClientClosed)
            }
            Outcome::OriginReset => {
                stats.asymmetry(Asymmetry::OriginReset);
                (After::Reset(Dead::Origin), Reason::OriginClosed)
            }
            // The client sees the response end where it ended for us.
            Outcome::Truncated => {
                stats.asymmetry(Asymmetry::TruncatedResponse);
                (After::Close, Reason::OriginClosed)
            }
            Outcome::BadResponse => (After::Reset(Dead::Neither), Reason::BadResponse),
            Outcome::BadRequest => (After::Reset(Dead::Neither), Reason::BadRequest),
            Outcome::Expired(reason) => (After::Reset(Dead::Neither), reason),
            Outcome::Cut => (After::Reset(Dead::Neither), Reason::Draining),
        };
        let status = match reason {
            Reason::BadResponse => Some(502),
            Reason::OriginStalled => Some(504),
            Reason::BadRequest => Some(400),
            Reason::ClientStalled | Reason::SlowClient => Some(408),
            _ => None,
        };
        let Some(status) = status.filter(|_| progress.can_answer()) else {
            transaction.end(&self.shared, reason);
            return after;
        };
        let body = !request.head.context().head;
        self.answer(status, reason, body, &mut transaction).await;
        transaction.end(&self.shared, reason);
        if let Some(origin) = &self.origin
            && progress.request_begun.get()
        {
            // It must not take what it has for a whole message.
            origin.leg.reset_on_close();
        }
        if status == 408 {
            After::Leave
        } else {
            After::Close
        }
    }

    /// Both directions at once: a response may come before the request's body is through.
    async fn relay(
        &mut self,
        request: &Request,
        plan: &Plan<'_>,
        first: bool,
        progress: &Progress<'_>,
    ) -> Outcome {
        let Some(origin) = &mut self.origin else {
            return Outcome::OriginReset;
        };
        let (client, origin_stream) = (&self.client.stream, &origin.leg.stream);
        let watch = Watch::over(self.shared.patience, client, origin_stream);
        let up = Path::up(client, origin_stream, &watch, &progress.bytes_in);
        let down = Path::down(origin_stream, client, &watch, &progress.bytes_out);
        let expected = Expected {
            request: request.head.context(),
            edits: plan.response_edits(),
            first,
        };
        let mut sending = std::pin::pin!(send_request(
            request,
            plan.request_edits(),
            &mut self.client.buffer,
            self.client_done,
            &up,
            progress,
        ));
        let mut receiving = std::pin::pin!(receive_response(
            &self.shared,
            &expected,
            &mut origin.leg.buffer,
            &down,
            progress,
        ));
        let mut sending_failed = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut receiving => break ended,
                failed = &mut sending, if !sending_failed => {
                    sending_failed = true;
                    match failed {
                        Broken::Source => return Outcome::ClientGone,
                        Broken::Malformed => return Outcome::BadRequest,
                        // The origin takes no more; it may have answered all the same. Or the
                        // client ended its stream early: the origin sees that and decides.
                        Broken::Sink | Broken::Truncated => {}
                    }
                }
                reason = watch.expired() => return Outcome::Expired(reason),
                () = self.shared.cut.cancelled() => return Outcome::Cut,
            }
        };
        match ended {
            Outcome::Complete { persistent } => {
                let draining = self.shared.drain.is_cancelled();
                let mut persistent =
                    persistent && request.head.persistent && !draining && !sending_failed;
                if persistent && !progress.request_sent.get() {
                    // An early final response: the rest of the request's body comes first. Where
                    // the client waits for a 100 it may not send it at all (RFC 9110 §10.1.1),
                    // and what it sends next could be read in two ways.
                    persistent = !request.head.expects_continue
                        && tokio::select! {
                            _ = &mut sending => false,
                            () = progress.sent.notified() => true,
                            _ = watch.expired() => false,
                        };
                }
                Outcome::Complete { persistent }
            }
            // What is still to come of the request's body would be read as the tunnel's bytes.
            Outcome::Tunnel if !progress.request_sent.get() => Outcome::BadResponse,
            other => other,
        }
    }
}
