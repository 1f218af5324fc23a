//! Who is being waited for within an exchange, for how long, and how fast they are.
//!
//! One timer watches both directions, instead of one for each read and write. What counts is the
//! time in which *we wait for somebody*: a client is not slow because its origin is. And who
//! takes bytes slowly is not silent: a socket becomes writable again only when a third of its
//! buffer is free, so the watch looks at what has been acknowledged.

use std::{cell::Cell, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::vitals::Vitals;
use crate::{observe::Stats, reason::Reason, sys};

/// How patient a session is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a client to send or take anything of an exchange.
    pub client: Duration,
    /// For an origin.
    pub origin: Duration,
    /// Bytes per second that a client has to send; 0: any.
    pub send_rate: u32,
    /// Bytes per second that a client has to take; 0: any.
    pub receive_rate: u32,
    /// How long a client may be waited for in total before the rates count.
    pub grace: Duration,
}

impl Patience {
    /// Without rates, the same for both sides.
    pub(super) const fn idle(timeout: Duration) -> Self {
        Self {
            client: timeout,
            origin: timeout,
            send_rate: 0,
            receive_rate: 0,
            grace: timeout,
        }
    }

    /// How long a client that has sent `bytes` may have been waited for. `None`: for ever.
    pub(super) fn for_sending(&self, bytes: u64) -> Option<Duration> {
        allowance(self.grace, bytes, self.send_rate)
    }

    fn for_taking(&self, bytes: u64) -> Option<Duration> {
        allowance(self.grace, bytes, self.receive_rate)
    }
}

fn allowance(grace: Duration, bytes: u64, rate: u32) -> Option<Duration> {
    let seconds = (rate > 0).then(|| Duration::from_secs(bytes / u64::from(rate)))?;
    grace.checked_add(seconds)
}

/// One of the two that we speak with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Origin,
}

/// A direction of the exchange.
#[derive(Default)]
pub(super) struct Direction {
    waiting: Cell<Option<(Side, Instant)>>,
    /// How long the client was waited for, waits that are over.
    waited: Cell<Duration>,
    /// Bytes from the sender.
    read: Cell<u64>,
    /// Bytes that were written to the receiver.
    written: Cell<u64>,
    /// Bytes of these that it had acknowledged when it was looked at last.
    taken: Cell<u64>,
}

impl Direction {
    /// Somebody is waited for while the result lives.
    pub(super) fn wait(&self, side: Side) -> Waiting<'_> {
        self.waiting.set(Some((side, Instant::now())));
        Waiting(self)
    }

    /// The sender has sent so many bytes.
    pub(super) fn count_read(&self, bytes: usize) {
        self.read.set(self.read.get() + bytes as u64);
    }

    /// So many bytes were written to the receiver.
    pub(super) fn count_written(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
    }
}

/// See [`Direction::wait`].
pub(super) struct Waiting<'d>(&'d Direction);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some((Side::Client, since)) = self.0.waiting.take() {
            self.0.waited.set(self.0.waited.get() + since.elapsed());
        }
    }
}

/// The watch over one exchange or tunnel.
pub(super) struct Watch<'s> {
    patience: Patience,
    /// What others see of the flow, and the daemon's counters.
    seen: Option<(&'s Vitals, &'s Stats)>,
    /// The client's and the origin's socket.
    sockets: Option<(&'s TcpStream, &'s TcpStream)>,
    /// When anything moved last, in either direction.
    moved: Cell<Instant>,
    /// Client to origin.
    pub(super) up: Direction,
    /// Origin to client.
    pub(super) down: Direction,
}

impl<'s> Watch<'s> {
    /// Over an exchange between the two.
    pub(super) fn over(
        patience: Patience,
        client: &'s TcpStream,
        origin: &'s TcpStream,
        seen: (&'s Vitals, &'s Stats),
    ) -> Self {
        Self {
            seen: Some(seen),
            sockets: Some((client, origin)),
            ..Self::new(patience)
        }
    }

    fn new(patience: Patience) -> Self {
        Self {
            patience,
            seen: None,
            sockets: None,
            moved: Cell::new(Instant::now()),
            up: Direction::default(),
            down: Direction::default(),
        }
    }

    /// The client has sent so many bytes.
    pub(super) fn sent(&self, bytes: usize) {
        if let Some((vitals, stats)) = self.seen {
            vitals.sent(bytes, stats);
        }
    }

    /// The client was sent so many bytes.
    pub(super) fn received(&self, bytes: usize) {
        if let Some((vitals, stats)) = self.seen {
            vitals.received(bytes, stats);
        }
    }

    /// Something moved.
    pub(super) fn touch(&self) {
        self.moved.set(Instant::now());
    }

    /// Returns when patience is at its end: [`Reason::ClientStalled`], [`Reason::OriginStalled`]
    /// or [`Reason::SlowClient`].
    pub(super) async fn expired(&self) -> Reason {
        let Patience {
            client,
            origin,
            grace,
            ..
        } = self.patience;
        // A wait that begins while we sleep may end before what we sleep for.
        let nap = client.min(origin).min(grace) / 4;
        loop {
            self.look_at_receivers();
            let now = Instant::now();
            match self.next_deadline(now) {
                Err(reason) => return reason,
                Ok(deadline) => {
                    let nap = now + nap.max(Duration::from_millis(1));
                    sleep_until(deadline.map_or(nap, |deadline| deadline.min(nap))).await;
                }
            }
        }
    }

