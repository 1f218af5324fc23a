//! How an exchange ended, and what comes of it.

use std::{cell::Cell, time::Instant};

use super::{Session, Shared, record::Transaction, request::Request};
use crate::{
    http::ResponseHead,
    learn::Kind,
    observe::{Asymmetry, Stats},
    reason::Reason,
};

/// What follows an exchange.
pub(super) enum After {
    /// Another request may come.
    NextRequest,
    /// Nothing: FIN. The client may still be sending, and is listened to until it has the answer.
    Close,
    /// Nothing: FIN. The client has used up its time.
    Leave,
    /// Nothing: RST, on each leg that is not dead already.
    Reset(Dead),
    /// Something that is not HTTP, both ways.
    Tunnel(Box<Transaction>, Reason),
}

/// Which leg has ended by itself, so that there is nothing to be waited for on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dead {
    Client,
    Origin,
    /// Neither has; both are cut, at once.
    Neither,
}

/// How both directions together ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Complete {
        persistent: bool,
    },
    /// What is no HTTP has been relayed to its end.
    Raw,
    Tunnel,
    ClientGone,
    OriginReset,
    Truncated,
    BadResponse,
    BadRequest,
    /// Somebody was waited for too long.
    Expired(Reason),
    /// It was ended from outside: the drain's deadline, or a bypass.
    Cut(Reason),
}

/// What both directions tell each other and the record.
pub(super) struct Progress<'s> {
    pub(super) stats: &'s Stats,
    began: Instant,
    /// The final response's status, once anything of it may have been sent to the client.
    pub(super) status: Cell<Option<u16>>,
    pub(super) content_type: Cell<Option<Vec<u8>>>,
    wants_content_type: bool,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
    /// Of these, the head of the final response.
    pub(super) head_out: Cell<u64>,
    pub(super) request_begun: Cell<bool>,
    pub(super) request_sent: Cell<bool>,
    pub(super) sent: tokio::sync::Notify,
    /// Anything has come from the origin.
    pub(super) heard: Cell<bool>,
    /// There was an interim response.
    pub(super) interim: Cell<bool>,
    /// In the middle of an interim response's head, or of what is no HTTP: an answer of ours would
    /// be read as a part of it.
    pub(super) unfinished: Cell<bool>,
    pub(super) client_done: Cell<bool>,
}

impl<'s> Progress<'s> {
    pub(super) fn new(shared: &'s Shared) -> Self {
        Self {
            stats: &shared.stats,
            began: Instant::now(),
            status: Cell::default(),
            content_type: Cell::default(),
            wants_content_type: shared.log.is_on(),
            bytes_in: Cell::default(),
            bytes_out: Cell::default(),
            head_out: Cell::default(),
            request_begun: Cell::default(),
            request_sent: Cell::default(),
            sent: tokio::sync::Notify::new(),
            heard: Cell::default(),
            interim: Cell::default(),
            unfinished: Cell::default(),
            client_done: Cell::default(),
        }
    }

    /// Something has come from the origin.
    pub(super) fn hear(&self) {
        if !self.heard.replace(true) {
            self.stats.first_byte(self.began.elapsed());
        }
    }

    /// What the access log says of a response.
    pub(super) fn describe(&self, head: &ResponseHead, buf: &[u8]) {
        if self.wants_content_type {
            let value = head.field(buf, "content-type").map(<[u8]>::to_vec);
            self.content_type.set(value);
        }
    }

    /// May the client still be given an answer of ours?
    fn can_answer(&self) -> bool {
        self.status.get().is_none() && !self.unfinished.get()
    }
}

impl Session {
    /// What an exchange that ended like this leaves to be done, after its record is written.
    pub(super) async fn conclude(
        &mut self,
        outcome: Outcome,
        request: &Request,
        progress: &Progress<'_>,
        mut transaction: Transaction,
    ) -> After {
        let stats = progress.stats;
        if matches!(outcome, Outcome::Complete { .. }) {
            self.tell(Kind::Served);
        }
        let (after, reason) = match outcome {
            Outcome::Complete { persistent: true } => (After::NextRequest, Reason::Served),
            Outcome::Complete { persistent: false } => (After::Close, Reason::Served),
            Outcome::Raw => (After::Close, Reason::RawResponse),
            Outcome::Tunnel => return After::Tunnel(Box::new(transaction), Reason::Upgraded),
            Outcome::ClientGone => {
                stats.asymmetry(Asymmetry::ClientReset);
                (After::Reset(Dead::Client), Reason::ClientClosed)
            }
            Outcome::OriginReset => {
                stats.asymmetry(Asymmetry::OriginReset);
                (After::Reset(Dead::Origin), Reason::OriginClosed)
            }
            // The client sees the response end where it ended for us.
            Outcome::Truncated => {
                stats.asymmetry(Asymmetry::TruncatedResponse);
                (After::Close, Reason::OriginClosed)
            }
            Outcome::BadResponse => (After::Reset(Dead::Neither), Reason::BadResponse),
            Outcome::BadRequest => (After::Reset(Dead::Neither), Reason::BadRequest),
            Outcome::Expired(reason) | Outcome::Cut(reason) => {
                (After::Reset(Dead::Neither), reason)
            }
        };
        let status = match reason {
            Reason::BadResponse => Some(502),
            Reason::OriginStalled => Some(504),
            Reason::BadRequest => Some(400),
            Reason::ClientStalled | Reason::SlowClient => Some(408),
            _ => None,
        };
        let Some(status) = status.filter(|_| progress.can_answer()) else {
            transaction.end(&self.shared, reason);
            return after;
        };
        let body = !request.head.context().head;
        self.answer(status, reason, body, &mut transaction).await;
        transaction.end(&self.shared, reason);
        if let Some(origin) = &self.origin
            && progress.request_begun.get()
        {
            // It must not take what it has for a whole message.
            origin.leg.reset_on_close();
        }
        if status == 408 {
            After::Leave
        } else {
            After::Close
        }
    }
}
