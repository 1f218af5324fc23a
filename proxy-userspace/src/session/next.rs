//! Waiting for the next request of a connection.

use std::time::Duration;

use bytes::Buf as _;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    OUT_OF_MEMORY, Session, Shared, connect::Unconnected, decide::Fate, leg::HEAD_READ,
    request::Request, vitals::State,
};
use crate::{
    config::Unknown,
    http::{
        HeadScanner, Refusal, ResponseStart, Start, classify, classify_response, parse_request_from,
    },
    observe::Asymmetry,
    reason::Reason,
};

/// What came.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each request, and taken apart at once"
)]
pub(super) enum Next {
    /// A request.
    Request(Request),
    /// Bytes that cannot begin a request, at the beginning of the connection.
    NotHttp,
    /// The preface of HTTP/2, at the beginning of the connection.
    Http2,
    /// The origin spoke first, and not HTTP.
    OriginFirst,
    /// The origin spoke first, and HTTP: an answer to nothing.
    Unsolicited,
    /// A request that must be refused.
    Refused(Refusal),
    /// A silent client's origin cannot be connected.
    NoOrigin(Unconnected),
    /// No request: the connection is over.
    Idle(Reason),
}

/// A connection that has just been made still gets its first request through when the daemon
/// begins to drain.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// What ended a wait.
enum Woken {
    /// More from the client.
    Client,
    /// Something from the origin: bytes, or the end of its stream if there are none.
    Origin,
    /// The client has been silent for long enough to connect its origin.
    Silence,
    /// That is done.
    Connected(Result<(), Unconnected>),
    /// No more will come.
    Over(Reason),
}

/// How far a request has come.
struct Head {
    scanner: HeadScanner,
    is_request: bool,
    /// Since its first byte.
    began: Instant,
}

impl Session {
    /// The next request. `first` of its connection: then what is not HTTP may be a tunnel.
    pub(super) async fn next_request(&mut self, first: bool) -> Next {
        self.live.vitals().enter(State::Request);
        self.client.buffer.release();
        if let Some(origin) = &mut self.origin {
            origin.leg.buffer.release();
        }
        let mut head = Head {
            scanner: HeadScanner::new(),
            is_request: false,
            began: Instant::now(),
        };
        loop {
            if let Some(next) = self.judge(&mut head, first) {
                return next;
            }
            if self.client_done {
                return Next::Idle(Reason::ClientClosed);
            }
            let was_idle = self.client.buffer.is_empty();
            match self.wait(&head, first).await {
                Woken::Client if was_idle => head.began = Instant::now(),
                Woken::Client => {}
                Woken::Origin => {
                    if let Some(next) = self.origin_spoke(first, head.is_request) {
                        return next;
                    }
                }
                Woken::Silence => {
                    self.shared.stats.asymmetry(Asymmetry::SilentClient);
                    self.begin_to_connect(self.quiet_way);
                }
                Woken::Connected(Ok(())) => {}
                Woken::Connected(Err(error)) => return Next::NoOrigin(error),
                // All that will ever come of it is no request.
                Woken::Over(Reason::ClientClosed) if first && !head.is_request && !was_idle => {
                    return Next::NotHttp;
                }
                Woken::Over(reason) => return Next::Idle(reason),
            }
        }
    }

    /// What the client's bytes so far are.
    fn judge(&mut self, head: &mut Head, first: bool) -> Option<Next> {
        let buffer = &mut self.client.buffer;
        if !head.is_request {
            match classify(buffer) {
                Start::NeedMore => return None,
                Start::NotHttp if first => return Some(Next::NotHttp),
                Start::Http2 if first => return Some(Next::Http2),
                // The parser has the word, and refuses it.
                Start::NotHttp | Start::Http2 => {}
                Start::Http { skip } => buffer.advance(skip),
            }
            head.is_request = true;
        }
        match parse_request_from(&mut head.scanner, buffer, &self.shared.limits) {
            Ok(Some(head)) => Some(Next::Request(Request::take(head, buffer, &self.meter))),
            Ok(None) if buffer.is_too_much(HEAD_READ) => Some(Next::Refused(OUT_OF_MEMORY)),
            Ok(None) => None,
            Err(refusal) => Some(Next::Refused(refusal)),
        }
    }

