//! Which source ports to try.

use std::{
    hash::{BuildHasher as _, RandomState},
    ops::RangeInclusive,
};

/// Ports of `range` in a random order that visits each once.
pub(super) fn candidates(range: &RangeInclusive<u16>) -> impl Iterator<Item = u16> + use<> {
    let first = u64::from(*range.start());
    let count = u64::from(range.end().saturating_sub(*range.start())) + 1;
    let random = RandomState::new().hash_one(0u8);
    let start = random % count;
    // An odd step next to the golden ratio of the range visits every port when it has no common
    // divisor with the count; 1 always does.
    let step = [(count * 5 / 8) | 1, 7919, 1]
        .into_iter()
        .find(|step| gcd(*step, count) == 1)
        .unwrap_or(1);
    (0..count).map(move |i| {
        let port = first + (start + i * step) % count;
        u16::try_from(port).unwrap_or(u16::MAX)
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_port_comes_once() {
        for range in [10_000..=32_767, 1..=1, 5..=6, 65_000..=65_535, 1..=65_535] {
            let all: Vec<u16> = candidates(&range).collect();
            assert_eq!(all.len(), range.len());
            assert!(all.iter().all(|port| range.contains(port)));
            assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        }
    }

    #[test]
    fn the_order_differs_from_call_to_call() {
        let range = 10_000..=32_767;
        let first: HashSet<u16> = (0..20).filter_map(|_| candidates(&range).next()).collect();
        assert!(first.len() > 1);
    }
}
