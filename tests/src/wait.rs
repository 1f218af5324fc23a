//! Waiting for a state, not for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(10);

/// Returns as soon as `holds` does.
///
/// # Panics
///
/// With `what` when it does not within `limit`.
#[track_caller]
pub fn until(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    until_some(limit, what, || holds().then_some(()));
}

/// Returns the first value that `find` finds.
///
/// # Panics
///
/// With `what` when it finds none within `limit`.
#[track_caller]
pub fn until_some<T>(limit: Duration, what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        thread::sleep(POLL);
    }
}
