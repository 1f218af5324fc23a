//! The answer to a SYN that nobody takes: RST and ACK, as if the origin itself refused it.

use crate::{
    key::{Flow, IPV4},
    packet::{TCP_ACK, TCP_RST},
};

/// Length of a TCP header without options.
const TCP_LEN: usize = 20;
/// Length of the longest answer: IPv6's header, and TCP's.
pub const MAX_LEN: usize = 40 + TCP_LEN;
/// Hops that the answer may take.
const HOPS: u8 = 64;
const PROTOCOL: u8 = 6;

/// What of the SYN the answer is made from.
///
/// Where the stack has 512 bytes, it is kept in a map, and so is the answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its flow.
    pub flow: Flow,
    /// Its sequence number, host order.
    pub sequence: u32,
    /// Octets of data that it carries (RFC 7413).
    pub data: u32,
    /// Not 0: the checksum's place has the sum of the pseudo-header alone, and who sends the
    /// packet on completes it (`CHECKSUM_PARTIAL`).
    pub unfinished: u32,
}

/// Length of the answer to a SYN of this family, from its network header on.
#[inline(always)]
#[must_use]
pub const fn length(family: u32) -> u32 {
    if family == IPV4 { 40 } else { 60 }
}

impl Refused {
    /// Writes the answer, from its network header on: `SEG.SEQ = 0, SEG.ACK = SEG.SEQ + SEG.LEN`, RST and
    /// ACK (RFC 9293 §3.10.7.1). Its [`length`] is the family's.
    #[inline(always)]
    pub fn answer(&self, packet: &mut [u8; MAX_LEN]) {
        *packet = [0; MAX_LEN];
        if self.flow.family == IPV4 {
            self.write_ipv4(packet);
            self.write_tcp(packet, 20);
        } else {
            self.write_ipv6(packet);
            self.write_tcp(packet, 40);
        }
    }

    #[inline(always)]
    fn write_ipv4(&self, packet: &mut [u8; MAX_LEN]) {
        packet[0] = 0x45;
        packet[3] = 40;
        // Don't Fragment, as every segment of ours.
        packet[6] = 0x40;
        packet[8] = HOPS;
        packet[9] = PROTOCOL;
        put(packet, 12, self.flow.daddr[0]);
        put(packet, 16, self.flow.saddr[0]);
        let sum = 0x4500 + 40 + 0x4000 + (((HOPS as u32) << 8) | PROTOCOL as u32);
        let sum = sum + halves(self.flow.daddr[0]) + halves(self.flow.saddr[0]);
        let [high, low] = (!fold(sum)).to_be_bytes();
        packet[10] = high;
        packet[11] = low;
    }

    #[inline(always)]
    fn write_ipv6(&self, packet: &mut [u8; MAX_LEN]) {
        packet[0] = 0x60;
        #[expect(clippy::cast_possible_truncation, reason = "20")]
        {
            packet[5] = TCP_LEN as u8;
        }
        packet[6] = PROTOCOL;
        packet[7] = HOPS;
        let mut i = 0;
        while i < 4 {
            put(packet, 8 + 4 * i, self.flow.daddr[i]);
            put(packet, 24 + 4 * i, self.flow.saddr[i]);
            i += 1;
        }
    }

    #[inline(always)]
    fn write_tcp(&self, packet: &mut [u8; MAX_LEN], at: usize) {
        let acknowledged = self.sequence.wrapping_add(1).wrapping_add(self.data);
        let flags = TCP_RST | TCP_ACK;
        let (from, to) = (self.flow.dport, self.flow.sport);
        let [a, b] = from.to_ne_bytes();
        let [c, d] = to.to_ne_bytes();
        packet[at] = a;
        packet[at + 1] = b;
        packet[at + 2] = c;
        packet[at + 3] = d;
        put(packet, at + 8, acknowledged.to_be());
        packet[at + 12] = 0x50;
        #[expect(clippy::cast_possible_truncation, reason = "an octet of flags")]
        {
            packet[at + 13] = flags as u8;
        }
        let pseudo = pseudo_header(&self.flow, 20);
        let checksum = if self.unfinished != 0 {
            fold(pseudo)
        } else {
            let ports = u32::from(u16::from_be(from)) + u32::from(u16::from_be(to));
            let sum = pseudo + ports + (acknowledged >> 16) + (acknowledged & 0xffff);
            !fold(sum + 0x5000 + flags)
        };
        let [high, low] = checksum.to_be_bytes();
        packet[at + 16] = high;
        packet[at + 17] = low;
    }
}

