//! What the daemon tells the programs.

use crate::{
    abi::{ABI_VERSION, MAX_PORTS},
    verdict::Reason,
};

/// Intercept by policy.
pub const MODE_ENFORCE: u32 = 0;
/// Intercept nothing new; flows that have a socket of ours stay with it.
pub const MODE_DRAIN: u32 = 1;

/// Bit of [`Settings::families`] for IPv4.
pub const FAMILY_IPV4: u32 = 1;
/// Bit of [`Settings::families`] for IPv6.
pub const FAMILY_IPV6: u32 = 2;

/// Clients come from here.
pub const ROLE_LAN: u32 = 1;
/// Origins are behind here.
pub const ROLE_WAN: u32 = 2;

/// Frames begin with an Ethernet header.
pub const KIND_ETHERNET: u32 = 1;

/// The one entry of [`map::SETTINGS`](crate::abi::map::SETTINGS). Written by the daemon alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// [`ABI_VERSION`] of the daemon that wrote this.
    pub abi_version: u32,
    /// Bit that marks a packet for local delivery (`skb->mark`, host order).
    pub steer_mark: u32,
    /// [`MODE_ENFORCE`] or [`MODE_DRAIN`].
    pub mode: u32,
    /// [`FAMILY_IPV4`] | [`FAMILY_IPV6`].
    pub families: u32,
    /// Number of workers, 1 to [`MAX_WORKERS`](crate::abi::MAX_WORKERS).
    pub workers: u32,
    /// While the valve is open: the [`Reason`] for it (`not-delivered`, `no-return-path`);
    /// 0 while it is closed.
    pub valve: u32,
    /// While the valve is open, one SYN in so many is steered to see whether it works again.
    pub probe: u32,
    /// Not 0: at the connection limit, new flows go direct.
    pub overload: u32,
    /// How old a worker's heartbeat may be, in nanoseconds.
    pub heartbeat_stale_ns: u64,
    /// Watched ports, network order; 0 in unused places.
    pub ports: [u16; MAX_PORTS],
}

impl Settings {
    /// Settings that intercept nothing: no port is watched.
    pub const IDLE: Self = Self {
        abi_version: ABI_VERSION,
        steer_mark: 0,
        mode: MODE_DRAIN,
        families: 0,
        workers: 1,
        valve: 0,
        probe: 0,
        overload: 0,
        heartbeat_stale_ns: 0,
        ports: [0; MAX_PORTS],
    };

    /// Whether `port` (network order) is watched. Port 0 never is.
    #[inline(always)]
    #[must_use]
    pub fn watches(&self, port: u16) -> bool {
        port != 0
            && (port == self.ports[0]
                || port == self.ports[1]
                || port == self.ports[2]
                || port == self.ports[3]
                || port == self.ports[4]
                || port == self.ports[5]
                || port == self.ports[6]
                || port == self.ports[7])
    }

    /// Why the valve is open, if it is.
    #[inline(always)]
    #[must_use]
    pub fn valve_reason(&self) -> Option<Reason> {
        if self.valve == 0 {
            None
        } else if self.valve == Reason::NoReturnPath as u32 {
            Some(Reason::NoReturnPath)
        } else {
            Some(Reason::NotDelivered)
        }
    }
}

/// An entry of [`map::INTERFACES`](crate::abi::map::INTERFACES).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// [`ROLE_LAN`] or [`ROLE_WAN`].
    pub role: u32,
    /// [`KIND_ETHERNET`].
    pub kind: u32,
}

const _: () = {
    assert!(size_of::<Settings>() == 8 * 4 + 8 + 2 * MAX_PORTS);
    assert!(size_of::<Interface>() == 8);
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
    }
}
