//! Cutting IP packets into fragments, as a router with a small link would, or as nobody would.

use proxy_userspace::lab::{Network, Side};

use crate::{
    addressed::At,
    icmp::checksum,
    tun::{Alter, TunLink},
};

const TCP: u8 = 6;
const DESTINATION_OPTIONS: u8 = 60;
const FRAGMENT: u8 = 44;
/// Of TCP's header: a packet with no more than that and options has no data.
const NO_DATA: usize = 100;

/// In which order fragments leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The first one first.
    Forward,
    /// The first one last.
    Backward,
}

/// How packets are cut. Those that carry no data of TCP are left whole.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Octets of the first fragment behind its IP header, a multiple of 8.
    pub first: usize,
    /// The same of the others.
    pub size: usize,
    /// In which order they leave.
    pub order: Order,
    /// IPv6: puts an extension header between that of the fragment and TCP's.
    pub extended: bool,
}

impl Cut {
    /// Pieces of 552 octets.
    #[must_use]
    pub fn new(order: Order) -> Self {
        Self {
            first: 552,
            size: 552,
            order,
            extended: false,
        }
    }

    /// In place of the client's link, or the origin's: packets to the router are cut.
    #[must_use]
    pub fn on(self, net: &Network, side: Side) -> TunLink {
        let (host, name) = match side {
            Side::Client => (&net.client, proxy_userspace::lab::LAN),
            Side::Origin => (&net.origin, proxy_userspace::lab::WAN),
        };
        TunLink::altering([At(host, "eth0"), At(&net.router, name)], self.alter(0))
    }

    /// In place of the link of the network's hop, which Weir has nothing to do with: packets to
    /// Weir's router are cut, and come there in Ethernet frames.
    ///
    /// # Panics
    ///
    /// When there is no hop.
    #[must_use]
    pub fn within(self, net: &Network, side: Side) -> TunLink {
        let [near, far] = net.hop.as_ref().unwrap_or_else(|| panic!("no hop"));
        let from = match side {
            Side::Client => 0,
            Side::Origin => 1,
        };
        TunLink::altering([At(near, "far"), At(far, "near")], self.alter(from))
    }

    /// Packets that come in by the device of that number are cut.
    fn alter(self, from: usize) -> Alter {
        let mut id = 0;
        Box::new(move |number, packet| {
            if number != from {
                return vec![packet.to_vec()];
            }
            id += 1;
            self.fragments(packet, id)
        })
    }

    /// The fragments of a packet, or the packet.
    #[must_use]
    pub fn fragments(self, packet: &[u8], id: u32) -> Vec<Vec<u8>> {
        let mut fragments = match packet[0] >> 4 {
            4 if packet[9] == TCP && packet.len() > 20 + NO_DATA => self.ipv4(packet, id),
            6 if packet[6] == TCP && packet.len() > 40 + NO_DATA => self.ipv6(packet, id),
            _ => vec![packet.to_vec()],
        };
        if self.order == Order::Backward {
            fragments.reverse();
        }
        fragments
    }

    fn ipv4(self, packet: &[u8], id: u32) -> Vec<Vec<u8>> {
        let header = usize::from(packet[0] & 0x0f) * 4;
        let piece = |(at, part, more): (usize, &[u8], bool)| {
            let mut fragment = [&packet[..header], part].concat();
            let length = number(fragment.len());
            fragment[2..4].copy_from_slice(&length);
            fragment[4..6].copy_from_slice(&id.to_be_bytes()[2..]);
            let [high, low] = number(at / 8);
            fragment[6] = high | if more { 0x20 } else { 0 };
            fragment[7] = low;
            fragment[10..12].fill(0);
            let sum = checksum(&fragment[..header]);
            fragment[10..12].copy_from_slice(&sum);
            fragment
        };
        self.pieces(&packet[header..]).map(piece).collect()
    }

    fn ipv6(self, packet: &[u8], id: u32) -> Vec<Vec<u8>> {
        let mut inner = packet[40..].to_vec();
        let mut next = TCP;
        if self.extended {
            // Six octets of padding (RFC 8200 §4.2, PadN).
            inner.splice(0..0, [TCP, 0, 1, 4, 0, 0, 0, 0]);
            next = DESTINATION_OPTIONS;
        }
        let piece = |(at, part, more): (usize, &[u8], bool)| {
            let mut fragment = [&packet[..40], &[next, 0], &number(at), part].concat();
            fragment[43] |= u8::from(more);
            fragment.splice(44..44, id.to_be_bytes());
            fragment[6] = FRAGMENT;
            let length = number(fragment.len() - 40);
            fragment[4..6].copy_from_slice(&length);
            fragment
        };
        self.pieces(&inner).map(piece).collect()
    }

    /// Where each begins, what is in it, and whether more follow.
    fn pieces(self, data: &[u8]) -> impl Iterator<Item = (usize, &[u8], bool)> {
        let first = self.first.min(data.len());
        let (begin, rest) = data.split_at(first);
        let others = rest.chunks(self.size).scan(first, move |at, part| {
            let here = *at;
            *at += part.len();
            Some((here, part, *at < data.len()))
        });
        std::iter::once((0, begin, first < data.len())).chain(others)
    }
}

fn number(value: usize) -> [u8; 2] {
    u16::try_from(value)
        .unwrap_or_else(|error| panic!("{value}: {error}"))
        .to_be_bytes()
}
