//! One request and its response.

use std::cell::Cell;

use bytes::Bytes;

use super::{
    Session, activity::Activity, receive::receive_response, record::Transaction, relay::Broken,
    send::send_request,
};
use crate::{http::RequestHead, reason::Reason};

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
            Outcome::BadRequest { can_answer: true } => {
                self.answer(400, Reason::BadRequest, true, &mut transaction)
                    .await;
                (After::Close, Reason::BadRequest)
            }
            Outcome::BadRequest { .. } => (After::Reset, Reason::BadRequest),
            Outcome::Stalled => (After::Reset, Reason::IdleTimeout),
            Outcome::Cut => (After::Reset, Reason::Draining),
        };
        transaction.end(&self.shared, reason);
        if let (After::Close, Outcome::BadRequest { .. } | Outcome::BadResponse, Some(origin)) =
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
                        Broken::Malformed => {
                            let begun = progress.status.get().is_some();
                            let can_answer = !begun && !progress.within_interim.get();
                            return Outcome::BadRequest { can_answer };
                        }
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
                    // An early final response: the rest of the request's body comes first. Where
                    // the client waits for a 100 it may not send it at all (RFC 9110 §10.1.1),
                    // and what it sends next could be read in two ways.
                    persistent = !head.expects_continue
                        && tokio::select! {
                            _ = &mut request => false,
                            () = progress.sent.notified() => true,
                            () = activity.stalled() => false,
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

/// How both directions together ended.
pub(super) enum Outcome {
    Complete {
        persistent: bool,
    },
    Tunnel,
    ClientGone,
    OriginReset,
    Truncated,
    BadResponse,
    BadRequest {
        /// Nothing of a response has been sent.
        can_answer: bool,
    },
    Stalled,
    /// The drain's deadline.
    Cut,
}

/// What both directions tell each other and the record.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) status: Cell<Option<u16>>,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
    pub(super) request_sent: Cell<bool>,
    pub(super) sent: tokio::sync::Notify,
    /// In the middle of an interim response's head.
    pub(super) within_interim: Cell<bool>,
    pub(super) client_done: Cell<bool>,
}