    /// Takes note of what the receivers that we wait for have acknowledged.
    fn look_at_receivers(&self) {
        let Some((client, origin)) = self.sockets else {
            return;
        };
        let [to_origin, to_client] = [
            (&self.up, Side::Origin, origin),
            (&self.down, Side::Client, client),
        ]
        .map(|(direction, side, socket)| {
            let writing = matches!(direction.waiting.get(), Some((whom, _)) if whom == side);
            let unacknowledged = writing.then(|| sys::socket::unacknowledged(socket).ok())??;
            let taken = direction
                .written
                .get()
                .saturating_sub(unacknowledged as u64);
            (direction.taken.replace(taken) < taken).then_some(())
        });
        if to_origin.or(to_client).is_some() {
            self.touch();
        }
    }

    /// The next moment at which somebody could be too late, or who is.
    fn next_deadline(&self, now: Instant) -> Result<Option<Instant>, Reason> {
        let mut next: Option<Instant> = None;
        let mut check = |deadline: Instant, reason| {
            if deadline <= now {
                return Err(reason);
            }
            next = Some(next.map_or(deadline, |next| next.min(deadline)));
            Ok(())
        };
        let (up, down) = (self.up.waiting.get(), self.down.waiting.get());
        // An origin that waits for the rest of a request is not to blame for its silence.
        let clients_turn =
            matches!(up, Some((Side::Client, _))) || matches!(down, Some((Side::Client, _)));
        let sending = self.patience.for_sending(self.up.read.get());
        let taking = self.patience.for_taking(self.down.taken.get());
        for (direction, waiting, allowed) in [(&self.up, up, sending), (&self.down, down, taking)] {
            let Some((side, since)) = waiting else {
                continue;
            };
            let idle_since = since.max(self.moved.get());
            match side {
                Side::Client => {
                    check(idle_since + self.patience.client, Reason::ClientStalled)?;
                    if let Some(allowed) = allowed {
                        let left = allowed.saturating_sub(direction.waited.get());
                        check(since + left, Reason::SlowClient)?;
                    }
                }
                Side::Origin if clients_turn => {}
                Side::Origin => check(idle_since + self.patience.origin, Reason::OriginStalled)?,
            }
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause};

    use super::*;

    const PATIENCE: Patience = Patience {
        client: Duration::from_secs(60),
        origin: Duration::from_secs(90),
        send_rate: 100,
        receive_rate: 0,
        grace: Duration::from_secs(10),
    };

    /// After how many whole seconds it expires, and with what.
    async fn outcome(watch: &Watch<'_>) -> (u64, Reason) {
        let began = Instant::now();
        let reason = watch.expired().await;
        (began.elapsed().as_secs(), reason)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_blamed_on_whom_we_wait_for() {
        let watch = Watch::new(PATIENCE);
        let _waiting = watch.down.wait(Side::Origin);
        assert_eq!(outcome(&watch).await, (90, Reason::OriginStalled));
        let watch = Watch::new(PATIENCE);
        let _waiting = watch.down.wait(Side::Client);
        assert_eq!(outcome(&watch).await, (60, Reason::ClientStalled));
        let patience = Patience {
            send_rate: 0,
            ..PATIENCE
        };
        let watch = Watch::new(patience);
        let _waiting = (watch.down.wait(Side::Origin), watch.up.wait(Side::Client));
        assert_eq!(outcome(&watch).await, (60, Reason::ClientStalled));
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_not_silent() {
        let watch = Watch::new(PATIENCE);
        let _waiting = watch.down.wait(Side::Origin);
        advance(Duration::from_secs(80)).await;
        watch.touch();
        assert_eq!(outcome(&watch).await, (90, Reason::OriginStalled));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_a_rate_to_keep() {
        let watch = Watch::new(PATIENCE);
        let _waiting = watch.up.wait(Side::Client);
        watch.up.count_read(500);
        assert_eq!(outcome(&watch).await, (15, Reason::SlowClient));
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_for_the_client_counts() {
        let watch = Watch::new(PATIENCE);
        {
            let _waiting = watch.up.wait(Side::Client);
            advance(Duration::from_secs(4)).await;
        }
        {
            let _waiting = watch.up.wait(Side::Origin);
            advance(Duration::from_secs(30)).await;
        }
        watch.touch();
        let _waiting = watch.up.wait(Side::Client);
        assert_eq!(outcome(&watch).await, (6, Reason::SlowClient));
    }

    #[tokio::test]
    async fn nobody_waited_for_is_late() {
        pause();
        let watch = Watch::new(PATIENCE);
        advance(Duration::from_secs(1000)).await;
        assert_eq!(watch.next_deadline(Instant::now()), Ok(None));
    }
}
