//! What a test promises of a connection's octets; a broken promise shows what came instead.

use std::{
    io,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::connection::{Connection, End};

impl Connection {
    /// Reads as many octets as these, which must be these.
    ///
    /// # Panics
    ///
    /// When they are others, or fewer.
    #[track_caller]
    pub fn expect(&mut self, octets: impl AsRef<[u8]>) {
        let octets = octets.as_ref();
        match self.exactly(octets.len()) {
            Ok(came) => same(&came, octets),
            Err(error) => {
                let (came, end) = self.leftovers();
                panic!(
                    "expected: {}\n     came: {}\n     then: {error}, {end}",
                    shown(octets),
                    shown(&came)
                );
            }
        }
    }

    /// Reads to the other side's FIN; before it come these octets and no others.
    ///
    /// # Panics
    ///
    /// When others come, or the end is a reset, or there is none.
    #[track_caller]
    pub fn expect_last(&mut self, octets: impl AsRef<[u8]>) {
        self.expect_ending(octets.as_ref(), End::Fin);
    }

    /// The other side's FIN is all that comes.
    ///
    /// # Panics
    ///
    /// As [`Connection::expect_last`].
    #[track_caller]
    pub fn expect_end(&mut self) {
        self.expect_ending(b"", End::Fin);
    }

    /// Reads to a reset; before it come these octets and no others.
    ///
    /// # Panics
    ///
    /// When others come, or the end is a FIN, or there is none.
    #[track_caller]
    pub fn expect_reset_after(&mut self, octets: impl AsRef<[u8]>) {
        self.expect_ending(octets.as_ref(), End::Reset);
    }

    /// Reads a head through its empty line: as text, in which octets beyond ASCII are Latin-1.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn head(&mut self) -> String {
        let head = self.through(b"\r\n\r\n").unwrap_or_else(|error| {
            let (came, end) = self.leftovers();
            panic!(
                "expected a head, came: {}\nthen: {error}, {end}",
                shown(&came)
            );
        });
        head.into_iter().map(char::from).collect()
    }

    /// Nothing comes for so long, not even an end. It can only err on the side of passing: what
    /// is late is not seen.
    ///
    /// # Panics
    ///
    /// When something does come.
    #[track_caller]
    pub fn expect_silence(&mut self, time: Duration) {
        let began = Instant::now();
        while let Some(left) = time.checked_sub(began.elapsed()) {
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut waiting = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
            if poll(&mut waiting, left).is_ok_and(|ready| ready > 0) {
                let (came, end) = self.leftovers();
                panic!("expected silence, came: {}\nthen: {end}", shown(&came));
            }
        }
    }

    #[track_caller]
    fn expect_ending(&mut self, octets: &[u8], end: End) {
        let (came, ended) = self.rest().unwrap_or_else(|error| {
            let (came, _) = self.leftovers();
            panic!("expected {end:?}, came: {}\nthen: {error}", shown(&came));
        });
        same(&came, octets);
        assert_eq!(ended, end, "how it ends after {}", shown(octets));
    }

    /// What there is to read without waiting for more, and what is behind it: for messages.
    fn leftovers(&mut self) -> (Vec<u8>, String) {
        let _ = self.stream.set_nonblocking(true);
        let end = match self.rest() {
            Ok((came, end)) => return (came, format!("{end:?}")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => "no end".to_owned(),
            Err(error) => error.to_string(),
        };
        (self.take_ahead(), end)
    }
}

/// Octets as a person reads them: ASCII with escapes, long ones cut in the middle.
#[must_use]
pub fn shown(octets: &[u8]) -> String {
    const ENDS: usize = 160;
    if octets.len() <= 2 * ENDS {
        return format!("\"{}\"", octets.escape_ascii());
    }
    format!(
        "\"{}\" … \"{}\" ({} octets)",
        octets[..ENDS].escape_ascii(),
        octets[octets.len() - ENDS..].escape_ascii(),
        octets.len()
    )
}

/// Compares octets.
///
/// # Panics
///
/// When they differ, with the place of the first difference and what is around it.
#[track_caller]
fn same(came: &[u8], expected: &[u8]) {
    if came == expected {
        return;
    }
    let place = came
        .iter()
        .zip(expected)
        .take_while(|(a, b)| a == b)
        .count();
    let around = |octets: &[u8]| {
        let from = place.saturating_sub(80).min(octets.len());
        shown(&octets[from..octets.len().min(place + 80)])
    };
    panic!(
        "octets differ at {place}, of {} expected and {} that came\nexpected: {}\n     came: {}",
        expected.len(),
        came.len(),
        around(expected),
        around(came)
    );
}
