//! Frames: the walk to the flow stays within the frame, and what it found is there.

use proxy_ebpf::{
    key::{IPV4, IPV6},
    packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Kind, Segment, parse},
};

/// Panics where it does not hold for `input`.
pub fn run(input: &[u8]) {
    let Some((&[ethertype, l3], frame)) = input.split_first_chunk::<2>() else {
        return;
    };
    let ethertype = match ethertype {
        b'4' => ETHERTYPE_IPV4,
        b'6' => ETHERTYPE_IPV6,
        other => u16::from(other).to_be(),
    };
    // Far behind the end as well, where additions could overflow.
    let l3 = match l3 {
        0xff => u32::MAX,
        0xfe => u32::MAX - 20,
        l3 => u32::from(l3 % 64),
    };
    let (kind, segment) = walk(frame, ethertype, l3);
    match kind {
        Kind::Tcp => tcp(frame, ethertype, l3, &segment),
        Kind::IcmpError => quoted(frame, ethertype, l3, &segment),
        Kind::LaterFragment => later(frame, ethertype, l3, &segment),
        Kind::TinyFragment => assert!(segment.is_fragment()),
        Kind::Malformed => {
            assert!(matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6));
        }
        Kind::Other => {}
    }
    // Bytes behind the end change nothing that was found, nor where the frame begins.
    let moved = [&[0xa5; 14][..], frame].concat();
    if l3 < u32::MAX - 64 {
        let (again, found) = walk(&moved, ethertype, l3 + 14);
        assert_eq!(again, kind);
        if matches!(kind, Kind::Tcp | Kind::IcmpError) {
            assert_eq!(found.flow, segment.flow);
        }
        if kind == Kind::Tcp {
            assert_eq!(
                (found.offset, found.flags),
                (segment.offset + 14, segment.flags)
            );
        }
        if matches!(kind, Kind::Tcp | Kind::LaterFragment) {
            assert_eq!(found.fragment, segment.fragment);
        }
        if kind == Kind::LaterFragment {
            assert_eq!(found.datagram(), segment.datagram());
        }
    }
    if matches!(kind, Kind::Tcp | Kind::IcmpError) {
        let longer = [frame, &[0x5a; 40]].concat();
        assert_eq!(walk(&longer, ethertype, l3), (kind, segment));
    }
}

fn walk(frame: &[u8], ethertype: u16, l3: u32) -> (Kind, Segment) {
    let mut segment = Segment::EMPTY;
    let kind = parse(&frame, ethertype, l3, &mut segment);
    (kind, segment)
}

fn tcp(frame: &[u8], ethertype: u16, l3: u32, segment: &Segment) {
    let at = segment.offset as usize;
    let header = &frame[at..at + 14];
    assert_eq!(segment.flow.sport.to_ne_bytes(), header[..2]);
    assert_eq!(segment.flow.dport.to_ne_bytes(), header[2..4]);
    assert_eq!(segment.flags, u32::from(header[13]));
    addresses(frame, ethertype, l3, segment);
    if segment.is_fragment() {
        assert_eq!(identified(frame, ethertype, l3), Some(segment.id));
    }
    // Without its last octet it is no segment any more.
    let short = if segment.is_fragment() {
        Kind::TinyFragment
    } else {
        Kind::Malformed
    };
    assert_eq!(walk(&frame[..at + 13], ethertype, l3).0, short);
    assert_eq!(
        walk(&frame[..at + 14], ethertype, l3),
        (Kind::Tcp, *segment)
    );
}

fn later(frame: &[u8], ethertype: u16, l3: u32, segment: &Segment) {
    assert!(segment.is_fragment());
    addresses(frame, ethertype, l3, segment);
    assert_eq!(identified(frame, ethertype, l3), Some(segment.id));
    // Whatever is in it: it is known by what is in front of that.
    let mut other = frame.to_vec();
    if let Some(last) = other.get_mut(l3 as usize + 40..).and_then(<[u8]>::last_mut)
        && ethertype == ETHERTYPE_IPV4
    {
        *last ^= 0xff;
        let (kind, again) = walk(&other, ethertype, l3);
        assert_eq!(kind, Kind::LaterFragment);
        assert_eq!(again.datagram(), segment.datagram());
    }
}

/// The identification of a fragment, found another way: of IPv6 behind the last header of that
/// kind among the first six.
fn identified(frame: &[u8], ethertype: u16, l3: u32) -> Option<u32> {
    let packet = &frame[l3 as usize..];
    if ethertype == ETHERTYPE_IPV4 {
        let [low, high] = packet[4..6].try_into().ok()?;
        return Some(u32::from(u16::from_ne_bytes([low, high])));
    }
    let (mut next, mut rest) = (packet[6], &packet[40..]);
    let mut id = None;
    for _ in 0..6 {
        let length = match (next, rest) {
            (44, [_, _, high, low, a, b, c, d, ..]) => {
                if *high != 0 || *low & 0xf9 != 0 {
                    id = Some(u32::from_ne_bytes([*a, *b, *c, *d]));
                }
                if *high != 0 || *low & 0xf8 != 0 {
                    return id;
                }
                8
            }
            (0 | 43 | 60, [_, length, ..]) => usize::from(*length) * 8 + 8,
            (51, [_, length, ..]) => usize::from(*length) * 4 + 8,
            _ => break,
        };
        next = rest[0];
        rest = rest.get(length..).unwrap_or_default();
    }
    id
}

/// The quotation is a packet by itself, of which the first four octets of TCP suffice.
fn quoted(frame: &[u8], ethertype: u16, l3: u32, segment: &Segment) {
    let at = segment.offset as usize;
    assert_eq!(segment.flow.sport.to_ne_bytes(), frame[at..at + 2]);
    assert_eq!(segment.flow.dport.to_ne_bytes(), frame[at + 2..at + 4]);
    let shortest = if ethertype == ETHERTYPE_IPV4 { 20 } else { 40 };
    assert!(segment.offset >= l3 + shortest + 8 + shortest);
    let whole = [&frame[..at + 4], &[0; 10]].concat();
    let found = (l3 + shortest + 8..=segment.offset - shortest).any(|quote| {
        let (kind, inner) = walk(&whole, ethertype, quote);
        kind == Kind::Tcp && inner.flow == segment.flow && inner.offset == segment.offset
    });
    assert!(found, "no packet is quoted there");
}

fn addresses(frame: &[u8], ethertype: u16, l3: u32, segment: &Segment) {
    let octets = |words: [u32; 4]| words.map(u32::to_ne_bytes).concat();
    let (saddr, daddr) = (octets(segment.flow.saddr), octets(segment.flow.daddr));
    let header = &frame[l3 as usize..];
    if ethertype == ETHERTYPE_IPV4 {
        assert_eq!(segment.flow.family, IPV4);
        assert_eq!(
            (&saddr[..4], &daddr[..4]),
            (&header[12..16], &header[16..20])
        );
        assert!(
            saddr[4..]
                .iter()
                .chain(&daddr[4..])
                .all(|&octet| octet == 0)
        );
    } else {
        assert_eq!(segment.flow.family, IPV6);
        assert_eq!((&saddr[..], &daddr[..]), (&header[8..24], &header[24..40]));
    }
}
