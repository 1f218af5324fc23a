//! One task for each client connection: requests in, the same requests out, answers back.

mod activity;
mod exchange;
mod leg;
mod next;
mod receive;
mod record;
mod relay;
mod send;
mod tunnel;

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::{
    exchange::After,
    leg::{Leg, Origin},
    next::Next,
    record::Transaction,
};
use crate::{
    addr::{ClientAddr, OriginAddr},
    http::{self, HeadLimits, Refusal},
    listener::Accepted,
    observe::{AccessLog, Stats},
    reason::Reason,
    upstream::{ConnectError, Upstream, Way},
};

/// What sessions need; a session keeps what it began with across a reload.
#[derive(Clone)]
pub struct Shared {
    /// Client connections of all workers together; beyond it new ones are reset.
    pub connections: usize,
    /// At so many connections, [`pressure`](Self::pressure) is told.
    pub relief: u64,
    /// Woken when connections become many: new flows should go direct before any must be reset.
    pub pressure: Arc<Notify>,
    /// Bounds of a head.
    pub limits: HeadLimits,
    /// From a head's first byte to its last.
    pub head_timeout: Duration,
    /// Nothing moves: between requests, or in the middle of one.
    pub idle_timeout: Duration,
    /// Nothing moves in a tunnel.
    pub tunnel_idle_timeout: Duration,
    /// The way to origins.
    pub upstream: Upstream,
    /// Counters.
    pub stats: Arc<Stats>,
    /// The access log.
    pub log: AccessLog,
    /// Cancelled when the daemon stops: what is under way is finished, nothing more is begun.
    pub drain: CancellationToken,
    /// Cancelled at the end of the drain: what is still under way is cut.
    pub cut: CancellationToken,
    /// IPv4, IPv6: grows each time the valve opens because origins do not answer.
    pub valve: watch::Receiver<[u64; 2]>,
}

/// Serves an intercepted connection to its end.
pub async fn serve(accepted: Accepted, shared: Arc<Shared>) {
    let _active = shared.stats.connection();
    let _leg = shared
        .upstream
        .legs
        .register(accepted.client, accepted.origin);
    let session = Session {
        client: Leg::new(accepted.stream),
        from: accepted.client,
        to: accepted.origin,
        origin: None,
        client_done: false,
        shared,
    };
    session.run().await;
}

/// Resets an intercepted connection that cannot be served.
pub fn reset(accepted: &Accepted) {
    leg::reset_on_close(&accepted.stream);
}

struct Session {
    client: Leg,
    from: ClientAddr,
    to: OriginAddr,
    origin: Option<Origin>,
    /// The client has half-closed: no request comes after those that are in the buffer.
    client_done: bool,
    shared: Arc<Shared>,
}

impl Session {
    async fn run(mut self) {
        let mut first = true;
        loop {
            let after = match self.next_request(first).await {
                Next::Request(head, received) => self.exchange(head, received).await,
                Next::NotHttp => return self.tunnel_from_start().await,
                Next::Refused(refusal, received) => return self.refuse(refusal, &received).await,
                Next::Idle(reason) => return self.part(reason).await,
            };
            match after {
                After::NextRequest => first = false,
                After::Close => return self.close().await,
                After::Reset => return self.reset(),
                After::Tunnel(transaction) => return self.upgraded(*transaction).await,
            }
        }
    }

    /// The connection ends between requests; an unfinished head is worth a line in the log.
    async fn part(mut self, reason: Reason) {
        let unfinished = !self.client.buffer.is_empty();
        if unfinished {
            let mut transaction = self.transaction();
            transaction.bytes_in = self.client.buffer.len() as u64;
            if reason == Reason::HeadTimeout {
                self.answer(408, reason, true, &mut transaction).await;
            }
            transaction.end(&self.shared, reason);
        }
        self.close().await;
    }

    /// A request that must not reach the origin.
    async fn refuse(mut self, refusal: Refusal, received: &[u8]) {
        tracing::debug!(client = %self.from, origin = %self.to, detail = refusal.detail,
            "request refused");
        let mut transaction = self.transaction();
        transaction.describe_refused(received);
        transaction.bytes_in = received.len() as u64;
        // RFC 9110 §9.3.2, as far as what came can be read.
        let body = !received.starts_with(b"HEAD ");
        self.answer(refusal.status, refusal.reason, body, &mut transaction)
            .await;
        transaction.end(&self.shared, refusal.reason);
        self.close().await;
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
        transaction.status = Some(status);
        match self.client.write(&answer).await {
            Ok(()) => transaction.bytes_out += answer.len() as u64,
            Err(_) => self.client.reset_on_close(),
        }
    }

    /// Connects to the origin, if that is still to be done.
    async fn connect(&mut self) -> Result<(), Unconnected> {
        if self.origin.is_some() {
            return Ok(());
        }
        let opened = valve_opens(self.shared.valve.clone(), self.to);
        let upstream = &self.shared.upstream;
        let connected = tokio::select! {
            connected = upstream.connect(self.from, self.to, Way::default()) => connected,
            () = opened => return Err(Unconnected::ValveOpened),
        };
        match connected {
            Ok((stream, spoofed)) => {
                self.origin = Some(Origin {
                    leg: Leg::new(stream),
                    spoofed,
                });
                Ok(())
            }
            Err(error) => {
                tracing::debug!(client = %self.from, origin = %self.to, %error, "no origin");
                Err(Unconnected::Failed(error))
            }
        }
    }

    /// Ends both connections in an orderly way. The origin need not wait for the client's FIN.
    async fn close(self) {
        drop(self.origin);
        self.client.finish().await;
    }

    /// Passes a reset on: whoever sent it, or would have without us, the other side sees one.
    fn reset(self) {
        if let Some(origin) = &self.origin {
            origin.leg.reset_on_close();
        }
        self.client.reset_on_close();
    }

    fn transaction(&self) -> Transaction {
        Transaction::new(
            self.from,
            self.to,
            self.origin.as_ref().map(|origin| origin.spoofed),
        )
    }
}

/// Returns when the valve of the origin's family opens.
async fn valve_opens(mut valve: watch::Receiver<[u64; 2]>, origin: OriginAddr) {
    let place = usize::from(origin.0.is_ipv6());
    let times = valve.borrow_and_update()[place];
    while valve.changed().await.is_ok() {
        if valve.borrow_and_update()[place] != times {
            return;
        }
    }
    std::future::pending().await
}

/// Why there is no origin to talk to.
enum Unconnected {
    /// The connect failed.
    Failed(ConnectError),
    /// The valve opened: the client should come again, and will go direct.
    ValveOpened,
}

impl Unconnected {
    const fn reason(&self) -> Reason {
        match self {
            Self::Failed(error) => error.reason(),
            Self::ValveOpened => Reason::NoReturnPath,
        }
    }

    /// What the client is told, as near to what it would have seen without us as TCP allows.
    /// `None` is a reset.
    const fn status(&self) -> Option<u16> {
        match self {
            Self::Failed(ConnectError::Refused | ConnectError::Reset) | Self::ValveOpened => None,
            Self::Failed(ConnectError::Timeout) => Some(504),
            Self::Failed(ConnectError::Limit(_)) => Some(503),
            Self::Failed(_) => Some(502),
        }
    }
}
