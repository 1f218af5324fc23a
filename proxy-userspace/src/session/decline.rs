//! Connections that are not served, as there are too many already.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Shared,
    buffer::Meter,
    leg::{LINGER, Leg},
    record::Transaction,
};
use crate::{http, listener::Accepted, reason::Reason};

/// How long a client that is to be told why may take to send its request. An answer that comes
/// before the request is taken by few clients for one to it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers the first request of an accepted connection with 503 and `reason`, whatever it is.
///
/// Only so many at once are told, as each costs a descriptor; the others are reset.
pub async fn decline(accepted: Accepted, shared: Arc<Shared>, reason: Reason) {
    let mut transaction = Transaction::new(accepted.client, accepted.origin, None);
    let meter = Meter::new(Arc::clone(&shared.stats), shared.memory);
    let mut leg = Leg::new(accepted.stream, &meter);
    let Ok(_place) = shared.declining.try_acquire() else {
        leg.reset_on_close();
        return transaction.end(&shared, reason);
    };
    if !matches!(timeout(PATIENCE, leg.fill()).await, Ok(Ok(1..))) {
        leg.reset_on_close();
        return transaction.end(&shared, reason);
    }
    transaction.bytes_in = leg.buffer.len() as u64;
    transaction.describe_refused(&leg.buffer);
    let mut answer = Vec::with_capacity(256);
    let body = !leg.buffer.starts_with(b"HEAD ");
    http::answer(503, reason, body, &mut answer);
    transaction.status = Some(503);
    if leg.write(&answer).await.is_ok() {
        transaction.bytes_out = answer.len() as u64;
    }
    transaction.end(&shared, reason);
    leg.finish(LINGER).await;
}
