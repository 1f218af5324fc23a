//! The way of what we send through a bridge.
//!
//! Whatever the host's own routes say, and if it has none, our sockets' packets must leave through
//! the bridge that their connections are on. Our sockets bear a mark, so that a rule can send them
//! to a table with one route, by a next hop that is on no wire: its MAC address tells our frames
//! from all others, and `weir_leave` puts the real ones in its place.
//!
//! A second rule is for lookups about what was delivered to us (`iif lo` and the steer mark): strict
//! reverse-path filtering asks, with `src_valid_mark`, whether the client is where it came from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use netlink_packet_route::{
    AddressFamily,
    neighbour::{NeighbourAttribute, NeighbourState},
    route::{RouteMessage, RouteProtocol},
    rule::RuleMessage,
};
use proxy_ebpf::bridge::NEXT_HOP;
use rtnetlink::{Handle, RouteMessageBuilder};

use super::{
    NetlinkError, PROTOCOL,
    delivery::{LOOPBACK_NAME, Plan, ignore_missing, is},
};

/// RFC 7600's dummy address: nobody has it.
const HOP_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);
/// Link-local, and "weir".
const HOP_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x7765, 0x6972);

impl Plan {
    /// Adds rules, routes and the next hop through the bridge with this index, for `families`
    /// (4 and 6). What is there already is fine.
    ///
    /// # Errors
    ///
    /// If netlink fails.
    pub async fn cross(
        &self,
        handle: &Handle,
        bridge: u32,
        families: &[u8],
    ) -> Result<(), NetlinkError> {
        for &family in families {
            let hop: IpAddr = if family == 4 {
                HOP_V4.into()
            } else {
                HOP_V6.into()
            };
            let mut neighbour = handle
                .neighbours()
                .add(bridge, hop)
                .state(NeighbourState::Permanent)
                .link_layer_address(&NEXT_HOP)
                .replace();
            let protocol = NeighbourAttribute::Protocol(RouteProtocol::from(PROTOCOL));
            neighbour.message_mut().attributes.push(protocol);
            neighbour
                .execute()
                .await
                .map_err(|e| NetlinkError::new("add the next hop through the bridge", e))?;
            let route = self.way_out(bridge, family);
            match handle.route().add(route).replace().execute().await {
                Err(error) if !is(&error, libc::EEXIST) => {
                    let operation = format!("add the route of table {}", self.crossing_table());
                    return Err(NetlinkError::new(operation, error));
                }
                _ => {}
            }
            self.add_crossing_rules(handle, family).await?;
        }
        Ok(())
    }

    /// For what our sockets send, and for lookups about what was delivered to them.
    pub(super) fn crossing_rules(&self, family: u8) -> [RuleMessage; 2] {
        let table = self.crossing_table();
        let ours = self.rule_to(family, table, self.socket_mark, None);
        let delivered = self.rule_to(family, table, self.steer_mark, Some(LOOPBACK_NAME));
        [ours, delivered]
    }

    async fn add_crossing_rules(&self, handle: &Handle, family: u8) -> Result<(), NetlinkError> {
        for rule in self.crossing_rules(family) {
            let mut request = handle.rule().add();
            *request.message_mut() = rule;
            match request.execute().await {
                Err(error) if !is(&error, libc::EEXIST) => {
                    return Err(NetlinkError::new("add the rule for the bridge", error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn way_out(&self, bridge: u32, family: u8) -> RouteMessage {
        let (table, protocol) = (self.crossing_table(), RouteProtocol::from(PROTOCOL));
        if family == 4 {
            RouteMessageBuilder::<Ipv4Addr>::new()
                .output_interface(bridge)
                .gateway(HOP_V4)
                .onlink()
                .table_id(table)
                .protocol(protocol)
                .build()
        } else {
            RouteMessageBuilder::<Ipv6Addr>::new()
                .output_interface(bridge)
                .gateway(HOP_V6)
                .onlink()
                .table_id(table)
                .protocol(protocol)
                .build()
        }
    }
}

/// Removes the next hops of ours from whatever bridge has them: nothing else has their address.
pub(super) async fn remove_next_hops(handle: &Handle) -> Result<(), NetlinkError> {
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let neighbours = handle.neighbours().get().set_address_family(family);
        let neighbours: Vec<_> = neighbours
            .execute()
            .try_collect()
            .await
            .map_err(|e| NetlinkError::new("list neighbours", e))?;
        let ours = neighbours.into_iter().filter(|neighbour| {
            let hop = NeighbourAttribute::LinkLayerAddress(NEXT_HOP.to_vec());
            neighbour.attributes.contains(&hop)
        });
        for neighbour in ours {
            ignore_missing(handle.neighbours().del(neighbour).execute().await)
                .map_err(|e| NetlinkError::new("remove the next hop through the bridge", e))?;
        }
    }
    Ok(())
}
