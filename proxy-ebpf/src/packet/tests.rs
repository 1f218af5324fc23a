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
    let length = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&length.to_be_bytes());
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
    let length = u16::try_from(packet.len() - 40).unwrap();
    packet[4..6].copy_from_slice(&length.to_be_bytes());
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
    // Not behind an extension header either; whether it is TCP that is behind that, the first
    // fragment tells.
    for next in [0, 43, 51, 60] {
        let later = (44, vec![0, 0, 8, 0, 0, 0, 9]);
        assert_eq!(kind(&v6(&[later], next, &[0; 64])), Kind::LaterFragment);
        assert_eq!(kind(&v4(0, 1, next, &[0; 64])), Kind::Other);
    }
}

#[test]
fn fragments_of_a_datagram_are_known_by_its_identification() {
    let v4s = [0x2000, 0x2001, 1, 0x1fff].map(|flags| {
        let mut packet = v4(4, flags, PROTO_TCP, &SYN);
        packet[4..6].copy_from_slice(&[0xab, 0xcd]);
        packet
    });
    let v6s = [[0, 1], [0, 9], [0, 8], [0xff, 0xf8]].map(|[high, low]| {
        let header = vec![0, high, low, 0xab, 0xcd, 0xef, 1];
        v6(&[(0, vec![0; 7]), (44, header)], PROTO_TCP, &SYN)
    });
    for (packets, id) in [(v4s, [0xab, 0xcd, 0, 0]), (v6s, [0xab, 0xcd, 0xef, 1])] {
        let kinds = packets.each_ref().map(|packet| kind(packet));
        let [first, later] = [Kind::Tcp, Kind::LaterFragment];
        assert_eq!(kinds, [first, later, later, later]);
        for packet in &packets {
            let segment = parsed(packet).1;
            assert!(segment.is_fragment());
            assert_eq!(segment.datagram(), parsed(&packets[0]).1.datagram());
            assert_eq!(segment.datagram().id.to_ne_bytes(), id);
            assert_ne!(segment.datagram().daddr, [0; 4]);
        }
    }
}

#[test]
fn whole_datagrams_are_no_fragments() {
    // Don't-fragment and the reserved flag say nothing of that, nor does an atomic fragment.
    for flags in [0, 0x4000, 0x8000] {
        assert!(!segment(&v4(0, flags, PROTO_TCP, &SYN)).is_fragment());
    }
    for reserved in [0, 6] {
        let atomic = (44, vec![0xff, 0, reserved, 0, 0, 0, 9]);
        assert!(!segment(&v6(&[atomic], PROTO_TCP, &SYN)).is_fragment());
    }
    // What was there before is forgotten.
    let mut segment = parsed(&v4(0, 1, PROTO_TCP, &SYN)).1;
    let whole = v4(0, 0, PROTO_TCP, &SYN);
    parse(&&whole[..], ETHERTYPE_IPV4, 0, &mut segment);
    assert!(!segment.is_fragment());
    assert_eq!(
        parse(&&whole[..30], ETHERTYPE_IPV4, 0, &mut segment),
        Kind::Malformed
    );
}

#[test]
fn first_fragments_without_ports_and_flags_are_tiny() {
    for length in 0..20u8 {
        let tiny = if length < 14 {
            Kind::TinyFragment
        } else {
            Kind::Tcp
        };
        let payload = &SYN[..length.into()];
        let header = vec![0, 0, 1, 0, 0, 0, 9];
        for mut packet in [
            v4(0, 0x2000, PROTO_TCP, payload),
            v6(&[(44, header)], PROTO_TCP, payload),
        ] {
            assert_eq!(kind(&packet), tiny, "{length}");
            // Ethernet's padding is nothing of theirs.
            packet.resize(200, 0);
            assert_eq!(kind(&packet), tiny, "{length}");
        }
    }
    // RFC 7112: within its extension headers.
    let header = (44, vec![0, 0, 1, 0, 0, 0, 9]);
    assert_eq!(kind(&v6(&[header], 60, &[6, 3, 0])), Kind::TinyFragment);
    // Not TCP, as far as is known.
    assert_eq!(kind(&v4(0, 0x2000, 17, &SYN[..8])), Kind::Other);
}

#[test]
fn icmp_errors_that_are_fragments_are_left_alone() {
    let quoted = v4(0, 0, PROTO_TCP, &SYN[..8]);
    let error = [&[3, 4, 0, 0, 0, 0, 2, 88][..], &quoted].concat();
    assert_eq!(kind(&v4(0, 0x2000, PROTO_ICMP, &error)), Kind::Other);
    let quoted = v6(&[], PROTO_TCP, &SYN[..8]);
    let error = [&[2, 0, 0, 0, 0, 0, 5, 0][..], &quoted].concat();
    let header = (44, vec![0, 0, 1, 0, 0, 0, 9]);
    assert_eq!(kind(&v6(&[header], PROTO_ICMPV6, &error)), Kind::Other);
    // The fragment that is quoted is another matter: the first has ports.
    for (flags, expected) in [(0x2000, Kind::IcmpError), (0x2001, Kind::Other)] {
        let mut quoted = v4(0, flags, PROTO_TCP, &SYN[..8]);
        quoted[2..4].copy_from_slice(&[5, 0xdc]);
        let error = [&[3, 4, 0, 0, 0, 0, 2, 88][..], &quoted].concat();
        assert_eq!(kind(&v4(0, 0, PROTO_ICMP, &error)), expected);
    }
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
