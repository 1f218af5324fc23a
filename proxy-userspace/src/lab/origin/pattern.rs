//! Bodies that both ends can compute without keeping them, and a checksum over them.

/// A pseudo-random byte stream, the same everywhere: its octet at an offset depends on the offset
/// alone, so that a lost, repeated or swapped piece shows.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    offset: u64,
}

impl Pattern {
    /// Fills `block` with the stream's next octets.
    pub fn fill(&mut self, block: &mut [u8]) {
        let mut rest = block;
        while !rest.is_empty() {
            let word = splitmix64(self.offset / 8).to_le_bytes();
            let from = (self.offset % 8) as usize;
            let count = rest.len().min(8 - from);
            rest[..count].copy_from_slice(&word[from..from + count]);
            self.offset += count as u64;
            rest = &mut rest[count..];
        }
    }

    /// The stream's first `length` octets.
    #[must_use]
    pub fn bytes(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        Self::default().fill(&mut bytes);
        bytes
    }

    /// The checksum of the stream's first `length` octets.
    #[must_use]
    pub fn checksum(length: u64) -> Fnv {
        let (mut pattern, mut checksum) = (Self::default(), Fnv::default());
        let mut block = vec![0; BLOCK];
        let mut left = length;
        while left > 0 {
            let count = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            pattern.fill(&mut block[..count]);
            checksum.update(&block[..count]);
            left -= count as u64;
        }
        checksum
    }
}

/// How much of a body is made or read at a time, in octets.
pub const BLOCK: usize = 64 * 1024;

/// FNV-1a with 64 bits: tells accidents, not attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes further octets into the checksum.
    pub fn update(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The checksum of `octets`.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        let mut checksum = Self::default();
        checksum.update(octets);
        checksum
    }
}

/// As in the origin's answers: sixteen hexadecimal digits.
impl std::fmt::Display for Fnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

fn splitmix64(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_checksums() {
        assert_eq!(Fnv::of(b"").to_string(), "cbf29ce484222325");
        assert_eq!(Fnv::of(b"foobar").to_string(), "85944171f73967e8");
    }

    #[test]
    fn the_stream_is_the_same_in_any_pieces() {
        let whole = Pattern::bytes(1000);
        for size in [1, 3, 7, 8, 9, 64, 999] {
            let mut pieces = Pattern::default();
            let mut joined = vec![0; 1000];
            joined.chunks_mut(size).for_each(|piece| pieces.fill(piece));
            assert_eq!(joined, whole, "pieces of {size}");
        }
        assert_eq!(Pattern::checksum(1000), Fnv::of(&whole));
        let long = Pattern::bytes(3 * BLOCK + 5);
        assert_eq!(Pattern::checksum(3 * BLOCK as u64 + 5), Fnv::of(&long));
    }
}
