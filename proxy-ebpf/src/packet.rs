//! The bounds-checked walk from the network header to a TCP flow.
//!
//! It reads through [`Load`] only, so that the same code runs in the kernel (over
//! `bpf_skb_load_bytes`, which needs no linear data) and on the host (over a byte slice).

use crate::key::{Flow, IPV4, IPV6};

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
}

/// EtherType of IPv4, network order.
pub const ETHERTYPE_IPV4: u16 = 0x0800u16.to_be();
/// EtherType of IPv6, network order.
pub const ETHERTYPE_IPV6: u16 = 0x86ddu16.to_be();

/// Length of an Ethernet header.
pub const ETHERNET_LEN: u32 = 14;

const PROTO_ICMP: u8 = 1;
const PROTO_TCP: u8 = 6;
const PROTO_ICMPV6: u8 = 58;

/// Extension headers walked before we call it [`Packet::Other`]; RFC 8200 §4.1 knows six kinds
/// and lets each occur once but for destination options.
const MAX_EXTENSION_HEADERS: usize = 6;

/// Parses the packet whose network header is at `l3` bytes into the frame.
///
/// `ethertype` (network order) is the packet's protocol as the kernel knows it. `segment` is
/// meaningful after [`Kind::Tcp`] and, but for flags and offset, after [`Kind::IcmpError`].
#[inline(always)]
pub fn parse(frame: &impl Load, ethertype: u16, l3: u32, segment: &mut Segment) -> Kind {
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
        Transport::Malformed => Kind::Malformed,
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
    let Some(header) = frame.load::<14>(segment.offset) else {
        return Kind::Malformed;
    };
    segment.flow.sport = u16::from_ne_bytes([header[0], header[1]]);
    segment.flow.dport = u16::from_ne_bytes([header[2], header[3]]);
    segment.flags = header[13] as u32;
    Kind::Tcp
}

/// RFC 792: destination unreachable (3), source quench (4), time exceeded (11), parameter
/// problem (12) quote the offending header and 8 octets behind it, enough for the ports.
/// RFC 4443 §3: the error messages in use are types 1 to 4.
#[inline(always)]
fn icmp_error(frame: &impl Load, transport: Transport, segment: &mut Segment) -> Kind {
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
    // RFC 791 §3.1: 13 bits of fragment offset behind three flags.
    if header[6] & 0x1f != 0 || header[7] != 0 {
        return later_fragment(protocol);
    }
    segment.flow.family = IPV4;
    segment.flow.saddr = [word(&header, 12), 0, 0, 0];
    segment.flow.daddr = [word(&header, 16), 0, 0, 0];
    segment.offset = l3 + header_len;
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
        if protocol == 44 && (extension[2] != 0 || extension[3] & 0xf8 != 0) {
            return later_fragment(extension[0]);
        }
        offset += extension[1] as u32 * unit + 8;
        protocol = extension[0];
    }
    segment.offset = offset;
    Transport::of(IPV6, protocol)
}

