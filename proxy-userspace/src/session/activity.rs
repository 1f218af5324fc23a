//! One timer for a whole exchange instead of one for each read.

use std::{cell::Cell, time::Duration};

use tokio::time::{Instant, sleep_until};

/// When something moved last.
pub(super) struct Activity {
    last: Cell<Instant>,
    patience: Duration,
}

impl Activity {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            last: Cell::new(Instant::now()),
            patience,
        }
    }

    /// Something moved.
    pub(super) fn touch(&self) {
        self.last.set(Instant::now());
    }

    /// Returns when nothing has moved for as long as we are patient.
    pub(super) async fn stalled(&self) {
        loop {
            let deadline = self.last.get() + self.patience;
            if Instant::now() >= deadline {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}
