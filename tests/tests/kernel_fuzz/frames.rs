//! Frames of every kind, and what becomes of them when something changes them at random.

use std::net::{Ipv4Addr, Ipv6Addr};

/// splitmix64 (Steele, Lea, Flood): a seed gives the same frames on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn octets(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.octet()).collect()
    }
}

/// Both ends of a flow: address and port, source first.
pub(crate) type Tuple<A> = [(A, u16); 2];

/// What frames are made of.
pub(crate) struct Parts {
    /// The interface's own.
    pub(crate) mac: [u8; 6],
    pub(crate) v4: Vec<Ipv4Addr>,
    pub(crate) v6: Vec<Ipv6Addr>,
    pub(crate) ports: Vec<u16>,
    /// Those that a socket has.
    pub(crate) live4: Vec<Tuple<Ipv4Addr>>,
    pub(crate) live6: Vec<Tuple<Ipv6Addr>>,
}

/// The most that a link of 1500 octets carries, and its header.
const LONGEST: usize = 1514;
/// What a test run takes at least.
const SHORTEST: usize = 14;
const SYN: u8 = 2;
const ACK: u8 = 16;

impl Parts {
    /// The next frame.
    pub(crate) fn frame(&self, random: &mut Random) -> Vec<u8> {
        if random.one_in(50) {
            let length = SHORTEST + random.below(LONGEST - SHORTEST + 1);
            let mut frame = random.octets(length);
            if random.one_in(2) {
                frame[..6].copy_from_slice(&self.mac);
                frame[12..14].copy_from_slice(random.of(&[&[8, 0], &[0x86, 0xdd]]));
            }
            return frame;
        }
        let v4 = random.one_in(2);
        let (mut ethertype, packet) = if v4 {
            ([8, 0], self.ipv4(random, 0))
        } else {
            ([0x86, 0xdd], self.ipv6(random, 0))
        };
        if random.one_in(100) {
            ethertype = random.of(&[
                [8, 0],
                [0x86, 0xdd],
                [0x81, 0],
                [0x88, 0xa8],
                [8, 6],
                [0, 46],
            ]);
        }
        let mut frame = self.mac.to_vec();
        frame.extend([2, 0, 0, 0, 0, 1]);
        frame.extend(ethertype);
        frame.extend(packet);
        if random.one_in(3) {
            mutate(random, &mut frame);
        }
        frame.truncate(LONGEST);
        frame.resize(frame.len().max(SHORTEST), 0);
        frame
    }

    fn tuple4(&self, random: &mut Random) -> Tuple<Ipv4Addr> {
        if random.one_in(3) {
            let mut tuple = random.of(&self.live4);
            if random.one_in(2) {
                tuple.reverse();
            }
            return tuple;
        }
        [0; 2].map(|_| (random.of(&self.v4), random.of(&self.ports)))
    }

    fn tuple6(&self, random: &mut Random) -> Tuple<Ipv6Addr> {
        if random.one_in(3) {
            let mut tuple = random.of(&self.live6);
            if random.one_in(2) {
                tuple.reverse();
            }
            return tuple;
        }
        [0; 2].map(|_| (random.of(&self.v6), random.of(&self.ports)))
    }

    /// A packet; within an ICMP error it is a quotation, `depth` deep.
    fn ipv4(&self, random: &mut Random, depth: usize) -> Vec<u8> {
        let tuple = self.tuple4(random);
        let protocol = protocol(random, 1);
        let payload = match protocol {
            1 if depth == 0 => self.icmp(random, &[3, 4, 11, 12, 5, 8, 0], true),
            _ => transport(random, protocol, tuple.map(|(_, port)| port)),
        };
        let options = if random.one_in(4) {
            4 * random.below(11)
        } else {
            0
        };
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
        packet[0] += u8::try_from(options / 4).unwrap();
        packet.extend(tuple[0].0.octets());
        packet.extend(tuple[1].0.octets());
        packet.extend(vec![1; options]);
        packet.extend(payload);
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        packet[4..6].copy_from_slice(&[0, identification(random)]);
        // Don't fragment; a first fragment; others; the last; a reserved flag.
        let flags = random.of(&[[0x40, 0], [0, 0], [0x20, 0], [0x20, 2], [0, 2], [0x80, 0]]);
        packet[6..8].copy_from_slice(&flags);
        packet
    }