    /// What it means that the origin has said something, or ended its stream, unasked.
    fn origin_spoke(&mut self, first: bool, is_request: bool) -> Option<Next> {
        let origin = self.origin.as_ref()?;
        let idle = self.client.buffer.is_empty();
        let closed = origin.leg.buffer.is_empty();
        if closed && idle {
            return Some(Next::Idle(Reason::OriginClosed));
        }
        if closed || is_request || (!first && !idle) {
            // It is no answer to what the client has begun to ask for.
            self.leave_origin();
            return None;
        }
        if !first {
            // Whatever it is, no request may follow (RFC 9112 §9.2).
            self.shared.stats.asymmetry(Asymmetry::Unsolicited);
            return Some(Next::Idle(Reason::OriginClosed));
        }
        self.shared.stats.asymmetry(Asymmetry::OriginFirst);
        Some(match classify_response(&origin.leg.buffer) {
            ResponseStart::Http => Next::Unsolicited,
            // A banner shorter than any status line comes in one piece.
            ResponseStart::NotHttp | ResponseStart::NeedMore => Next::OriginFirst,
        })
    }

    /// Waits for more bytes from the client, or for what ends the wait.
    async fn wait(&mut self, head: &Head, first: bool) -> Woken {
        let idle = self.client.buffer.is_empty();
        let deadline = self.deadline(head);
        let quiet = first && idle && self.origin.is_none() && self.connecting.is_none();
        let silence = self.silence().filter(|_| quiet);
        let Shared { drain, .. } = &*self.shared;
        let drained = async {
            drain.cancelled().await;
            if first {
                sleep(FIRST_REQUEST).await;
            }
        };
        let silence = async {
            match silence {
                Some(silence) => sleep(silence).await,
                None => std::future::pending().await,
            }
        };
        let origin = self.origin.as_mut();
        let origin_speaks = async {
            match origin {
                Some(origin) => origin.leg.fill().await,
                None => std::future::pending().await,
            }
        };
        let connecting = self.connecting.as_mut();
        let connected = async {
            match connecting {
                Some(it) => (it.way(), it.began(), it.done().await),
                None => std::future::pending().await,
            }
        };
        let (way, began, connected) = tokio::select! {
            biased;
            read = self.client.fill() => return match read {
                Ok(read) if read > 0 => {
                    self.live.vitals().sent(read, &self.shared.stats);
                    Woken::Client
                }
                _ => Woken::Over(Reason::ClientClosed),
            },
            // Its end, or bytes that nobody asked for.
            _ = origin_speaks => return Woken::Origin,
            connected = connected => connected,
            () = silence => return Woken::Silence,
            () = drained, if idle => return Woken::Over(Reason::Draining),
            why = self.live.cut() => return Woken::Over(why),
            () = sleep_until(deadline) => return Woken::Over(if idle {
                Reason::IdleTimeout
            } else {
                Reason::HeadTimeout
            }),
        };
        self.connecting = None;
        Woken::Connected(self.connected(way, began, connected))
    }

    /// For how long a client may say nothing before its origin is asked.
    fn silence(&self) -> Option<Duration> {
        let http = &self.shared.http;
        let may_tunnel = match self.fate {
            Fate::Open => http.not_http == Unknown::Tunnel,
            Fate::Tunnel => true,
            Fate::Refused => false,
        };
        (may_tunnel && !http.silence.is_zero()).then_some(http.silence)
    }

    /// When the client will have been silent, or slow, for too long.
    fn deadline(&self, head: &Head) -> Instant {
        let received = self.client.buffer.len();
        if received == 0 {
            return Instant::now() + self.shared.idle_timeout;
        }
        let whole = self.shared.head_timeout;
        let by_rate = self.shared.patience.for_sending(received as u64);
        head.began + by_rate.map_or(whole, |by_rate| by_rate.min(whole))
    }
}
