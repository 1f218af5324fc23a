//! Default routes: where whatever has no better route goes.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::TryStreamExt as _;
use netlink_packet_route::{
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHopFlags, RouteType,
        RouteVia,
    },
};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::{NetlinkError, PROTOCOL, delivery};

/// The table that is looked at without a policy rule that says otherwise.
pub const MAIN: u32 = 254;

/// A default route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Default {
    /// 4 or 6.
    pub family: u8,
    /// Its table.
    pub table: u32,
    /// What becomes of packets.
    pub kind: Kind,
    /// Lower ones come first.
    pub metric: u32,
    /// Where to, of one that leads somewhere.
    pub hops: Vec<Hop>,
    /// Whether it is one of weir's own.
    pub is_ours: bool,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It leads somewhere.
    Way,
    /// It delivers to this host.
    Local,
    /// It drops, or refuses: the word of `ip route`.
    DeadEnd(&'static str),
}

/// A way that a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Index of the interface.
    pub interface: u32,
    /// The router, if there is one.
    pub gateway: Option<IpAddr>,
    /// Whether the interface has no carrier.
    pub is_down: bool,
}

/// As `ip route` writes it, without interfaces, of which only indexes are known here.
impl fmt::Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.family == 6 { " -6" } else { "" };
        write!(f, "ip{family} route")?;
        match self.kind {
            Kind::Way => {}
            Kind::Local => f.write_str(" local")?,
            Kind::DeadEnd(word) => write!(f, " {word}")?,
        }
        f.write_str(" default")?;
        if let Some(gateway) = self.hops.first().and_then(|hop| hop.gateway) {
            write!(f, " via {gateway}")?;
        }
        if self.table != MAIN {
            write!(f, " table {}", self.table)?;
        }
        Ok(())
    }
}

/// The default routes of all tables, those that are taken first in front.
///
/// # Errors
///
/// If netlink fails.
pub async fn defaults(handle: &Handle) -> Result<Vec<Default>, NetlinkError> {
    let mut found = Vec::new();
    for (family, query) in [
        (4, RouteMessageBuilder::<Ipv4Addr>::new().build()),
        (6, RouteMessageBuilder::<Ipv6Addr>::new().build()),
    ] {
        let mut routes = handle.route().get(query).execute();
        loop {
            match routes.try_next().await {
                Ok(Some(route)) => found.extend(default_of(family, &route)),
                Ok(None) => break,
                Err(error)
                    if delivery::is(&error, libc::EOPNOTSUPP)
                        || delivery::is(&error, libc::EAFNOSUPPORT) =>
                {
                    break;
                }
                Err(error) => return Err(NetlinkError::new("list routes", error)),
            }
        }
    }
    found.sort_by_key(|route| (route.table, route.family, route.metric));
    Ok(found)
}

/// Asked so often, a neighbour that has not answered is silent.
const PROBES: u32 = 2;

/// Neighbours that do not answer, each with the index of its interface: `FAILED`, or asked again as
/// somebody goes on sending to them.
///
/// # Errors
///
/// If netlink fails.
pub async fn silent(handle: &Handle) -> Result<BTreeSet<(u32, IpAddr)>, NetlinkError> {
    let neighbours: Vec<_> = handle
        .neighbours()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(|e| NetlinkError::new("list neighbours", e))?;
    let asked = |it: &NeighbourMessage| {
        let mut attributes = it.attributes.iter();
        attributes.any(|it| matches!(it, NeighbourAttribute::Probes(count) if *count >= PROBES))
    };
    let failed = neighbours.iter().filter(|it| match it.header.state {
        NeighbourState::Failed => true,
        NeighbourState::Incomplete => asked(it),
        _ => false,
    });
    let place = |it: &NeighbourMessage| {
        let address = it.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
            _ => None,
        })?;
        Some((it.header.ifindex, address))
    };
    Ok(failed.filter_map(place).collect())
}

fn default_of(family: u8, route: &RouteMessage) -> Option<Default> {
    if route.header.destination_prefix_length != 0 {
        return None;
    }
    let kind = match route.header.kind {
        RouteType::Unicast => Kind::Way,
        RouteType::Local => Kind::Local,
        RouteType::BlackHole => Kind::DeadEnd("blackhole"),
        RouteType::Unreachable => Kind::DeadEnd("unreachable"),
        RouteType::Prohibit => Kind::DeadEnd("prohibit"),
        _ => return None,
    };
    let table = delivery::route_table(route);
    let (mut metric, mut hops) = (0, Vec::new());
    let flags = route.header.flags;
    let mut hop = Hop {
        interface: 0,
        gateway: None,
        is_down: flags.contains(RouteFlags::Dead) || flags.contains(RouteFlags::Linkdown),
    };
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Priority(value) => metric = *value,
            RouteAttribute::Oif(index) => hop.interface = *index,
            RouteAttribute::Gateway(gateway) => hop.gateway = address(gateway),
            RouteAttribute::Via(via) => hop.gateway = hop.gateway.or_else(|| address_via(via)),
            RouteAttribute::MultiPath(several) => hops.extend(several.iter().map(|it| {
                let gateway = it.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Gateway(gateway) => address(gateway),
                    RouteAttribute::Via(via) => address_via(via),
                    _ => None,
                });
                Hop {
                    interface: it.interface_index,
                    gateway,
                    is_down: it.flags.contains(RouteNextHopFlags::Dead)
                        || it.flags.contains(RouteNextHopFlags::Linkdown),
                }
            })),
            _ => {}
        }
    }
    if hops.is_empty() && hop.interface != 0 {
        hops.push(hop);
    }
    // Every kernel of IPv6 has one that says that there is no other.
    let says_nothing = family == 6 && kind == Kind::DeadEnd("unreachable") && metric == u32::MAX;
    (!says_nothing).then_some(Default {
        family,
        table,
        kind,
        metric,
        hops,
        is_ours: u8::from(route.header.protocol) == PROTOCOL,
    })
}

const fn address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

const fn address_via(via: &RouteVia) -> Option<IpAddr> {
    match via {
        RouteVia::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteVia::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}
