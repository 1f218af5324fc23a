//! The bounds-checked walk from the network header to a TCP flow.
//!
//! It reads through [`Load`] only, so that the same code runs in the kernel (over
//! `bpf_skb_load_bytes`, which needs no linear data) and on the host (over a byte slice).

use crate::{
    fragment::Datagram,
    key::{Flow, IPV4, IPV6},
};

/// Reads from a frame.
pub trait Load {
    /// `N` bytes at `offset` from the frame's start, or `None` where the frame ends before.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;
}

/// What a frame is to us.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP segment, or the first fragment of one.
    Tcp = 0,
    /// An ICMP or ICMPv6 error that quotes a TCP segment: the flow is the quoted one, in the
    /// direction in which the quoted segment was sent.
    IcmpError = 1,
    /// A fragment of a TCP segment without its ports.
    LaterFragment = 2,
    /// Anything else: not TCP over IPv4 or IPv6.
    Other = 3,
    /// The frame ends before its headers do.
    Malformed = 4,
    /// A first fragment that ends before the flags of TCP do, or before its extension headers do
    /// (RFC 1858 §3, RFC 7112): nobody sends those but who wants to get past something.
    TinyFragment = 5,
}

/// A TCP segment's flow and what a verdict needs besides.
///
/// [`parse`] fills it in place: a BPF program has 512 bytes of stack, so the kernel half keeps
/// it in a map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The flow, in this segment's direction.
    pub flow: Flow,
    /// Offset of the transport header from the frame's start, in bytes.
    pub offset: u32,
    /// The TCP flags octet.
    pub flags: u32,
    /// Not 0: a fragment of the datagram with this [`id`](Self::id).
    pub fragment: u32,
    /// The Identification of a fragment, as it is in memory.
    pub id: u32,
}

impl Segment {
    /// Nothing yet.
    pub const EMPTY: Self = Self {
        flow: Flow {
            family: 0,
            saddr: [0; 4],
            daddr: [0; 4],
            sport: 0,
            dport: 0,
        },
        offset: 0,
        flags: 0,
        fragment: 0,
        id: 0,
    };
}

/// `FIN`.
pub const TCP_FIN: u32 = 0x01;
/// `SYN`.
pub const TCP_SYN: u32 = 0x02;
/// `RST`.
pub const TCP_RST: u32 = 0x04;
/// `ACK`.
pub const TCP_ACK: u32 = 0x10;

impl Segment {
    /// Opens a connection: SYN without ACK.
    #[inline(always)]
    #[must_use]
    pub const fn opens(&self) -> bool {
        self.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN) == TCP_SYN
    }

    /// Answers a SYN: SYN and ACK.
    #[inline(always)]
    #[must_use]
    pub const fn accepts(&self) -> bool {
        self.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN) == TCP_SYN | TCP_ACK
    }

    /// May complete a handshake: ACK, neither SYN nor RST nor FIN.
    #[inline(always)]
    #[must_use]
    pub const fn acknowledges(&self) -> bool {
        self.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN) == TCP_ACK
    }

    /// Refuses a segment that acknowledged something to nobody: RST without ACK (RFC 9293
    /// §3.10.7.1).
    #[inline(always)]
    #[must_use]
    pub const fn refuses_an_ack(&self) -> bool {
        self.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN) == TCP_RST
    }

    /// Whether it is a fragment; meaningful after [`Kind::Tcp`] (the first) and
    /// [`Kind::LaterFragment`].
    #[inline(always)]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.fragment != 0
    }

    /// The datagram that a fragment is of.
    #[inline(always)]
    #[must_use]
    pub const fn datagram(&self) -> Datagram {
        Datagram {
            family: self.flow.family,
            saddr: self.flow.saddr,
            daddr: self.flow.daddr,
            id: self.id,
        }
    }
}

/// EtherType of IPv4, network order.
pub const ETHERTYPE_IPV4: u16 = 0x0800u16.to_be();
/// EtherType of IPv6, network order.
pub const ETHERTYPE_IPV6: u16 = 0x86ddu16.to_be();