    fn ipv6(&self, random: &mut Random, depth: usize) -> Vec<u8> {
        let tuple = self.tuple6(random);
        let protocol = protocol(random, 58);
        let mut inner = match protocol {
            58 if depth == 0 => self.icmp(random, &[1, 2, 3, 4, 0, 5, 128, 135], false),
            _ => transport(random, protocol, tuple.map(|(_, port)| port)),
        };
        let mut next = protocol;
        for _ in 0..random.of(&[0, 0, 0, 1, 1, 2, 3, 6, 7]) {
            let kind = random.of(&[0, 43, 44, 44, 44, 51, 60, 60]);
            let header = match kind {
                44 => {
                    let place = random.of(&[[0, 1], [0, 1], [0, 0], [0, 9], [0, 8], [0xff, 0xf8]]);
                    vec![next, 0, place[0], place[1], 0, 0, 0, identification(random)]
                }
                51 => [vec![next, 1], vec![0; 10]].concat(),
                _ => {
                    let length = random.of(&[0, 0, 1, 7, 31]);
                    [vec![next, length], vec![0; usize::from(length) * 8 + 6]].concat()
                }
            };
            inner.splice(0..0, header);
            next = kind;
        }
        let [high, low] = u16::try_from(inner.len()).unwrap().to_be_bytes();
        let mut packet = vec![0x60, 0, 0, 0, high, low, next, 64];
        packet.extend(tuple[0].0.octets());
        packet.extend(tuple[1].0.octets());
        packet.extend(inner);
        packet
    }

    fn icmp(&self, random: &mut Random, types: &[u8], v4: bool) -> Vec<u8> {
        let mut message = vec![random.of(types), random.octet() % 16, 0, 0, 0, 0, 5, 0];
        let mut quoted = if v4 {
            self.ipv4(random, 1)
        } else {
            self.ipv6(random, 1)
        };
        if random.one_in(3) {
            // No more than is needed, or less.
            let header = if v4 { 20 } else { 40 };
            quoted.truncate(header + random.below(12));
        }
        message.extend(quoted);
        message
    }
}

/// Few of them, so that fragments meet.
fn identification(random: &mut Random) -> u8 {
    random.octet() % 16
}

fn protocol(random: &mut Random, icmp: u8) -> u8 {
    random.of(&[6, 6, 6, 6, 6, 6, 6, 17, icmp, icmp, icmp, 59])
}

fn transport(random: &mut Random, protocol: u8, ports: [u16; 2]) -> Vec<u8> {
    let mut octets = ports.map(u16::to_be_bytes).concat();
    if protocol != 6 {
        octets.extend(random.octets(20));
        return octets;
    }
    let flags = match random.below(8) {
        0..=2 => SYN,
        3 | 4 => ACK,
        5 => SYN | ACK,
        6 => 4,
        _ => random.octet(),
    };
    octets.extend(random.octets(8));
    octets.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let payload = match random.below(8) {
        0..=3 => 0,
        4 => random.below(1400),
        _ => random.below(40),
    };
    octets.extend(vec![0x55; payload]);
    if random.one_in(20) {
        octets.truncate(random.below(20));
    }
    octets
}

/// One to four changes.
fn mutate(random: &mut Random, frame: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        // Headers are at the beginning.
        let within = frame.len().min(if random.one_in(4) { 1514 } else { 90 });
        let at = random
            .below(within.max(1))
            .min(frame.len().saturating_sub(1));
        match random.below(8) {
            0..=2 => frame[at] = random.octet(),
            3 | 4 => frame[at] ^= 1 << random.below(8),
            5 => frame.truncate(at.max(SHORTEST)),
            6 => {
                let more = random.below(64);
                frame.extend(random.octets(more));
            }
            // A tag, where no test run takes it for one.
            _ => {
                frame.splice(12..12, [0x81, 0, 0, 7]);
            }
        }
    }
}
