//! Sets of prefix lengths, from which the longest is taken first.

/// Prefix lengths, a bit each: 128 to 65 and 64 to 1, each from bit 0 on, and 0. IPv4 has none in
/// the first word, so that it costs no more than one word would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Lengths(pub u64, pub u64, pub u64);

impl Lengths {
    /// Word and bit of a length, 0 to 128.
    #[must_use]
    pub const fn place(length: u32) -> (usize, u64) {
        match length {
            0 => (2, 1),
            1..=64 => (1, 1 << (64 - length)),
            _ => (0, 1 << (128 - length)),
        }
    }

    /// These, and those of a word whose bit 0 is the length `end`, bit 1 the next shorter, and so
    /// on, down to 1 (or 65, if `end` is more than 64).
    #[inline(always)]
    #[must_use]
    pub const fn with(self, word: u64, end: u32) -> Self {
        if end > 64 {
            Self(self.0 | word << (128 - end), self.1, self.2)
        } else {
            Self(self.0, self.1 | word << (64 - end), self.2)
        }
    }

    /// Whether there is none.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0 | self.1 | self.2 == 0
    }

    /// Takes the longest out; 0 also if there is none.
    #[inline(always)]
    pub const fn take_longest(&mut self) -> u32 {
        if self.0 != 0 {
            let length = 128 - self.0.trailing_zeros();
            self.0 &= self.0 - 1;
            length
        } else if self.1 != 0 {
            let length = 64 - self.1.trailing_zeros();
            self.1 &= self.1 - 1;
            length
        } else {
            self.2 = 0;
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_out_once_and_the_longest_first() {
        let mut words = [0; 3];
        for length in 0..=128 {
            let (word, bit) = Lengths::place(length);
            assert_eq!(words[word] & bit, 0, "{length}");
            words[word] |= bit;
        }
        let mut all = Lengths(words[0], words[1], words[2]);
        for length in (0..=128).rev() {
            assert!(!all.is_empty());
            assert_eq!(all.take_longest(), length);
        }
        assert!(all.is_empty());
    }

    #[test]
    fn words_of_bands_are_put_in_their_place() {
        for (end, count) in [(128, 64), (64, 16), (32, 8), (24, 4), (8, 8)] {
            let mut lengths = Lengths::default().with(!0 >> (64 - count), end);
            for length in (end - count + 1..=end).rev() {
                assert_eq!(lengths.take_longest(), length);
            }
            assert!(lengths.is_empty());
        }
    }
}