/// Length of an Ethernet header.
pub const ETHERNET_LEN: u32 = 14;

/// The first octets of a TCP header, with all that is read of it.
const TCP_START: u32 = 14;

const PROTO_ICMP: u8 = 1;
const PROTO_TCP: u8 = 6;
const PROTO_ICMPV6: u8 = 58;

/// Extension headers walked before we call it [`Packet::Other`]; RFC 8200 §4.1 knows six kinds
/// and lets each occur once but for destination options.
const MAX_EXTENSION_HEADERS: usize = 6;

/// Parses the packet whose network header is at `l3` bytes into the frame.
///
/// `ethertype` (network order) is the packet's protocol as the kernel knows it. `segment` is
/// meaningful after [`Kind::Tcp`]; but for flags and offset, after [`Kind::IcmpError`]; and its
/// [datagram](Segment::datagram) after [`Kind::LaterFragment`].
#[inline(always)]
pub fn parse(frame: &impl Load, ethertype: u16, l3: u32, segment: &mut Segment) -> Kind {
    segment.fragment = 0;
    let transport = match ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, l3, segment),
        ETHERTYPE_IPV6 => ipv6(frame, l3, segment),
        _ => return Kind::Other,
    };
    match transport {
        Transport::Tcp => tcp(frame, segment),
        Transport::Icmp | Transport::Icmpv6 => icmp_error(frame, transport, segment),
        Transport::LaterFragment => Kind::LaterFragment,
        Transport::Other => Kind::Other,
        Transport::Malformed => too_short(segment),
    }
}

/// A frame that ends within its headers.
#[inline(always)]
const fn too_short(segment: &Segment) -> Kind {
    if segment.is_fragment() {
        Kind::TinyFragment
    } else {
        Kind::Malformed
    }
}

/// What a network header leads to.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp = 0,
    Icmp = 1,
    Icmpv6 = 2,
    LaterFragment = 3,
    Other = 4,
    Malformed = 5,
}

impl Transport {
    #[inline(always)]
    const fn of(family: u32, protocol: u8) -> Self {
        match protocol {
            PROTO_TCP => Self::Tcp,
            PROTO_ICMP if family == IPV4 => Self::Icmp,
            PROTO_ICMPV6 if family == IPV6 => Self::Icmpv6,
            _ => Self::Other,
        }
    }
}

#[inline(always)]
fn tcp(frame: &impl Load, segment: &mut Segment) -> Kind {
    let Some(header) = frame.load::<{ TCP_START as usize }>(segment.offset) else {
        return too_short(segment);
    };
    segment.flow.sport = u16::from_ne_bytes([header[0], header[1]]);
    segment.flow.dport = u16::from_ne_bytes([header[2], header[3]]);
    segment.flags = header[13] as u32;
    Kind::Tcp
}

/// RFC 792: destination unreachable (3), source quench (4), time exceeded (11), parameter
/// problem (12) quote the offending header and 8 octets behind it, enough for the ports.
/// RFC 4443 §3: the error messages in use are types 1 to 4.
///
/// An error that is a fragment itself is none to us: its other fragments could not be told from
/// those of anybody's.
#[inline(always)]
fn icmp_error(frame: &impl Load, transport: Transport, segment: &mut Segment) -> Kind {
    if segment.is_fragment() {
        return Kind::Other;
    }
    let Some([kind]) = frame.load::<1>(segment.offset) else {
        return Kind::Malformed;
    };
    let quote = segment.offset + 8;
    let quoted = match (transport, kind) {
        (Transport::Icmp, 3 | 4 | 11 | 12) => ipv4(frame, quote, segment),
        (Transport::Icmpv6, 1..=4) => ipv6(frame, quote, segment),
        _ => return Kind::Other,
    };
    if quoted != Transport::Tcp {
        return Kind::Other;
    }
    let Some(ports) = frame.load::<4>(segment.offset) else {
        return Kind::Other;
    };
    segment.flow.sport = u16::from_ne_bytes([ports[0], ports[1]]);
    segment.flow.dport = u16::from_ne_bytes([ports[2], ports[3]]);
    Kind::IcmpError
}

