//! One request and its response.

use std::sync::Arc;

use super::{
    Session,
    connect::Unconnected,
    decide::{Decision, Plan},
    outcome::{After, Dead, Outcome, Progress},
    receive::{Expected, receive_response},
    record::Transaction,
    relay::{Broken, Path},
    request::Request,
    send::send_request,
    vitals::State,
    watch::Watch,
};
use crate::{observe::Asymmetry, reason::Reason, upstream::Way};

impl Session {
    pub(super) async fn exchange(&mut self, request: Request) -> After {
        let shared = Arc::clone(&self.shared);
        shared.stats.request();
        let mut transaction = self.transaction();
        transaction.describe(&request.head, &request.received);
        self.live
            .vitals()
            .request(request.head.host(&request.received));
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
            if let Err(error) = self.connect_for_request(plan.way).await {
                return self.without_origin(&request, &error, transaction).await;
            }
            let first = self.begins_origin_connection();
            transaction.spoofed = self.origin.as_ref().map(|origin| origin.spoofed);
            let progress = Progress::new(&shared);
            self.live.vitals().enter(State::Exchange);
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
        if let Err(error) = self.connect_for_request(way).await {
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
        let seen = (&**self.live.vitals(), &*self.shared.stats);
        let watch = Watch::over(self.shared.patience, client, origin_stream, seen);
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
                why = self.live.cut() => return Outcome::Cut(why),
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
                            _ = self.live.cut() => false,
                        };
                }
                Outcome::Complete { persistent }
            }
            other => other,
        }
    }
}
