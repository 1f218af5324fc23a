//! What an input says, and how it comes.

use proxy_userspace::http::{HeadLimits, RequestContext};

/// Small enough that a fuzzer reaches them.
pub const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 2048,
    fields: 96,
};

/// The first octet of an input, and what it says about the rest. `@` says nothing, so that seeds
/// can be read: `@GET / …` is a request, `AHTTP/1.1 …` a response to a plain GET.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The rest comes from the origin.
    pub response: bool,
    /// To what.
    pub context: RequestContext,
    /// Goes to [`ResponseHead::write_forwarded`](proxy_userspace::http::ResponseHead).
    pub persistent: bool,
}

impl Setup {
    /// Divides an input.
    #[must_use]
    pub fn split(input: &[u8]) -> Option<(Self, &[u8])> {
        let (&octet, rest) = input.split_first()?;
        let bit = |bit: u8| octet & (1 << bit) != 0;
        let setup = Self {
            response: bit(0),
            context: RequestContext {
                head: bit(1),
                connect: bit(2),
                upgrade: bit(3),
                minor: u8::from(!bit(4)),
                // All letters have it.
                persistent: bit(6),
            },
            persistent: !bit(5),
        };
        Some((setup, rest))
    }
}

/// Where an input is cut: pseudo-random pieces, the same for the same `seed`.
pub fn cuts(len: usize, seed: u8) -> impl Iterator<Item = usize> {
    let mut state = u32::from(seed) << 8 | 1;
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= len {
            return None;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        at = len.min(at + 1 + (state >> 28) as usize);
        Some(at)
    })
}
