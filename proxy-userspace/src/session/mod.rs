//! One task for each client connection: requests in, the same requests out, answers back.
//!
//! `next` waits for a request, `decide` says what becomes of it, `exchange` sends it (`send`) and
//! passes the answer on (`receive`), both at once; `tunnel` relays what is not HTTP. `watch`
//! knows who is being waited for, `leg` and `buffer` are one TCP connection and its bytes.

mod buffer;
mod clients;
mod connect;
mod decide;
mod decline;
mod exchange;
mod flows;
mod host;
mod leg;
mod next;
mod outcome;
mod receive;
mod record;
mod relay;
mod request;
mod send;
mod shared;
mod tunnel;
mod vitals;
mod watch;

use std::{sync::Arc, time::Duration};

pub use self::{
    clients::Clients,
    decline::decline,
    flows::{Flows, View},
    shared::Shared,
    vitals::State,
    watch::Patience,
};

use self::{
    buffer::Meter,
    connect::{Connecting, Unconnected},
    decide::Fate,
    flows::Live,
    leg::{LINGER, LINGER_TOTAL, Leg, Origin},
    next::Next,
    outcome::{After, Dead},
    record::Transaction,
};
use crate::{
    addr::{ClientAddr, OriginAddr},
    config::{Dscp, Unknown},
    http::{self, Refusal},
    learn::Kind,
    listener::Accepted,
    reason::Reason,
    upstream::Way,
};

/// Serves an intercepted connection to its end.
///
/// It counts from this call on, not from the first poll of what it returns: whoever accepts many at
/// once has to see when the limit is reached.
pub fn serve(accepted: Accepted, shared: Arc<Shared>) -> impl Future<Output = ()> {
    let address = accepted.client.0.ip();
    let guest = shared.clients.enter(address, shared.client_connections);
    let counted = guest.map(|guest| (guest, shared.stats.connection()));
    async move {
        match counted {
            Some(_counted) => Session::new(accepted, shared).run().await,
            None => decline(accepted, shared, Reason::ClientLimit).await,
        }
    }
}

struct Session {
    client: Leg,
    /// What it is to others, and by which they can end it.
    live: Live,
    from: ClientAddr,
    to: OriginAddr,
    origin: Option<Origin>,
    /// On the way to an origin, for a client that has said nothing yet.
    connecting: Option<Connecting>,
    /// What becomes of it if there is no request on it.
    fate: Fate,
    /// What the client's packets carry, to be put on ours.
    tos: Option<u8>,
    /// The time to live of ours.
    ttl: Option<u8>,
    /// How its origin is connected as long as its client has not asked for anything.
    quiet_way: Way,
    /// The client has half-closed: no request comes after those that are in the buffer.
    client_done: bool,
    meter: Meter,
    shared: Arc<Shared>,
}

impl Session {
    fn new(accepted: Accepted, shared: Arc<Shared>) -> Self {
        let meter = Meter::new(Arc::clone(&shared.stats), shared.memory);
        let tos = match shared.dscp {
            Dscp::Copy => accepted.tos(),
            Dscp::Clear => None,
        };
        Self {
            tos,
            ttl: shared.ttl.and_then(|hops| accepted.ttl_behind(hops)),
            client: Leg::new(accepted.stream, &meter),
            live: shared.flows.enter(accepted.client, accepted.origin),
            from: accepted.client,
            to: accepted.origin,
            origin: None,
            connecting: None,
            fate: Fate::Open,
            quiet_way: Way::default(),
            client_done: false,
            meter,
            shared,
        }
    }

    async fn run(mut self) {
        let _registered = self.shared.upstream.legs.register(self.from, self.to);
        (self.fate, self.quiet_way) = self.fate();
        if self.fate == Fate::Tunnel && self.is_tunnel() {
            return Box::pin(self.tunnel_from_start(None)).await;
        }
        let mut first = true;
        loop {
            let after = match self.next_request(first).await {
                Next::Request(request) => self.exchange(request).await,
                other => return Box::pin(self.last(other)).await,
            };
            match after {
                After::NextRequest => first = false,
                other => return Box::pin(self.end(other)).await,
            }
        }
    }

    /// What is not the next request is the last thing on its connection.
    ///
    /// It and [`end`](Self::end) are boxed: what they need is as much as an idle connection
    /// would otherwise hold all the time.
    async fn last(self, next: Next) {
        match next {
            Next::Request(_) => {}
            Next::NotHttp | Next::Http2 | Next::OriginFirst | Next::Unsolicited => {
                self.without_request(&next).await;
            }
            Next::Refused(refusal) => self.refuse(refusal).await,
            Next::NoOrigin(error) => self.part_without_origin(&error).await,
            Next::Idle(reason) => self.part(reason).await,
        }
    }

    /// What is known to be no request: the rules that ask for none have the first word.
    async fn without_request(self, what: &Next) {
        let http = &self.shared.http;
        match (self.fate, what) {
            (Fate::Tunnel, _) => self.tunnel_from_start(None).await,
            (_, Next::NotHttp) if http.not_http == Unknown::Reject => self.refuse(NOT_HTTP).await,
            (_, Next::Http2) if http.http2_preface == Unknown::Reject => self.refuse(HTTP2).await,
            (Fate::Refused, _) => self.denied().await,
            (Fate::Open, Next::Unsolicited) => self.pass_unsolicited().await,
            // It is HTTP, and another client may speak what we do.
            (Fate::Open, Next::Http2) => self.tunnel_from_start(None).await,
            (Fate::Open, _) => self.tunnel_from_start(Some(Kind::NotHttp)).await,
        }
    }

