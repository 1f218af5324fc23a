//! What is in front of a packet's network header, by the type of its link.

use crate::abi::{PROGRAM_STEER, PROGRAM_STEER_L3};

/// `ARPHRD_ETHER` of `include/uapi/linux/if_arp.h`: Ethernet, and what looks like it (veth,
/// bridges, VLANs, tap, gretap).
const ETHER: u16 = 1;

/// Links whose packets begin with the network header: ppp, cellular modems, ipip, ip6tnl, sit, gre
/// over IPv4 and over IPv6, and those without a type of their own (tun, wireguard, xfrm).
const NO_HEADER: [u16; 8] = [512, 519, 768, 769, 776, 778, 823, 0xfffe];

/// What a packet begins with when it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// An Ethernet header.
    Ethernet,
    /// The network header, with nothing in front of it.
    None,
}

impl Framing {
    /// That of a link type (`ARPHRD_*`, host order); `None` for those that we do not know.
    #[must_use]
    pub fn of(link_type: u16) -> Option<Self> {
        match link_type {
            ETHER => Some(Self::Ethernet),
            other if NO_HEADER.contains(&other) => Some(Self::None),
            _ => None,
        }
    }

    /// The TC program for such links.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Ethernet => PROGRAM_STEER,
            Self::None => PROGRAM_STEER_L3,
        }
    }

    /// The word in `weir status --json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernet",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_link_types_have_a_framing() {
        assert_eq!(Framing::of(1), Some(Framing::Ethernet));
        for bare in NO_HEADER {
            assert_eq!(Framing::of(bare), Some(Framing::None), "{bare}");
        }
        // Experimental Ethernet, Token Ring, Frame Relay, InfiniBand, loopback, IrDA, 802.11, void.
        for unknown in [0, 2, 4, 15, 32, 513, 772, 783, 801, 0xffff] {
            assert_eq!(Framing::of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn each_has_a_program_of_its_own() {
        let [ethernet, none] = [Framing::Ethernet, Framing::None].map(Framing::program);
        assert_ne!(ethernet, none);
        // The kernel cuts a name off after 15 bytes, and finds it by that.
        assert!(ethernet.len() < 16 && none.len() < 16);
    }
}
