//! What a throwaway network looks like: its addresses, interfaces and options.
//!
//! ```text
//! cli eth0 ── lan0 rtr wan0 ── eth0 org          two families on every link
//!                  rtr aside0 ── eth0 asd        if asked for: a way out that is not a WAN
//! ```
//!
//! A hop, if asked for, is two more routers with a link of a small MTU between them, so that
//! neither the client, the router nor the origin knows of it but by ICMP:
//!
//! ```text
//! cli eth0 ── near hpa far ══ near hpb far ── lan0 rtr wan0 ── eth0 org    (client's side)
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The router's interface towards the clients.
pub const LAN: &str = "lan0";
/// The router's interface towards the origins.
pub const WAN: &str = "wan0";
/// The router's third interface.
pub const ASIDE: &str = "aside0";
/// How many addresses the origin's namespace has in each family.
pub const ORIGINS: u8 = 4;

/// Below this MTU, Linux switches IPv6 off on an interface (RFC 8200 §5).
pub(super) const IPV6_MIN_MTU: u32 = 1280;

/// Options of a network. The default: client, router, origin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// Adds [`ASIDE`] with a host of its own behind it.
    pub aside: bool,
    /// Adds a link with a small MTU.
    pub hop: Option<Hop>,
}

impl Layout {
    /// Whether this network has IPv6: not with a hop below its minimum MTU.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.hop.is_none_or(|hop| hop.mtu >= IPV6_MIN_MTU)
    }
}

/// A link with a small MTU between two routers that know nothing of Weir.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// Where it is, seen from Weir's router.
    pub side: Side,
    /// Its MTU in octets; below 1280 the whole network is without IPv6.
    pub mtu: u32,
}

/// A side of Weir's router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Between the client and the router.
    Client,
    /// Between the router and the origin.
    Origin,
}

/// An address family, and who has which address in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, for loops.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The client's first address.
    #[must_use]
    pub fn client(self) -> IpAddr {
        self.on(Net::Client, 2)
    }

    /// The client's second address: to the rest of the network, another client.
    #[must_use]
    pub fn second_client(self) -> IpAddr {
        self.on(Net::Client, 3)
    }

    /// The router's address towards the clients, in a network without hops on that side.
    #[must_use]
    pub fn router_lan(self) -> IpAddr {
        self.on(Net::Client, 1)
    }

    /// The router's address towards the origins, in a network without hops on that side.
    #[must_use]
    pub fn router_wan(self) -> IpAddr {
        self.on(Net::Origin, 1)
    }

    /// An address of the origin's namespace.
    ///
    /// # Panics
    ///
    /// When `number` is not below [`ORIGINS`].
    #[must_use]
    pub fn origin(self, number: u8) -> IpAddr {
        assert!(
            number < ORIGINS,
            "the origin has {ORIGINS} addresses in each family"
        );
        self.on(Net::Origin, 2 + number)
    }

    /// The origin's first address with the port of HTTP.
    #[must_use]
    pub fn http(self) -> SocketAddr {
        SocketAddr::new(self.origin(0), 80)
    }

    /// The host behind [`ASIDE`].
    #[must_use]
    pub fn aside(self) -> IpAddr {
        self.on(Net::Aside, 2)
    }

    /// The prefix length of a single address.
    #[must_use]
    pub fn host_length(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    pub(super) fn on(self, net: Net, host: u8) -> IpAddr {
        match (self, net) {
            (Self::V4, Net::Client) => Ipv4Addr::new(10, 77, 1, host).into(),
            (Self::V4, Net::Origin) => Ipv4Addr::new(203, 0, 113, host).into(),
            (Self::V4, Net::Aside) => Ipv4Addr::new(192, 0, 2, host).into(),
            (Self::V4, Net::Small) => Ipv4Addr::new(10, 77, 5, host).into(),
            (Self::V4, Net::Beyond) => Ipv4Addr::new(10, 77, 6, host).into(),
            (Self::V6, net) => {
                let subnet = match net {
                    Net::Client => 1,
                    Net::Origin => 2,
                    Net::Aside => 3,
                    Net::Small => 5,
                    Net::Beyond => 6,
                };
                Ipv6Addr::new(0xfd77, subnet, 0, 0, 0, 0, 0, host.into()).into()
            }
        }
    }

    /// The address as `ip address add` takes it, with the length of the network's prefix.
    pub(super) fn with_length(self, net: Net, host: u8) -> String {
        match self {
            Self::V4 => format!("{}/24", self.on(net, host)),
            Self::V6 => format!("{}/64 nodad", self.on(net, host)),
        }
    }

    /// The network's prefix, as `ip route add` takes it.
    pub(super) fn prefix(self, net: Net) -> String {
        match self {
            Self::V4 => format!("{}/24", self.on(net, 0)),
            Self::V6 => format!("{}/64", self.on(net, 0)),
        }
    }
}

/// The subnets: one a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Net {
    /// The client's link.
    Client,
    /// The origin's link.
    Origin,
    /// The link behind the router's third interface.
    Aside,
    /// The hop's link of small MTU.
    Small,
    /// The link between the router and the hop.
    Beyond,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(Family::V4.http().to_string(), "203.0.113.2:80");
        assert_eq!(Family::V6.http().to_string(), "[fd77:2::2]:80");
        assert_eq!(Family::V4.with_length(Net::Client, 2), "10.77.1.2/24");
        assert_eq!(Family::V6.with_length(Net::Client, 2), "fd77:1::2/64 nodad");
        assert_eq!(Family::V6.prefix(Net::Origin), "fd77:2::/64");
    }

    #[test]
    fn a_hop_too_small_for_ipv6() {
        let with = |mtu| Layout {
            hop: Some(Hop {
                side: Side::Client,
                mtu,
            }),
            aside: false,
        };
        assert!(!with(600).has_ipv6());
        assert!(with(1280).has_ipv6());
        assert!(Layout::default().has_ipv6());
    }
}
