//! Tunnels: what is not HTTP, and what HTTP has agreed to become something else.

use std::cell::Cell;

use super::{Session, activity::Activity, record::Transaction, relay};
use crate::reason::Reason;

impl Session {
    /// The connection did not begin with HTTP: the origin gets the same bytes.
    pub(super) async fn tunnel_from_start(mut self) {
        let mut transaction = self.transaction();
        if let Err(error) = self.connect().await {
            // No answer that the client's protocol would understand: a reset.
            transaction.end(&self.shared, error.reason());
            return self.reset();
        }
        transaction.spoofed = self.origin.as_ref().map(|origin| origin.spoofed);
        self.tunnel(transaction, Reason::Tunnel).await;
    }

    /// A `101`, or a 2xx to CONNECT, has been passed on.
    pub(super) async fn upgraded(self, transaction: Transaction) {
        self.tunnel(transaction, Reason::Upgraded).await;
    }

    /// Relays both ways until both sides are done; the end of one direction travels on by
    /// itself, so that a half-closed connection goes on the other way.
    async fn tunnel(mut self, mut transaction: Transaction, reason: Reason) {
        let Some(origin) = &mut self.origin else {
            return;
        };
        let activity = Activity::new(self.shared.tunnel_idle_timeout);
        let (bytes_in, bytes_out) = (Cell::new(0), Cell::new(0));
        let (mut client_read, mut client_write) = self.client.stream.split();
        let (mut origin_read, mut origin_write) = origin.leg.stream.split();
        let up = relay::stream(
            &mut self.client.buffer,
            &mut client_read,
            &mut origin_write,
            &bytes_in,
            &activity,
        );
        let down = relay::stream(
            &mut origin.leg.buffer,
            &mut origin_read,
            &mut client_write,
            &bytes_out,
            &activity,
        );
        let ended = tokio::select! {
            both = async { tokio::try_join!(up, down) } => both.map_err(|_| Reason::OriginClosed),
            () = activity.stalled() => Err(Reason::IdleTimeout),
            // A tunnel has no end that could be waited for: it lives to the drain's deadline.
            () = self.shared.cut.cancelled() => Err(Reason::Draining),
        };
        transaction.bytes_in += bytes_in.get();
        transaction.bytes_out += bytes_out.get();
        match ended {
            Ok(_) => transaction.end(&self.shared, reason),
            Err(cut) => {
                // A failed read or write is the other side's reset: pass it on.
                let cut = if cut == Reason::OriginClosed {
                    reason
                } else {
                    cut
                };
                transaction.end(&self.shared, cut);
                self.reset();
            }
        }
    }
}
