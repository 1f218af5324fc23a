//! Waiting for the next request of a connection.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Session, Shared};
use crate::{
    http::{HeadScanner, Refusal, RequestHead, Start, classify, parse_request_from},
    reason::Reason,
};

/// What came.
pub(super) enum Next {
    /// A request; its head's bytes as they came.
    Request(RequestHead, Bytes),
    /// Bytes that cannot begin a request, at the beginning of the connection.
    NotHttp,
    /// A request that must be refused; what has been read of it.
    Refused(Refusal, Bytes),
    /// No request: the connection is over.
    Idle(Reason),
}

/// A connection that has just been made still gets its first request through when the daemon
/// begins to drain.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

impl Session {
    /// The next request. `first` of its connection: then what is not HTTP is a tunnel.
    pub(super) async fn next_request(&mut self, first: bool) -> Next {
        let mut scanner = HeadScanner::new();
        let mut is_request = false;
        let mut deadline = self.deadline();
        self.client.release();
        if let Some(origin) = &mut self.origin {
            origin.leg.release();
        }
        loop {
            if !is_request {
                match classify(&self.client.buffer) {
                    Start::NeedMore => {}
                    Start::NotHttp | Start::Http2 if first => return Next::NotHttp,
                    // The parser has the word, and refuses it.
                    Start::NotHttp | Start::Http2 => is_request = true,
                    Start::Http { skip } => {
                        self.client.buffer.advance(skip);
                        is_request = true;
                    }
                }
            }
            if is_request {
                let parsed =
                    parse_request_from(&mut scanner, &self.client.buffer, &self.shared.limits);
                match parsed {
                    Ok(Some(head)) => {
                        let received = self.client.buffer.split_to(head.len).freeze();
                        return Next::Request(head, received);
                    }
                    Ok(None) => {}
                    Err(refusal) => {
                        return Next::Refused(refusal, self.client.buffer.split().freeze());
                    }
                }
            }
            if self.client_done {
                return Next::Idle(Reason::ClientClosed);
            }
            let was_idle = self.client.buffer.is_empty();
            match self.wait(deadline, was_idle, first).await {
                Ok(()) if was_idle => deadline = self.deadline(),
                Ok(()) => {}
                // All that will ever come of it is no request.
                Err(Reason::ClientClosed) if first && !is_request && !was_idle => {
                    return Next::NotHttp;
                }
                Err(reason) => return Next::Idle(reason),
            }
        }
    }

    /// Waits for more bytes from the client, or for what ends the wait.
    async fn wait(&mut self, deadline: Instant, idle: bool, first: bool) -> Result<(), Reason> {
        let Shared { drain, cut, .. } = &*self.shared;
        let drained = async {
            drain.cancelled().await;
            if first {
                sleep(FIRST_REQUEST).await;
            }
        };
        let origin = self.origin.as_mut();
        let origin_speaks = async {
            match origin {
                Some(origin) => origin.leg.fill().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            read = self.client.fill() => match read {
                Ok(read) if read > 0 => Ok(()),
                _ => Err(Reason::ClientClosed),
            },
            // Its end, or bytes that nobody asked for: either way no request may follow
            // (RFC 9112 §9.3, §9.2), and the client must see the connection end.
            _ = origin_speaks, if idle => Err(Reason::OriginClosed),
            () = drained, if idle => Err(Reason::Draining),
            () = cut.cancelled() => Err(Reason::Draining),
            () = sleep_until(deadline) => {
                Err(if idle { Reason::IdleTimeout } else { Reason::HeadTimeout })
            }
        }
    }

    fn deadline(&self) -> Instant {
        let idle = self.client.buffer.is_empty();
        let patience = if idle {
            self.shared.idle_timeout
        } else {
            self.shared.head_timeout
        };
        Instant::now() + patience
    }
}
