//! What the programs should do with a frame, from the code that they share with the host and from
//! facts that the test has made.

use std::collections::{HashMap, HashSet};

use proxy_ebpf::{
    counter::Event,
    fragment::{Datagram, Trace},
    key::{Address, Flow, IPV4},
    packet::{ETHERNET_LEN, Kind, Segment, parse},
    settings::{NO_RETURN_PATH, Settings},
    verdict::{Bypass, Facts, Listener, Reason, Route, decide},
};

use crate::Circumstances;

/// A socket, as the flow of the packets that come to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    Established,
    Connecting,
}

/// What comes of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) flow: Option<Reason>,
    pub(crate) event: Option<Event>,
    /// Counted besides.
    pub(crate) overtaken: bool,
    pub(crate) marked: bool,
}

pub(crate) struct Model {
    pub(crate) mac: [u8; 6],
    pub(crate) own: HashSet<(u32, Address)>,
    pub(crate) sockets: HashMap<Flow, Socket>,
    /// Where a packet to that address goes, from that one.
    pub(crate) route: fn(&Flow) -> Route,
    fragments: HashMap<Datagram, Remembered>,
    unsure: HashSet<Datagram>,
    direct: HashSet<Flow>,
}

/// A fragment that was seen between these two nanoseconds.
#[derive(Clone, Copy)]
struct Remembered {
    between: [u64; 2],
    steered: bool,
}

/// What is remembered of a datagram's fragments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Steered,
    Passed,
    /// It may just have been forgotten.
    Unsure,
}

impl Model {
    pub(crate) fn new(
        mac: [u8; 6],
        own: HashSet<(u32, Address)>,
        sockets: HashMap<Flow, Socket>,
        route: fn(&Flow) -> Route,
    ) -> Self {
        Self {
            mac,
            own,
            sockets,
            route,
            fragments: HashMap::new(),
            unsure: HashSet::new(),
            direct: HashSet::new(),
        }
    }

    /// Where `weir_steer_l3` sees the network header: where the octets are that the kernel reads
    /// there, or, if it can read none, at the beginning.
    pub(crate) fn network(frame: &[u8]) -> u32 {
        let Some(start) = frame.get(14..30) else {
            return 0;
        };
        let places = [0, ETHERNET_LEN, 24, 28, 32, 36];
        let same = |place: &u32| frame.get(*place as usize..*place as usize + 16) == Some(start);
        places.into_iter().find(same).unwrap()
    }

    /// What comes of a frame whose network header is there. `None` if that depends on a moment.
    pub(crate) fn outcome(
        &mut self,
        circumstances: &Circumstances,
        frame: &[u8],
        network: u32,
        between: [u64; 2],
    ) -> Option<Outcome> {
        let mut outcome = Outcome::default();
        if frame[..6] != self.mac {
            return Some(outcome);
        }
        let ethertype = u16::from_ne_bytes([frame[12], frame[13]]);
        let mut segment = Segment::EMPTY;
        match parse(&frame, ethertype, network, &mut segment) {
            Kind::Tcp => {
                self.tcp(circumstances, &segment, &mut outcome);
                if segment.is_fragment() {
                    let datagram = segment.datagram();
                    let before = self.before(&datagram, between);
                    self.remember(datagram, between, outcome.marked);
                    if outcome.marked && before == Before::Unsure {
                        return None;
                    }
                    outcome.overtaken = outcome.marked && before == Before::Passed;
                }
            }
            Kind::IcmpError => {
                let flow = &segment.flow;
                let followed = [flow.dport, flow.sport].map(|port| circumstances.follows(port));
                let answer = flow.reversed();
                let direct = [flow, &answer].map(|flow| self.direct.contains(flow));
                if followed != [false; 2]
                    && self.sockets.contains_key(&answer)
                    && direct == [false; 2]
                {
                    outcome.event = Some(Event::IcmpSteered);
                    outcome.marked = true;
                }
            }
            Kind::LaterFragment => {
                let datagram = segment.datagram();
                let before = self.before(&datagram, between);
                match before {
                    Before::Nothing => self.remember(datagram, between, false),
                    Before::Unsure => {
                        self.unsure.insert(datagram);
                        return None;
                    }
                    Before::Steered | Before::Passed => {}
                }
                outcome.marked = before == Before::Steered;
                outcome.event = Some(if outcome.marked {
                    Event::FragmentSteered
                } else {
                    Event::LaterFragment
                });
            }
            Kind::TinyFragment => outcome.event = Some(Event::TinyFragment),
            Kind::Malformed => outcome.event = Some(Event::Malformed),
            Kind::Other => {}
        }
        Some(outcome)
    }

