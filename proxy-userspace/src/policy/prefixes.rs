//! Which prefixes of many is an address in?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::nested::Nested;

/// Prefixes, each with a number.
#[derive(Debug)]
pub(super) struct Prefixes {
    v4: Nested<Range<u32>>,
    v6: Nested<Range<u128>>,
}

/// Addresses from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range<A> {
    first: A,
    last: A,
}

impl Prefixes {
    /// Of the numbers of a prefix that is there twice, one is kept.
    pub(super) fn new(prefixes: impl IntoIterator<Item = (IpNet, u32)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, number) in prefixes {
            match prefix {
                IpNet::V4(prefix) => {
                    let ends = [prefix.network(), prefix.broadcast()].map(Ipv4Addr::to_bits);
                    v4.push((Range::from(ends), number));
                }
                IpNet::V6(prefix) => {
                    let ends = [prefix.network(), prefix.broadcast()].map(Ipv6Addr::to_bits);
                    v6.push((Range::from(ends), number));
                }
            }
        }
        // The longer range first, of those that begin at one address.
        v4.sort_by_key(|(range, _)| (range.first, !range.last));
        v6.sort_by_key(|(range, _)| (range.first, !range.last));
        Self {
            v4: Nested::new(v4, |outer, inner| outer.last >= inner.last),
            v6: Nested::new(v6, |outer, inner| outer.last >= inner.last),
        }
    }

    /// The numbers of all prefixes that `address` is in, from the longest to the shortest.
    pub(super) fn of(&self, address: IpAddr) -> impl Iterator<Item = u32> {
        let (v4, v6) = match address {
            IpAddr::V4(address) => (Some(address.to_bits()), None),
            IpAddr::V6(address) => (None, Some(address.to_bits())),
        };
        let v4 = v4.into_iter().flat_map(|address| {
            self.v4.around(
                move |range| range.first <= address,
                move |range| range.last >= address,
            )
        });
        let v6 = v6.into_iter().flat_map(|address| {
            self.v6.around(
                move |range| range.first <= address,
                move |range| range.last >= address,
            )
        });
        v4.chain(v6)
    }

    /// Whether `address` is in any of them.
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        self.of(address).next().is_some()
    }
}

impl<A> From<[A; 2]> for Range<A> {
    fn from([first, last]: [A; 2]) -> Self {
        Self { first, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_longest_to_the_shortest() {
        let texts = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.0/24",
            "10.1.2.3/32",
            "10.2.0.0/16",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::/0",
            "255.255.255.255/32",
        ];
        let prefixes = Prefixes::new(
            (0..)
                .zip(texts)
                .map(|(number, text)| (text.parse().unwrap(), number)),
        );
        let of = |address: &str| prefixes.of(address.parse().unwrap()).collect::<Vec<_>>();
        assert_eq!(of("10.1.2.3"), [3, 2, 1, 0, 5]);
        assert_eq!(of("10.1.2.4"), [2, 1, 0, 5]);
        assert_eq!(of("10.1.3.0"), [1, 0, 5]);
        assert_eq!(of("10.3.0.0"), [0, 5]);
        assert_eq!(of("11.0.0.0"), [5]);
        assert_eq!(of("0.0.0.0"), [5]);
        assert_eq!(of("255.255.255.255"), [8, 5]);
        assert_eq!(of("2001:db8::1"), [6, 7]);
        assert_eq!(of("::1"), [7]);
    }

    #[test]
    fn none_and_twice() {
        let one = "10.0.0.0/8".parse().unwrap();
        let none = Prefixes::new([]);
        assert!(!none.contain("10.0.0.1".parse().unwrap()));
        let twice = Prefixes::new([(one, 1), (one, 1)]);
        assert_eq!(twice.of("10.0.0.1".parse().unwrap()).count(), 1);
        assert!(!twice.contain("9.255.255.255".parse().unwrap()));
        assert!(!twice.contain("11.0.0.0".parse().unwrap()));
    }
}
