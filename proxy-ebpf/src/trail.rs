//! How a verdict came about: what `weir_why` answers.

/// The facts that a verdict asked for, and what they were. What was not asked for is
/// [`UNASKED`](Self::UNASKED).
///
/// Numbers are in host byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trail {
    /// The reason's number; [`UNASKED`](Self::UNASKED) if the frame is no TCP SYN.
    pub reason: u32,
    /// 1 if the destination's port is watched.
    pub watched: u32,
    /// 1 if the interface is a LAN.
    pub lan: u32,
    /// 1 if the destination is this host's.
    pub own: u32,
    /// 1 if a socket of ours is connecting with it.
    pub our_syn: u32,
    /// [`Route`](crate::verdict::Route).
    pub route: u32,
    /// Index of the interface that it would leave by.
    pub out: u32,
    /// Number of the record of the bypass table that decides; 0: none.
    pub record: u32,
    /// 0: there is none, 1: alive, 2: stale.
    pub listener: u32,
    /// The worker that it would go to.
    pub worker: u32,
    /// Not 0: the number, plus 1, of the reason for which the valve is open.
    pub valve: u32,
    /// How long the worker has not written its heartbeat, ms.
    pub silent_ms: u32,
}

impl Trail {
    /// Nothing is known: an earlier fact has decided.
    pub const UNASKED: u32 = u32::MAX;

    /// Nothing is known yet.
    pub const EMPTY: Self = Self {
        reason: Self::UNASKED,
        watched: Self::UNASKED,
        lan: Self::UNASKED,
        own: Self::UNASKED,
        our_syn: Self::UNASKED,
        route: Self::UNASKED,
        out: 0,
        record: Self::UNASKED,
        listener: Self::UNASKED,
        worker: Self::UNASKED,
        valve: Self::UNASKED,
        silent_ms: 0,
    };

    /// What the program has put at the beginning of `octets`, in host byte order.
    #[must_use]
    pub fn read(octets: &[u8; size_of::<Self>()]) -> Self {
        let mut trail = Self::EMPTY;
        let fields = [
            &mut trail.reason,
            &mut trail.watched,
            &mut trail.lan,
            &mut trail.own,
            &mut trail.our_syn,
            &mut trail.route,
            &mut trail.out,
            &mut trail.record,
            &mut trail.listener,
            &mut trail.worker,
            &mut trail.valve,
            &mut trail.silent_ms,
        ];
        const { assert!(size_of::<Self>() == 12 * 4) };
        for (field, octets) in fields.into_iter().zip(octets.as_chunks().0) {
            *field = u32::from_ne_bytes(*octets);
        }
        trail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut octets = [0; size_of::<Trail>()];
        for (place, octets) in octets.chunks_exact_mut(4).enumerate() {
            octets.copy_from_slice(&u32::try_from(place).unwrap().to_ne_bytes());
        }
        let trail = Trail::read(&octets);
        assert_eq!((trail.reason, trail.route, trail.silent_ms), (0, 5, 11));
    }
}
