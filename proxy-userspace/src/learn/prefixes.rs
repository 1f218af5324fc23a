//! A set of prefixes that answers whether an address is in any of them.

use std::net::IpAddr;

use ipnet::IpNet;

/// Prefixes, merged, so that no two of them overlap and asking takes as many steps as their
/// number has digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefixes(Box<[IpNet]>);

impl Prefixes {
    /// The set of these.
    #[must_use]
    pub fn new(prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        let prefixes: Vec<_> = prefixes.into_iter().collect();
        let mut merged = IpNet::aggregate(&prefixes);
        merged.sort_by_key(IpNet::network);
        Self(merged.into())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` is in any of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let behind = self.0.partition_point(|prefix| prefix.network() <= address);
        behind > 0 && self.0[behind - 1].contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix() -> impl Strategy<Value = IpNet> {
        let v4 = (any::<[u8; 4]>(), 0u8..=32).prop_map(|(ip, length)| (IpAddr::from(ip), length));
        let v6 = (any::<[u8; 16]>(), 0u8..=128).prop_map(|(ip, length)| (IpAddr::from(ip), length));
        prop_oneof![v4, v6].prop_map(|(ip, length)| IpNet::new(ip, length).unwrap().trunc())
    }

    proptest! {
        #[test]
        fn as_if_each_were_asked(
            prefixes in proptest::collection::vec(prefix(), 0..8),
            v4: [u8; 4],
            v6: [u8; 16],
        ) {
            let set = Prefixes::new(prefixes.clone());
            let ends = prefixes.iter().flat_map(|prefix| [prefix.network(), prefix.broadcast()]);
            for address in ends.chain([v4.into(), v6.into()]) {
                let expected = prefixes.iter().any(|prefix| prefix.contains(&address));
                prop_assert_eq!(set.contains(address), expected, "{}", address);
            }
        }
    }
}