/// Whether a segment of that length (header and data) with this checksum (host order) is one whose
/// checksum is still to be completed. A complete one looks like that once in 65,536 times.
#[inline(always)]
#[must_use]
pub fn is_unfinished(flow: &Flow, length: u32, checksum: u16) -> bool {
    fold(pseudo_header(flow, length)) == checksum
}

/// The pseudo-header's sum: both addresses, protocol, length (RFC 9293 §3.1, RFC 8200 §8.1).
#[inline(always)]
fn pseudo_header(flow: &Flow, length: u32) -> u32 {
    let mut sum = PROTOCOL as u32 + length;
    let mut i = 0;
    // The words of an IPv4 address but for the first are 0.
    while i < 4 {
        sum += halves(flow.saddr[i]) + halves(flow.daddr[i]);
        i += 1;
    }
    sum
}

/// Both halves of a word in network order.
#[inline(always)]
const fn halves(word: u32) -> u32 {
    let word = u32::from_be(word);
    (word >> 16) + (word & 0xffff)
}

/// Ones' complement addition of the carries (RFC 1071).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
const fn fold(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

/// A word as it is in memory.
#[inline(always)]
fn put(packet: &mut [u8; MAX_LEN], at: usize, word: u32) {
    let [a, b, c, d] = word.to_ne_bytes();
    packet[at] = a;
    packet[at + 1] = b;
    packet[at + 2] = c;
    packet[at + 3] = d;
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;
    use crate::key;

    fn refused(source: &str, destination: &str, data: u32, unfinished: u32) -> Refused {
        let (family, saddr) = key::address(source.parse::<IpAddr>().unwrap());
        let (_, daddr) = key::address(destination.parse::<IpAddr>().unwrap());
        Refused {
            flow: Flow {
                family,
                saddr,
                daddr,
                sport: 40_000u16.to_be(),
                dport: 80u16.to_be(),
            },
            sequence: 0xffff_fffe,
            data,
            unfinished,
        }
    }

    /// The ones' complement sum of octets, as a receiver reckons.
    fn sum(octets: &[u8]) -> u32 {
        octets
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum()
    }

    #[test]
    fn answers_are_what_a_receiver_accepts() {
        for (source, destination) in [
            ("10.0.0.7", "203.0.113.9"),
            ("255.255.255.254", "223.255.255.255"),
            ("2001:db8::7", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            for data in [0, 1, 1400] {
                let refused = refused(source, destination, data, 0);
                let mut packet = [0xaa; MAX_LEN];
                refused.answer(&mut packet);
                let family = refused.flow.family;
                let packet = &packet[..length(family) as usize];
                let tcp = if family == IPV4 {
                    assert_eq!(fold(sum(&packet[..20])), 0xffff, "IPv4 header");
                    assert_eq!(packet[2..4], [0, 40]);
                    &packet[20..]
                } else {
                    assert_eq!(packet[4..8], [0, 20, 6, HOPS]);
                    &packet[40..]
                };
                let pseudo = pseudo_header(&refused.flow, 20);
                assert_eq!(fold(pseudo + sum(tcp)), 0xffff, "TCP");
                assert_eq!(
                    tcp[..4],
                    [
                        0,
                        80,
                        40_000u16.to_be_bytes()[0],
                        40_000u16.to_be_bytes()[1]
                    ]
                );
                assert_eq!(tcp[4..8], [0; 4]);
                assert_eq!(tcp[8..12], data.wrapping_sub(1).to_be_bytes());
                assert_eq!(tcp[12..14], [0x50, 0x14]);
            }
        }
    }

    #[test]
    fn an_unfinished_checksum_is_known_and_answered_alike() {
        let refused = refused("10.0.0.7", "203.0.113.9", 0, 1);
        let mut packet = [0; MAX_LEN];
        refused.answer(&mut packet);
        let checksum = u16::from_be_bytes([packet[36], packet[37]]);
        assert!(is_unfinished(&refused.flow, 20, checksum));
        assert!(is_unfinished(&refused.flow.reversed(), 20, checksum));
        assert!(!is_unfinished(&refused.flow, 40, checksum));
        // Whoever completes it sums up from TCP's header on, with what is in the checksum's place.
        let whole = Refused {
            unfinished: 0,
            ..refused
        };
        let complete = !fold(sum(&packet[20..40]));
        whole.answer(&mut packet);
        assert_eq!(packet[36..38], complete.to_be_bytes());
    }
}