    /// The connection ends behind an exchange, or becomes something else.
    async fn end(self, after: After) {
        match after {
            After::NextRequest => {}
            After::Close => self.close(LINGER_TOTAL).await,
            After::Leave => self.close(LINGER).await,
            After::Reset(dead) => self.reset(dead).await,
            After::Tunnel(transaction, reason) => self.tunnel(*transaction, reason).await,
        }
    }

    /// The connection ends between requests; an unfinished head is worth a line in the log.
    async fn part(mut self, reason: Reason) {
        if matches!(
            reason,
            Reason::BypassedNow | Reason::TrackedNow | Reason::Killed
        ) {
            // Each connection that was ended from outside leaves a line, idle or not.
            let mut transaction = self.transaction();
            transaction.bytes_in = self.client.buffer.len() as u64;
            transaction.end(&self.shared, reason);
            return self.reset(Dead::Neither).await;
        }
        if !self.client.buffer.is_empty() {
            let mut transaction = self.transaction();
            transaction.bytes_in = self.client.buffer.len() as u64;
            if reason == Reason::HeadTimeout {
                self.answer(408, reason, true, &mut transaction).await;
            }
            transaction.end(&self.shared, reason);
        }
        self.close(LINGER).await;
    }

    /// The origin of a client that has said nothing cannot be connected: to a client that waits
    /// for a banner nothing but the end of its connection can tell.
    async fn part_without_origin(self, error: &Unconnected) {
        let transaction = self.transaction_without_request();
        transaction.end(&self.shared, error.reason());
        self.reset(Dead::Origin).await;
    }

    /// A rule refuses the connection, and what came on it is no request that could be answered.
    async fn denied(self) {
        let transaction = self.transaction_without_request();
        transaction.end(&self.shared, Reason::Denied);
        self.reset(Dead::Neither).await;
    }

    /// A request that must not reach the origin.
    async fn refuse(mut self, refusal: Refusal) {
        tracing::debug!(client = %self.from, origin = %self.to, detail = refusal.detail,
            "request refused");
        let mut transaction = self.transaction();
        let received = &self.client.buffer;
        transaction.describe_refused(received);
        transaction.bytes_in = received.len() as u64;
        // RFC 9110 §9.3.2, as far as what came can be read.
        let body = !received.starts_with(b"HEAD ");
        self.answer(refusal.status, refusal.reason, body, &mut transaction)
            .await;
        transaction.end(&self.shared, refusal.reason);
        self.close(LINGER_TOTAL).await;
    }

    /// Writes an answer of our own.
    async fn answer(
        &mut self,
        status: u16,
        reason: Reason,
        body: bool,
        transaction: &mut Transaction,
    ) {
        let mut answer = Vec::with_capacity(256);
        http::answer(status, reason, body, &mut answer);
        self.send_answer(status, &answer, transaction).await;
    }

    /// Sends an answer of our own.
    async fn send_answer(&mut self, status: u16, answer: &[u8], transaction: &mut Transaction) {
        transaction.status = Some(status);
        match self.client.write(answer).await {
            Ok(()) => {
                self.live
                    .vitals()
                    .received(answer.len(), &self.shared.stats);
                transaction.bytes_out += answer.len() as u64;
                let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
                transaction.head_out = head.map_or(0, |head| head as u64 + 4);
            }
            Err(_) => self.client.reset_on_close(),
        }
    }

    /// Ends both connections in an orderly way, which the client may delay for so long. The
    /// origin need not wait for the client's FIN.
    async fn close(self, patience: Duration) {
        drop((self.origin, self.connecting));
        self.live.vitals().enter(State::Closing);
        tokio::select! {
            () = self.client.finish(patience) => {}
            _ = self.live.ended_now() => {}
        }
    }

    /// Passes a reset on: whoever sent it, or would have without us, the other side sees one,
    /// behind what it was sent before.
    async fn reset(self, dead: Dead) {
        self.live.vitals().enter(State::Closing);
        match (dead, self.origin) {
            (Dead::Origin, _) => self.client.reset_behind_what_was_sent().await,
            (Dead::Client, Some(origin)) => origin.leg.reset_behind_what_was_sent().await,
            (Dead::Client, None) => {}
            (Dead::Neither, origin) => {
                if let Some(origin) = origin {
                    origin.leg.reset_on_close();
                }
                self.client.reset_on_close();
            }
        }
    }

    fn transaction(&self) -> Transaction {
        Transaction::new(
            self.from,
            self.to,
            self.origin.as_ref().map(|origin| origin.spoofed),
        )
        .of(self.live.vitals())
    }
}

const NOT_HTTP: Refusal = Refusal {
    status: 400,
    reason: Reason::NotHttp,
    detail: "what cannot begin a request is to be rejected",
};

const HTTP2: Refusal = Refusal {
    status: 505,
    reason: Reason::UnknownVersion,
    detail: "the preface of HTTP/2 is to be rejected",
};

const OUT_OF_MEMORY: Refusal = Refusal {
    status: 503,
    reason: Reason::MemoryLimit,
    detail: "the limit of memory is reached",
};
