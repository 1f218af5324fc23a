//! The way to the origin, once for each connection unless a request wants another one.

use std::time::Instant;

use tokio::{net::TcpStream, sync::watch, task::JoinHandle};

use super::{
    Session,
    leg::{Leg, Origin, is_reset},
    vitals::State,
};
use crate::{
    addr::{OriginAddr, SpoofedAddr},
    learn::Kind,
    observe::Asymmetry,
    reason::Reason,
    upstream::{ConnectError, Conntrack, Source, Way},
};

/// A connect that goes on while the client is listened to.
pub(super) struct Connecting {
    way: Way,
    began: Instant,
    task: JoinHandle<Connected>,
}

type Connected = Result<(TcpStream, SpoofedAddr), ConnectError>;

impl Connecting {
    pub(super) const fn way(&self) -> Way {
        self.way
    }

    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// What became of it. Cancel-safe.
    pub(super) async fn done(&mut self) -> Connected {
        match (&mut self.task).await {
            Ok(connected) => connected,
            Err(failed) => Err(ConnectError::Unreachable(std::io::Error::other(failed))),
        }
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Begins to connect, without waiting.
    pub(super) fn begin_to_connect(&mut self, way: Way) {
        let upstream = self.shared.upstream.clone();
        let (from, to) = (self.from, self.to);
        let task = tokio::task::spawn_local(async move { upstream.connect(from, to, way).await });
        self.connecting = Some(Connecting {
            way,
            began: Instant::now(),
            task,
        });
    }

    /// Connects to the origin by `way` for a request, which nothing of has been sent yet.
    ///
    /// What the origin has said since its last answer cannot answer it (RFC 9112 §9.2): a
    /// connection on which there is any of that, or its end, is not used for it.
    pub(super) async fn connect_for_request(&mut self, way: Way) -> Result<(), Unconnected> {
        if self.origin.as_ref().is_some_and(|it| !it.leg.is_quiet()) {
            self.leave_origin();
        }
        self.connect(way).await
    }

    /// Gives up the connection to an origin that has said something, or has closed, while the
    /// client had begun to ask for something: another one is made for that.
    pub(super) fn leave_origin(&mut self) {
        self.shared.stats.asymmetry(Asymmetry::Unsolicited);
        self.origin = None;
    }

    /// Connects to the origin by `way`, if that is still to be done.
    pub(super) async fn connect(&mut self, way: Way) -> Result<(), Unconnected> {
        if self.origin.as_ref().is_some_and(|origin| origin.way == way) {
            return Ok(());
        }
        self.live.vitals().enter(State::Connecting);
        // What there is goes another way: its origin sees an orderly end.
        self.origin = None;
        let begun = self.connecting.take().filter(|begun| begun.way == way);
        let began = begun.as_ref().map_or_else(Instant::now, Connecting::began);
        let connected = async {
            match begun {
                Some(mut begun) => begun.done().await,
                None => self.shared.upstream.connect(self.from, self.to, way).await,
            }
        };
        let opened = valve_opens(self.shared.valve.clone(), self.to);
        let connected = tokio::select! {
            connected = connected => connected,
            () = opened => return Err(Unconnected::ValveOpened),
            why = self.live.ended_now() => return Err(Unconnected::Ended(why)),
            () = is_reset(&self.client.stream) => return Err(Unconnected::ClientGone),
        };
        self.connected(way, began, connected)
    }

    /// Takes in what became of a connect.
    pub(super) fn connected(
        &mut self,
        way: Way,
        began: Instant,
        connected: Connected,
    ) -> Result<(), Unconnected> {
        self.report(way, &connected);
        match connected {
            Ok((stream, spoofed)) => {
                let since_accept = self.live.vitals().first_connect();
                self.shared.stats.connected(began.elapsed(), since_accept);
                if way.source == Source::ClientPort {
                    self.port_kept(spoofed);
                }
                self.origin = Some(Origin {
                    leg: Leg::new(stream, &self.meter),
                    spoofed,
                    way,
                    requests: 0,
                });
                Ok(())
            }
            Err(error) => {
                tracing::debug!(client = %self.from, origin = %self.to, %error, "no origin");
                Err(Unconnected::Failed(error))
            }
        }
    }
}

impl Session {
    /// Whether the origin sees the client's own port, as it was to.
    fn port_kept(&self, spoofed: SpoofedAddr) {
        if spoofed.0 == self.from.0 {
            self.live.expose(|| !Conntrack::is_in_use());
        } else {
            self.shared.stats.asymmetry(Asymmetry::PortNotKept);
        }
    }

    /// Tells the learner what became of a connect from the client's address.
    fn report(&self, way: Way, connected: &Connected) {
        if !matches!(way.source, Source::Client | Source::ClientPort) {
            return;
        }
        let kind = match connected {
            Ok(_) => Kind::Connected,
            Err(ConnectError::WentAround) => Kind::WentAround,
            Err(
                ConnectError::Refused
                | ConnectError::Reset
                | ConnectError::Unreachable(_)
                | ConnectError::Timeout,
            ) => Kind::ConnectFailed,
            // That is our own trouble.
            Err(
                ConnectError::NoSourcePort(_)
                | ConnectError::Limit(_)
                | ConnectError::Looping
                | ConnectError::Socket { .. },
            ) => return,
        };
        self.tell(kind);
    }

    /// Tells the learner what was seen of this connection.
    pub(super) fn tell(&self, kind: Kind) {
        let Self { from, to, .. } = self;
        self.shared.reports.tell(kind, from.0.ip(), to.0);
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
pub(super) enum Unconnected {
    /// The connect failed.
    Failed(ConnectError),
    /// The valve opened: the client should come again, and will go direct.
    ValveOpened,
    /// The client's connection was ended from outside.
    Ended(Reason),
    /// The client has reset its connection meanwhile: nobody is left to connect for.
    ClientGone,
}

impl Unconnected {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Failed(error) => error.reason(),
            Self::ValveOpened => Reason::NoReturnPath,
            Self::Ended(why) => *why,
            Self::ClientGone => Reason::ClientClosed,
        }
    }

    /// What the client is told, as near to what it would have seen without us as TCP allows.
    /// `None` is a reset.
    pub(super) const fn status(&self) -> Option<u16> {
        match self {
            Self::Failed(
                ConnectError::Refused
                | ConnectError::Reset
                | ConnectError::Looping
                | ConnectError::WentAround,
            )
            | Self::ValveOpened
            | Self::Ended(_)
            | Self::ClientGone => None,
            Self::Failed(ConnectError::Timeout) => Some(504),
            Self::Failed(ConnectError::Limit(_) | ConnectError::NoSourcePort(_)) => Some(503),
            Self::Failed(_) => Some(502),
        }
    }
}
