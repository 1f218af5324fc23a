//! TCP segments, octet for octet: what was captured, and what a test makes up.

use std::net::{IpAddr, SocketAddr};

/// `FIN`.
pub const FIN: u8 = 0x01;
/// `SYN`.
pub const SYN: u8 = 0x02;
/// `RST`.
pub const RST: u8 = 0x04;
/// `ACK`.
pub const ACK: u8 = 0x10;
/// `URG`.
pub const URG: u8 = 0x20;
/// `ECE`, of ECN.
pub const ECE: u8 = 0x40;
/// `CWR`, of ECN.
pub const CWR: u8 = 0x80;

const PROTOCOL_TCP: u8 = 6;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;

/// A segment, and what its IP header says of its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sender.
    pub from: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// The flags octet.
    pub flags: u8,
    /// The window as it stands there, not scaled.
    pub window: u16,
    /// Kind and value of each option but padding, in their order.
    pub options: Vec<(u8, Vec<u8>)>,
    /// What it carries.
    pub data: Vec<u8>,
}

impl Segment {
    /// The maximum segment size option's kind.
    pub const MSS: u8 = 2;
    /// The window scale option's.
    pub const WINDOW_SCALE: u8 = 3;
    /// "SACK permitted".
    pub const SACK_PERMITTED: u8 = 4;
    /// Timestamps.
    pub const TIMESTAMPS: u8 = 8;
    /// Multipath TCP (RFC 8684).
    pub const MPTCP: u8 = 30;
    /// A TCP Fast Open cookie, or the request for one (RFC 7413).
    pub const FAST_OPEN: u8 = 34;
    /// An experiment's (RFC 4727): means nothing to anybody here.
    pub const EXPERIMENT: u8 = 253;

    /// One with these ends and flags, and nothing else.
    #[must_use]
    pub fn new(from: SocketAddr, to: SocketAddr, flags: u8) -> Self {
        Self {
            from,
            to,
            ttl: 0,
            tos: 0,
            sequence: 0,
            acknowledgment: 0,
            flags,
            window: u16::MAX,
            options: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Whether its flags are these, but for ECN's and PSH.
    #[must_use]
    pub fn is(&self, flags: u8) -> bool {
        self.flags & (FIN | SYN | RST | ACK | URG) == flags
    }

    /// The value of the first option of that kind.
    #[must_use]
    pub fn option(&self, kind: u8) -> Option<&[u8]> {
        let mut options = self.options.iter();
        let (_, value) = options.find(|(other, _)| *other == kind)?;
        Some(value)
    }

    /// The maximum segment size that it announces.
    #[must_use]
    pub fn mss(&self) -> Option<u16> {
        let value = self.option(Self::MSS)?.try_into().ok()?;
        Some(u16::from_be_bytes(value))
    }

    /// The segment in an IPv4 or IPv6 packet without extension headers, if there is one.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let (from, to, ttl, tos, tcp): (IpAddr, IpAddr, u8, u8, _) = match packet.first()? >> 4 {
            4 => {
                let header = usize::from(packet[0] & 15) * 4;
                let length = usize::from(u16::from_be_bytes(*packet.get(2..)?.first_chunk()?));
                if *packet.get(9)? != PROTOCOL_TCP {
                    return None;
                }
                let source: [u8; 4] = *packet.get(12..)?.first_chunk()?;
                let destination: [u8; 4] = *packet.get(16..)?.first_chunk()?;
                let tcp = packet.get(header..length.min(packet.len()))?;
                (source.into(), destination.into(), packet[8], packet[1], tcp)
            }
            6 => {
                let length = usize::from(u16::from_be_bytes(*packet.get(4..)?.first_chunk()?));
                if *packet.get(6)? != PROTOCOL_TCP {
                    return None;
                }
                let source: [u8; 16] = *packet.get(8..)?.first_chunk()?;
                let destination: [u8; 16] = *packet.get(24..)?.first_chunk()?;
                let end = (IPV6_HEADER + length).min(packet.len());
                let tcp = packet.get(IPV6_HEADER..end)?;
                let class = packet[0] << 4 | packet[1] >> 4;
                (source.into(), destination.into(), packet[7], class, tcp)
            }
            _ => return None,
        };
        let half = |at: usize| Some(u16::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
        let word = |at: usize| Some(u32::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
        let header = usize::from(tcp.get(12)? >> 4) * 4;
        Some(Self {
            from: SocketAddr::new(from, half(0)?),
            to: SocketAddr::new(to, half(2)?),
            ttl,
            tos,
            sequence: word(4)?,
            acknowledgment: word(8)?,
            flags: tcp[13],
            window: half(14)?,
            options: options(tcp.get(TCP_HEADER..header)?),
            data: tcp.get(header..)?.to_vec(),
        })
    }

    /// TCP header and data, with the checksum that goes with the ends. The urgent pointer is
    /// that of one octet.
    ///
    /// # Panics
    ///
    /// When the options are longer than a header can have.
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        let mut options = Vec::new();
        for (kind, value) in &self.options {
            let length = u8::try_from(value.len() + 2).expect("an option of at most 253 octets");
            options.extend([*kind, length]);
            options.extend(value);
        }
        options.resize(options.len().next_multiple_of(4), 1);
        let words = (TCP_HEADER + options.len()) / 4;
        assert!(words <= 15, "a TCP header has at most 40 octets of options");
        let mut tcp = Vec::new();
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(self.acknowledgment.to_be_bytes());
        tcp.extend([u8::try_from(words << 4).unwrap_or_default(), self.flags]);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0, 0, u8::from(self.flags & URG != 0)]);
        tcp.extend(options);
        tcp.extend(&self.data);
        let checksum = self.checksum(&tcp);
        tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
        tcp
    }

    /// RFC 9293 §3.1: over the pseudo-header, header and data.
    fn checksum(&self, tcp: &[u8]) -> u16 {
        let mut all = Vec::new();
        for end in [self.from, self.to] {
            match end.ip() {
                IpAddr::V4(ip) => all.extend(ip.octets()),
                IpAddr::V6(ip) => all.extend(ip.octets()),
            }
        }
        all.extend([0, PROTOCOL_TCP]);
        all.extend(u16::try_from(tcp.len()).unwrap_or_default().to_be_bytes());
        all.extend(tcp);
        let mut sum: u32 = 0;
        for pair in all.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap_or_default()
    }
}

fn options(mut octets: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut options = Vec::new();
    while let [kind, rest @ ..] = octets {
        match (kind, rest) {
            (0, _) => break,
            (1, _) => octets = rest,
            (_, [length, ..]) if (2..=octets.len()).contains(&usize::from(*length)) => {
                let (option, behind) = octets.split_at(usize::from(*length));
                options.push((*kind, option[2..].to_vec()));
                octets = behind;
            }
            _ => break,
        }
    }
    options
}
