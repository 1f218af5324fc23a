//! Connections of this host itself (`intercept.output`).

use crate::{
    abi::MAX_INTERFACES,
    key::{Address, Flow, IPV4, IPV6},
};

/// The one entry of [`map::OUTPUT`](crate::abi::map::OUTPUT). Written by the daemon alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The network namespace whose sockets are meant (`SO_NETNS_COOKIE`).
    pub netns_cookie: u64,
    /// Bit of `SO_MARK` by which such a socket's packets are routed to the loopback device, host
    /// order; 0 while there are none.
    pub mark: u32,
    /// 0.
    pub reserved: u32,
}

/// Index of the loopback device, in every network namespace.
pub const LOOPBACK: u32 = 1;

/// [`Interface::slot`](crate::settings::Interface::slot) of the loopback device: no other
/// interface's, as not all can have a role at once.
pub const SLOT: u32 = MAX_INTERFACES - 1;

/// The two ends of a connecting socket, as it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Own address: IPv6, or IPv4 mapped to it (RFC 4291 §2.5.5.2), or IPv4 as in [`Address`].
    pub local: Address,
    /// The other's, of the same kind.
    pub remote: Address,
    /// Own port, network order.
    pub sport: u16,
    /// The other's.
    pub dport: u16,
}

impl Ends {
    /// The flow of the packets that it sends. IPv4 of a socket of either family is IPv4.
    #[inline(always)]
    #[must_use]
    pub const fn flow(&self, ipv6: bool) -> Flow {
        let mapped = ipv6 && is_mapped(&self.remote);
        let (saddr, daddr) = if mapped {
            ([self.local[3], 0, 0, 0], [self.remote[3], 0, 0, 0])
        } else {
            (self.local, self.remote)
        };
        Flow {
            family: if ipv6 && !mapped { IPV6 } else { IPV4 },
            saddr,
            daddr,
            sport: self.sport,
            dport: self.dport,
        }
    }
}

/// Whether an IPv6 address stands for an IPv4 one: `::ffff:0:0/96`.
#[inline(always)]
const fn is_mapped(address: &Address) -> bool {
    address[0] | address[1] == 0 && address[2] == 0xffff_u32.to_be()
}

const _: () = assert!(size_of::<Output>() == 16);

#[cfg(feature = "user")]
mod pod {
    // SAFETY: `repr(C)`, integers only, no padding (size asserted above).
    #[expect(unsafe_code, reason = "Pod is an unsafe trait")]
    unsafe impl aya::Pod for super::Output {}
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;
    use crate::key;

    fn words(text: &str) -> Address {
        key::address(text.parse::<IpAddr>().unwrap()).1
    }

    fn ends(local: &str, remote: &str) -> Ends {
        Ends {
            local: words(local),
            remote: words(remote),
            sport: 40_000u16.to_be(),
            dport: 80u16.to_be(),
        }
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        let plain = ends("192.0.2.1", "203.0.113.7").flow(false);
        assert_eq!(plain.family, IPV4);
        assert_eq!(plain.daddr, words("203.0.113.7"));
        let mapped = ends("::ffff:192.0.2.1", "::ffff:203.0.113.7").flow(true);
        assert_eq!(mapped, plain);
    }

    #[test]
    fn other_ipv6_is_ipv6() {
        for remote in [
            "2001:db8::1",
            "::ffff:0:203.0.113.7",
            "64:ff9b::203.0.113.7",
            "::1",
        ] {
            let flow = ends("2001:db8::2", remote).flow(true);
            assert_eq!((flow.family, flow.daddr), (IPV6, words(remote)), "{remote}");
        }
    }
}