#[inline(always)]
const fn later_fragment(protocol: u8) -> Transport {
    if protocol == PROTO_TCP {
        Transport::LaterFragment
    } else {
        Transport::Other
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SYN: [u8; 20] = tcp_header(40_000, 80, TCP_SYN);

    const fn tcp_header(sport: u16, dport: u16, flags: u32) -> [u8; 20] {
        let mut header = [0; 20];
        [header[0], header[1]] = sport.to_be_bytes();
        [header[2], header[3]] = dport.to_be_bytes();
        header[12] = 0x50;
        header[13] = flags.to_le_bytes()[0];
        header
    }

    fn v4(options: usize, fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0u8; 20 + options];
        packet[0] = 0x40 | u8::try_from(5 + options / 4).unwrap();
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[9] = protocol;
        packet[12..16].copy_from_slice(&[10, 0, 0, 2]);
        packet[16..20].copy_from_slice(&[203, 0, 113, 7]);
        packet.extend_from_slice(payload);
        packet
    }

    fn v6(extensions: &[(u8, Vec<u8>)], last: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0u8; 40];
        packet[0] = 0x60;
        packet[6] = extensions.first().map_or(last, |(kind, _)| *kind);
        packet[23] = 2;
        packet[39] = 7;
        for (i, (_, body)) in extensions.iter().enumerate() {
            packet.push(extensions.get(i + 1).map_or(last, |(kind, _)| *kind));
            packet.extend_from_slice(body);
        }
        packet.extend_from_slice(payload);
        packet
    }

    fn parsed(packet: &[u8]) -> (Kind, Segment) {
        let ethertype = if packet[0] >> 4 == 4 {
            ETHERTYPE_IPV4
        } else {
            ETHERTYPE_IPV6
        };
        let mut segment = Segment::EMPTY;
        let kind = parse(&packet, ethertype, 0, &mut segment);
        (kind, segment)
    }

    fn kind(packet: &[u8]) -> Kind {
        parsed(packet).0
    }

    fn segment(packet: &[u8]) -> Segment {
        let (kind, segment) = parsed(packet);
        assert_eq!(kind, Kind::Tcp);
        segment
    }

    #[test]
    fn finds_the_flow_behind_ipv4_options() {
        for options in [0, 4, 40] {
            let segment = segment(&v4(options, 0, PROTO_TCP, &SYN));
            assert!(segment.opens() && !segment.acknowledges());
            assert_eq!(segment.flow.dport, 80u16.to_be());
            assert_eq!(segment.flow.saddr[0].to_ne_bytes(), [10, 0, 0, 2]);
            assert_eq!(segment.offset as usize, 20 + options);
        }
    }

    #[test]
    fn finds_the_flow_behind_ipv6_extension_headers() {
        let hop = (0, vec![0; 7]);
        let options = (60, [vec![31], vec![0; 254]].concat());
        let first_fragment = (44, vec![0, 0, 1, 0, 0, 0, 9]);
        let segment = segment(&v6(&[hop, options, first_fragment], PROTO_TCP, &SYN));
        assert_eq!(segment.flow.daddr[3].to_ne_bytes(), [0, 0, 0, 7]);
        assert_eq!(segment.flow.sport, 40_000u16.to_be());
    }

    #[test]
    fn later_fragments_have_no_ports() {
        assert_eq!(kind(&v4(0, 0x2001, PROTO_TCP, &SYN)), Kind::LaterFragment);
        assert_eq!(kind(&v4(0, 1, 17, &SYN)), Kind::Other);
        let later = (44, vec![0, 0, 8, 0, 0, 0, 9]);
        assert_eq!(kind(&v6(&[later], PROTO_TCP, &SYN)), Kind::LaterFragment);
        // More-fragments and don't-fragment are flags, not an offset.
        assert_eq!(kind(&v4(0, 0x6000, PROTO_TCP, &SYN)), Kind::Tcp);
    }

    #[test]
    fn icmp_errors_yield_the_quoted_flow() {
        let quoted = v4(0, 0, PROTO_TCP, &SYN[..8]);
        let error = [&[3, 4, 0, 0, 0, 0, 2, 88][..], &quoted].concat();
        let (kind, segment) = parsed(&v4(0, 0, PROTO_ICMP, &error));
        assert_eq!(kind, Kind::IcmpError);
        assert_eq!(segment.flow.dport, 80u16.to_be());

        let quoted = v6(&[], PROTO_TCP, &SYN[..8]);
        let error = [&[2, 0, 0, 0, 0, 0, 5, 0][..], &quoted].concat();
        let (kind, segment) = parsed(&v6(&[], PROTO_ICMPV6, &error));
        assert_eq!(kind, Kind::IcmpError);
        assert_eq!(segment.flow.sport, 40_000u16.to_be());
    }

    #[test]
    fn other_icmp_is_left_alone() {
        let echo = [8u8, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(kind(&v4(0, 0, PROTO_ICMP, &echo)), Kind::Other);
        let neighbour = [135u8, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(kind(&v6(&[], PROTO_ICMPV6, &neighbour)), Kind::Other);
        // An error about UDP, and one whose quotation is cut short.
        let about_udp = [&[3u8, 3, 0, 0, 0, 0, 0, 0][..], &v4(0, 0, 17, &SYN[..8])].concat();
        assert_eq!(kind(&v4(0, 0, PROTO_ICMP, &about_udp)), Kind::Other);
        assert_eq!(kind(&v4(0, 0, PROTO_ICMP, &about_udp[..20])), Kind::Other);
    }

    #[test]
    fn syn_is_told_from_every_other_flag_set() {
        for flags in 0..=255u8 {
            let flags = u32::from(flags);
            let segment = segment(&v4(0, 0, PROTO_TCP, &tcp_header(1, 80, flags)));
            assert_eq!(segment.opens(), flags & 0x17 == TCP_SYN);
            assert_eq!(segment.acknowledges(), flags & 0x17 == TCP_ACK);
        }
    }

    proptest! {
        /// A frame cut anywhere never reads behind its end (the slice would panic) and is never
        /// a flow when the ports are cut off.
        #[test]
        fn any_bytes_are_walked_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for ethertype in [ETHERTYPE_IPV4, ETHERTYPE_IPV6] {
                let _ = parse(&&bytes[..], ethertype, 0, &mut Segment::EMPTY.clone());
            }
        }

        #[test]
        fn a_cut_segment_is_malformed(cut in 0usize..34) {
            let packet = v4(0, 0, PROTO_TCP, &SYN);
            let kind = parse(&&packet[..cut], ETHERTYPE_IPV4, 0, &mut Segment::EMPTY.clone());
            prop_assert_eq!(kind, Kind::Malformed);
        }
    }
}
