//! What the daemon tells the programs.

use crate::abi::{MAX_FOLLOWED_PORTS, MAX_PORTS};

/// Intercept by policy.
pub const MODE_ENFORCE: u32 = 0;
/// Intercept nothing new; flows that have a socket of ours stay with it.
pub const MODE_DRAIN: u32 = 1;
/// Intercept nothing new, but count what would be.
pub const MODE_SHADOW: u32 = 2;

/// Bit of [`Settings::families`] for IPv4.
pub const FAMILY_IPV4: u32 = 1;
/// Bit of [`Settings::families`] for IPv6.
pub const FAMILY_IPV6: u32 = 2;

/// Clients come from here.
pub const ROLE_LAN: u32 = 1;
/// Origins are behind here.
pub const ROLE_WAN: u32 = 2;
/// The bridge that our LANs and WANs are ports of: what comes up through it comes from a LAN.
pub const ROLE_BRIDGE: u32 = 4;
/// This host's own connections come by here: the loopback device, with `intercept.output`.
pub const ROLE_OUTPUT: u32 = 1 << 8;

/// [`Settings::valve`]: origins do not answer our connections.
pub const NO_RETURN_PATH: u32 = 1;
/// [`Settings::valve`]: our connections come back to us.
pub const LOOPING: u32 = 2;

/// The one entry of [`map::SETTINGS`](crate::abi::map::SETTINGS). Written by the daemon alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bit that marks a packet for local delivery (`skb->mark`, host order).
    pub steer_mark: u32,
    /// [`MODE_ENFORCE`], [`MODE_DRAIN`] or [`MODE_SHADOW`].
    pub mode: u32,
    /// [`FAMILY_IPV4`] | [`FAMILY_IPV6`].
    pub families: u32,
    /// Number of workers, 1 to [`MAX_WORKERS`](crate::abi::MAX_WORKERS).
    pub workers: u32,
    /// While a valve is open, one SYN in so many is steered to see whether it works again.
    pub probe: u32,
    /// Not 0: at the connection limit, new flows go direct.
    pub overload: u32,
    /// Bit of `SO_MARK` of our sockets, host order.
    pub socket_mark: u32,
    /// Per cent of clients that are intercepted, 0 to 100; see [`key::bucket`](crate::key::bucket).
    pub share: u32,
    /// IPv4, IPv6: 0, [`NO_RETURN_PATH`] or [`LOOPING`].
    pub valve: [u32; 2],
    /// Not 0: decisions are told to those who are in [`map::WATCHES`](crate::abi::map::WATCHES).
    pub watch: u32,
    /// 0.
    pub reserved: u32,
    /// How old a worker's heartbeat may be, in nanoseconds.
    pub heartbeat_stale_ns: u64,
    /// Ports whose SYNs are decided about, network order; 0 in unused places.
    pub ports: [u16; MAX_PORTS],
    /// Ports whose other packets are looked up: [`ports`](Self::ports), and those that were
    /// among them when a connection may have begun. Network order; 0 in unused places.
    pub followed: [u16; MAX_FOLLOWED_PORTS],
}

impl Settings {
    /// Settings that intercept nothing: no port is watched.
    pub const IDLE: Self = Self {
        steer_mark: 0,
        mode: MODE_DRAIN,
        families: 0,
        workers: 1,
        probe: 0,
        overload: 0,
        socket_mark: 0,
        share: 100,
        valve: [0; 2],
        watch: 0,
        reserved: 0,
        heartbeat_stale_ns: 0,
        ports: [0; MAX_PORTS],
        followed: [0; MAX_FOLLOWED_PORTS],
    };

    /// Whether a SYN to `port` (network order) is decided about. Port 0 never is.
    #[inline(always)]
    #[must_use]
    pub fn watches(&self, port: u16) -> bool {
        is_among(port, &self.ports)
    }

    /// Whether packets to or from `port` (network order) may be of a flow of ours. Port 0's
    /// never are.
    #[inline(always)]
    #[must_use]
    pub fn follows(&self, port: u16) -> bool {
        is_among(port, &self.followed)
    }
}

/// Without a branch for each port: the verifier would follow every combination of them.
#[inline(always)]
fn is_among<const N: usize>(port: u16, ports: &[u16; N]) -> bool {
    let mut found = 0;
    let mut i = 0;
    while i < N {
        // The top bit of `difference - 1` is set exactly where the difference is 0.
        let difference = (ports[i] ^ port) as u32;
        found |= difference.wrapping_sub(1) >> 31;
        i += 1;
    }
    found != 0 && port != 0
}

/// An entry of [`map::INTERFACES`](crate::abi::map::INTERFACES).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// [`ROLE_LAN`], [`ROLE_WAN`], [`ROLE_BRIDGE`] or [`ROLE_OUTPUT`].
    pub role: u32,
    /// Its place among the interfaces, 0 to
    /// [`MAX_INTERFACES`](crate::abi::MAX_INTERFACES) − 1: see [`counter::delivery`].
    ///
    /// [`counter::delivery`]: crate::counter::delivery
    pub slot: u32,
    /// IPv4, IPv6: not 0 while SYNs from here do not reach the listener (`not-delivered`).
    pub valve: [u32; 2],
    /// Index of the bridge that this is a port of, or its own; 0 for what is no part of one.
    pub bridge: u32,
    /// MAC address of that bridge.
    pub mac: [u8; 6],
    /// Not 0: SYNs from here that no worker can take are refused.
    pub closed: u8,
    /// 0.
    pub reserved: u8,
    /// The number by which bypass entries know it; 0: none is about it alone.
    pub lan: u32,
}

const _: () = {
    assert!(
        size_of::<Settings>() == 8 * 4 + 2 * 4 + 2 * 4 + 8 + 2 * MAX_PORTS + 2 * MAX_FOLLOWED_PORTS
    );
    assert!(size_of::<Interface>() == 32);
};

#[cfg(feature = "user")]
mod pod {
    // SAFETY: `repr(C)`, integers only, no padding (size asserted above).
    #[expect(unsafe_code, reason = "Pod is an unsafe trait")]
    unsafe impl aya::Pod for super::Settings {}
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "Pod is an unsafe trait")]
    unsafe impl aya::Pod for super::Interface {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_only_what_is_listed() {
        let mut settings = Settings::IDLE;
        assert!(!settings.watches(0));
        assert!(!settings.watches(80u16.to_be()));
        settings.ports[7] = 80u16.to_be();
        assert!(settings.watches(80u16.to_be()));
        assert!(!settings.watches(81u16.to_be()));
        assert!(!settings.watches(0));
        assert!(!settings.follows(80u16.to_be()));
        settings.followed[15] = 80u16.to_be();
        assert!(settings.follows(80u16.to_be()) && !settings.follows(0));
    }
}
