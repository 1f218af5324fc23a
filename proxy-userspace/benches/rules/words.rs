//! Names that look like names, the same in every run.

/// Marsaglia's xorshift: enough for a benchmark, and it needs no crate.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Two to four syllables.
    pub(crate) fn word(&mut self) -> String {
        const SYLLABLES: [&str; 40] = [
            "ba", "be", "bo", "ca", "co", "cu", "da", "de", "di", "fa", "fi", "fo", "ga", "ge",
            "go", "ka", "ke", "la", "le", "li", "lo", "ma", "me", "mi", "mo", "na", "ne", "no",
            "pa", "pe", "po", "ra", "re", "ri", "ro", "sa", "se", "ta", "ti", "to",
        ];
        (0..2 + self.below(3))
            .map(|_| self.pick(&SYLLABLES))
            .collect()
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for place in (1..list.len()).rev() {
            list.swap(place, self.below(place + 1));
        }
    }
}