// The two walkers are functions of their own in the kernel as well: each is called from two
// places, and their buffers would not fit the stack twice.

#[inline(never)]
fn ipv4(frame: &impl Load, l3: u32, segment: &mut Segment) -> Transport {
    let Some(header) = frame.load::<20>(l3) else {
        return Transport::Malformed;
    };
    let header_len = ((header[0] & 0x0f) as u32) * 4;
    if header[0] >> 4 != 4 || header_len < 20 {
        return Transport::Malformed;
    }
    let protocol = header[9];
    segment.flow.family = IPV4;
    segment.flow.saddr = [word(&header, 12), 0, 0, 0];
    segment.flow.daddr = [word(&header, 16), 0, 0, 0];
    segment.offset = l3 + header_len;
    // RFC 791 §3.1: 13 bits of fragment offset behind three flags, of which the last says that
    // more fragments follow.
    segment.fragment = (((header[6] & 0x3f) as u32) << 8) | header[7] as u32;
    if segment.is_fragment() {
        segment.id = u16::from_ne_bytes([header[4], header[5]]) as u32;
        if segment.fragment & 0x1fff != 0 {
            return later_fragment(IPV4, protocol);
        }
        // What is behind the datagram's end is Ethernet's padding.
        let total = u16::from_be_bytes([header[2], header[3]]) as u32;
        if protocol == PROTO_TCP && total < header_len + TCP_START {
            return Transport::Malformed;
        }
    }
    Transport::of(IPV4, protocol)
}

#[inline(never)]
fn ipv6(frame: &impl Load, l3: u32, segment: &mut Segment) -> Transport {
    let Some(header) = frame.load::<40>(l3) else {
        return Transport::Malformed;
    };
    if header[0] >> 4 != 6 {
        return Transport::Malformed;
    }
    segment.flow.family = IPV6;
    segment.flow.saddr = [
        word(&header, 8),
        word(&header, 12),
        word(&header, 16),
        word(&header, 20),
    ];
    segment.flow.daddr = [
        word(&header, 24),
        word(&header, 28),
        word(&header, 32),
        word(&header, 36),
    ];
    let mut protocol = header[6];
    let mut offset = l3 + 40;
    for _ in 0..MAX_EXTENSION_HEADERS {
        // RFC 8200 §4 and, for the length of an authentication header, RFC 4302 §2.2.
        let unit = match protocol {
            0 | 43 | 60 => 8,
            51 => 4,
            44 => 0,
            _ => break,
        };
        let Some(extension) = frame.load::<4>(offset) else {
            return Transport::Malformed;
        };
        if protocol == 44 {
            // 13 bits of fragment offset, two reserved ones, and one that says that more fragments
            // follow. With neither it is whole all the same (RFC 6946).
            segment.fragment = ((extension[2] as u32) << 8) | (extension[3] & 0xf9) as u32;
            if segment.is_fragment() {
                let Some(id) = frame.load::<4>(offset + 4) else {
                    return Transport::Malformed;
                };
                segment.id = u32::from_ne_bytes(id);
            }
            if segment.fragment & 0xfff8 != 0 {
                return later_fragment(IPV6, extension[0]);
            }
        }
        offset += extension[1] as u32 * unit + 8;
        protocol = extension[0];
    }
    segment.offset = offset;
    if segment.is_fragment() && protocol == PROTO_TCP {
        let end = l3 + 40 + u16::from_be_bytes([header[4], header[5]]) as u32;
        if end < offset + TCP_START {
            return Transport::Malformed;
        }
    }
    Transport::of(IPV6, protocol)
}

/// What follows a fragment header of IPv6 may be an extension header; TCP is behind it, in the
/// first fragment.
#[inline(always)]
const fn later_fragment(family: u32, protocol: u8) -> Transport {
    match protocol {
        PROTO_TCP => Transport::LaterFragment,
        0 | 43 | 51 | 60 if family == IPV6 => Transport::LaterFragment,
        _ => Transport::Other,
    }
}

#[inline(always)]
fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl Load for &[u8] {
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.get(offset as usize..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests;
