//! How one connection to an origin is made.

use std::net::IpAddr;

/// Where a connection to an origin comes from, and how its packets are marked. Requests of one
/// client connection that want different ways need different connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Its source address.
    pub source: Source,
    /// Bits of `SO_MARK` besides our own, for the routing and the firewall of the host.
    pub mark: u32,
    /// IPv4's type of service, IPv6's traffic class; the kernel's default if `None`.
    pub tos: Option<u8>,
    /// IPv4's time to live, IPv6's hop limit, not 0; the kernel's default if `None`.
    pub ttl: Option<u8>,
}

/// The source address of a connection to an origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The client's own, with a port of ours.
    #[default]
    Client,
    /// The client's own, with its port where that can be, else with one of ours.
    ClientPort,
    /// This host's own, as its routing chooses it.
    Own,
    /// This one, with a port of ours; it need not be configured on this host.
    Address(IpAddr),
}
