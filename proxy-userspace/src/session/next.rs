//! Waiting for the next request of a connection.

use bytes::{Buf as _, Bytes};
use tokio::time::{Instant, sleep_until};

use super::Session;
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
                    Start::NotHttp if first => return Next::NotHttp,
                    // The parser has the word, and refuses it.
                    Start::NotHttp => is_request = true,
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
            match self.wait(deadline, was_idle).await {
                Ok(()) if was_idle => deadline = self.deadline(),
                Ok(()) => {}
                Err(reason) => return Next::Idle(reason),
            }
        }
    }

    /// Waits for more bytes from the client, or for what ends the wait.
    async fn wait(&mut self, deadline: Instant, idle: bool) -> Result<(), Reason> {
        let drain = &self.shared.drain;
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
            () = drain.cancelled(), if idle => Err(Reason::Draining),
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