    fn remember(&mut self, datagram: Datagram, between: [u64; 2], steered: bool) {
        self.unsure.remove(&datagram);
        let seen = Remembered { between, steered };
        self.fragments.insert(datagram, seen);
    }

    fn before(&self, datagram: &Datagram, now: [u64; 2]) -> Before {
        let Some(seen) = self.fragments.get(datagram) else {
            return Before::Nothing;
        };
        let fresh = |then, now| Trace::new(then, false).is_fresh(now);
        let [earliest, latest] = seen.between;
        match [fresh(earliest, now[1]), fresh(latest, now[0])] {
            _ if self.unsure.contains(datagram) => Before::Unsure,
            [true, true] if seen.steered => Before::Steered,
            [true, true] => Before::Passed,
            [false, false] => Before::Nothing,
            _ => Before::Unsure,
        }
    }

    fn tcp(&mut self, circumstances: &Circumstances, segment: &Segment, outcome: &mut Outcome) {
        let flow = &segment.flow;
        if !circumstances.follows(flow.dport) && !circumstances.follows(flow.sport) {
            return;
        }
        if !segment.opens() {
            let ours = self.sockets.contains_key(flow);
            outcome.marked = ours;
            outcome.event = Some(if ours {
                Event::PacketSteered
            } else {
                Event::PacketPassed
            });
        } else if circumstances.settings.watches(flow.dport) {
            let facts = Known {
                model: self,
                circumstances,
                flow,
            };
            let reason = decide(&circumstances.settings, flow, &facts);
            outcome.flow = Some(reason);
            match reason {
                Reason::Intercepted => {
                    self.direct.remove(flow);
                    outcome.marked = true;
                }
                Reason::NotFromLan
                | Reason::OwnAddress
                | Reason::LocalScope
                | Reason::FamilyOff
                | Reason::SelfLoop => {}
                _ if self.sockets.contains_key(flow) => outcome.marked = true,
                _ if self.sockets.contains_key(&flow.reversed()) => {
                    self.direct.insert(*flow);
                    outcome.event = Some(Event::PacketAroundSocket);
                }
                _ => {}
            }
        }
    }
}

/// The facts about one flow.
struct Known<'a> {
    model: &'a Model,
    circumstances: &'a Circumstances,
    flow: &'a Flow,
}

impl Facts for Known<'_> {
    fn arrived_on_lan(&self) -> bool {
        self.circumstances.from_lan
    }

    fn is_own(&self, family: u32, address: &Address) -> bool {
        self.model.own.contains(&(family, *address))
    }

    fn is_our_syn(&self) -> bool {
        let sockets = &self.model.sockets;
        sockets.get(&self.flow.reversed()) == Some(&Socket::Connecting)
            && !sockets.contains_key(self.flow)
    }

    fn route(&self, flow: &Flow) -> Route {
        (self.model.route)(flow)
    }

    fn bypass(&self, _flow: &Flow) -> Bypass {
        Bypass::No
    }

    fn valve(&self, flow: &Flow) -> Option<Reason> {
        let place = usize::from(flow.family != IPV4);
        if self.circumstances.lan_valve[place] != 0 {
            Some(Reason::NotDelivered)
        } else if self.circumstances.settings.valve[place] == NO_RETURN_PATH {
            Some(Reason::NoReturnPath)
        } else {
            None
        }
    }

    fn is_probe(&self, one_in: u32) -> bool {
        assert_eq!(one_in, 0, "a verdict by chance is no verdict to compare");
        false
    }

    fn listener(&self, _flow: &Flow) -> Listener {
        if self.circumstances.settings.heartbeat_stale_ns == 0 {
            Listener::Stale
        } else {
            Listener::Alive
        }
    }
}

impl Circumstances {
    fn follows(&self, port: u16) -> bool {
        let settings: &Settings = &self.settings;
        settings.follows(port)
    }
}
