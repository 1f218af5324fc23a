//! Tunnels: what is not HTTP, and what HTTP has agreed to become something else.

use std::{cell::Cell, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    Session,
    leg::LINGER,
    outcome::Dead,
    record::Transaction,
    relay::{Broken, Path},
    vitals::State,
    watch::{Patience, Watch},
};
use crate::{
    http::{ClientHello, client_hello},
    learn::Kind,
    reason::Reason,
};

/// How long a ClientHello is waited for before the tunnel begins without.
const HELLO: Duration = Duration::from_millis(100);

impl Session {
    /// The connection did not begin with HTTP, or nobody is to look: the origin gets the same
    /// bytes. `seen`, if there is something to be learned from a tunnel that comes about.
    pub(super) async fn tunnel_from_start(mut self, seen: Option<Kind>) {
        let mut transaction = self.transaction_without_request();
        if let Err(error) = self.connect(self.quiet_way).await {
            // No answer that the client's protocol would understand: a reset.
            transaction.end(&self.shared, error.reason());
            return self.reset(Dead::Origin).await;
        }
        if let Some(seen) = seen {
            self.tell(seen);
        }
        transaction.spoofed = self.origin.as_ref().map(|origin| origin.spoofed);
        self.label_tls(&mut transaction).await;
        self.tunnel(transaction, Reason::Tunnel).await;
    }

    /// Notes which server a TLS client means. Its first message comes in one go, if perhaps in
    /// several segments; what takes longer goes without the label.
    async fn label_tls(&mut self, transaction: &mut Transaction) {
        let deadline = Instant::now() + HELLO;
        loop {
            match client_hello(&self.client.buffer) {
                ClientHello::NotTls => return,
                ClientHello::Complete(name) => {
                    self.live.vitals().named(name.as_deref());
                    return transaction.named_by_tls(name);
                }
                ClientHello::NeedMore if self.client.buffer.is_empty() => return,
                ClientHello::NeedMore => {}
            }
            match timeout_at(deadline, self.client.fill()).await {
                Ok(Ok(read @ 1..)) => self.live.vitals().sent(read, &self.shared.stats),
                _ => return,
            }
        }
    }

    /// Relays both ways until both sides are done; the end of one direction travels on by
    /// itself, so that a half-closed connection goes on the other way.
    pub(super) async fn tunnel(mut self, mut transaction: Transaction, reason: Reason) {
        let Some(origin) = &mut self.origin else {
            return;
        };
        self.live.vitals().enter(State::Tunnel);
        let (bytes_in, bytes_out) = (Cell::new(0), Cell::new(0));
        let (client, origin_stream) = (&self.client.stream, &origin.leg.stream);
        let patience = Patience::idle(self.shared.tunnel_idle_timeout);
        let seen = (&**self.live.vitals(), &*self.shared.stats);
        let watch = Watch::over(patience, client, origin_stream, seen);
        let up = Path::up(client, origin_stream, &watch, &bytes_in);
        let down = Path::down(origin_stream, client, &watch, &bytes_out);
        let up = async {
            up.stream(&mut self.client.buffer)
                .await
                .map_err(|b| match b {
                    Broken::Sink => Dead::Origin,
                    _ => Dead::Client,
                })
        };
        let down = async {
            down.stream(&mut origin.leg.buffer)
                .await
                .map_err(|b| match b {
                    Broken::Sink => Dead::Client,
                    _ => Dead::Origin,
                })
        };
        let ended = tokio::select! {
            both = async { tokio::try_join!(up, down) } => both.map_err(|dead| (dead, reason)),
            _ = watch.expired() => Err((Dead::Neither, Reason::IdleTimeout)),
            // A tunnel has no end that could be waited for: it lives to the drain's deadline.
            why = self.live.cut() => Err((Dead::Neither, why)),
        };
        transaction.bytes_in += bytes_in.get();
        transaction.bytes_out += bytes_out.get();
        match ended {
            Ok(_) => transaction.end(&self.shared, reason),
            Err((dead, reason)) => {
                transaction.end(&self.shared, reason);
                self.reset(dead).await;
            }
        }
    }

    /// An answer to nothing, such as a 408 before any request: the client sees it, and then the
    /// end. What it says meanwhile is no request any more.
    pub(super) async fn pass_unsolicited(mut self) {
        let mut transaction = self.transaction_without_request();
        let Some(origin) = &mut self.origin else {
            return;
        };
        let bytes_out = Cell::new(0);
        let (client, origin_stream) = (&self.client.stream, &origin.leg.stream);
        let seen = (&**self.live.vitals(), &*self.shared.stats);
        let watch = Watch::over(self.shared.patience, client, origin_stream, seen);
        let down = Path::down(origin_stream, client, &watch, &bytes_out);
        let ended = tokio::select! {
            ended = down.stream(&mut origin.leg.buffer) => ended.map_err(|_| Reason::OriginClosed),
            _ = watch.expired() => Err(Reason::OriginClosed),
            why = self.live.cut() => Err(why),
        };
        transaction.bytes_out = bytes_out.get();
        transaction.end(&self.shared, ended.err().unwrap_or(Reason::OriginClosed));
        if ended.is_ok() {
            self.close(LINGER).await;
        } else {
            self.reset(Dead::Neither).await;
        }
    }
}
