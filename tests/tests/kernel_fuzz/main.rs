//! Random and mutated frames through `weir_steer` and `weir_steer_l3` in the kernel, against the
//! same walk and verdict on the host: same counters, same mark, and no octet changed.
//!
//! A test run cannot have VLAN metadata, nor end within the header of IP. `WEIR_FUZZ_SEED` repeats a run, `WEIR_FUZZ_FRAMES` makes
//! it longer.

mod frames;
mod model;

use std::{
    collections::{HashMap, HashSet},
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::SystemTime,
};

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use frames::{Parts, Random, Tuple};
use model::{Model, Outcome, Socket as State};
use nix::time::{ClockId, clock_gettime};
use proxy_ebpf::{
    abi::MAX_WORKERS,
    counter::Event,
    framing::Framing,
    key::{self, Flow, IPV4},
    settings::{
        FAMILY_IPV4, FAMILY_IPV6, MODE_DRAIN, MODE_ENFORCE, NO_RETURN_PATH, ROLE_LAN, ROLE_WAN,
        Settings,
    },
    verdict::{Reason, Route, is_local_scope},
};
use proxy_userspace::{
    dataplane::{Dataplane, attach::Place, counters::Counters},
    listener,
};
use socket2::{Domain, Socket, Type};
use weir_tests::{Family, LAN, Layout, Namespace, Network, WAN, loaded_here, mac, network};

const FRAMES: usize = 20_000;
/// So many frames see the same circumstances.
const STRETCH: usize = 250;
const STEER_MARK: u32 = 1 << 28;
/// Of the packets themselves: it has to stay.
const THEIR_MARK: u32 = 0x42;
/// `TCX_NEXT`
const NEXT: u32 = u32::MAX;
/// An address of the origin's network that nobody answers from.
const SILENT: [&str; 2] = ["203.0.113.200", "fd77:2::200"];

/// What the programs are told.
#[derive(Clone, Debug)]
struct Circumstances {
    settings: Settings,
    from_lan: bool,
    lan_valve: [u32; 2],
}

#[test]
fn the_kernel_sees_what_the_host_sees() {
    let number = |name: &str, default: u64| {
        env::var(name).map_or(default, |text| {
            text.parse()
                .unwrap_or_else(|error| panic!("{name}={text}: {error}"))
        })
    };
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
    let seed = number("WEIR_FUZZ_SEED", u64::try_from(now).unwrap());
    eprintln!("WEIR_FUZZ_SEED={seed}");
    let frames = number("WEIR_FUZZ_FRAMES", FRAMES as u64);
    let net = network(&Layout::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let _inside = runtime.enter();
    let mut stage = Stage::new(&net);
    net.router
        .run(|| stage.play(&mut Random(seed), seed, usize::try_from(frames).unwrap()))
        .unwrap();
}

/// The programs, the router that they are run on, and what is known about it.
struct Stage {
    dataplane: Dataplane,
    programs: [(Framing, SchedClassifier); 2],
    model: Model,
    parts: Parts,
    lan: u32,
    wan: u32,
    /// How often each thing has happened: all of it has to.
    seen: HashMap<String, usize>,
    _sockets: Vec<Socket>,
    _listeners: Vec<TcpListener>,
}

impl Stage {
    fn new(net: &Network) -> Self {
        let mut dataplane = Dataplane::load(1).unwrap();
        let programs =
            [Framing::Ethernet, Framing::None].map(|each| (each, loaded_here(each.program())));
        let [lan, wan] = [LAN, WAN].map(|name| index(&net.router, name));
        let mut listeners = Vec::new();
        for (family, base) in [
            (listener::Family::V4, 0),
            (listener::Family::V6, MAX_WORKERS),
        ] {
            let listener = net.router.run(|| listener::open(family, 1)).unwrap();
            let listener = listener.unwrap();
            dataplane.set_listener(base, &listener).unwrap();
            listeners.push(listener);
        }
        dataplane.heartbeats().beat(0);
        let mut own = HashSet::new();
        for family in Family::BOTH {
            for address in [family.router_lan(), family.router_wan()] {
                dataplane.add_own(address.into()).unwrap();
                own.insert(key::address(address));
            }
        }
        let (sockets, states) = sockets(net);
        let mut parts = Parts {
            mac: mac(&net.router, LAN),
            v4: addresses(
                Family::V4,
                &["127.0.0.1", "224.0.0.1", "192.0.2.9", "203.0.113.255"],
            ),
            v6: addresses(
                Family::V6,
                &["::1", "ff02::1", "fe80::9", "2001:db8::9", "fd77:2::"],
            ),
            ports: vec![80, 80, 80, 80, 8000, 443, 40_000],
            live4: Vec::new(),
            live6: Vec::new(),
        };
        for flow in states.keys() {
            if let Ok(tuple) = tuple(flow) {
                parts.live4.push(tuple);
            }
            if let Err(tuple) = tuple(flow) {
                parts.live6.push(tuple);
            }
        }
        // In an order that does not change from run to run.
        parts.live4.sort_unstable();
        parts.live6.sort_unstable();
        // Both interfaces have the address of one: frames are for either.
        let model = Model::new(parts.mac, own, states, route);
        let address = parts.mac.map(|octet| format!("{octet:02x}")).join(":");
        net.router
            .ip(&["link", "set", WAN, "address", &address])
            .unwrap();
        Self {
            dataplane,
            programs,
            model,
            parts,
            lan,
            wan,
            seen: HashMap::new(),
            _sockets: sockets,
            _listeners: listeners,
        }
    }

    fn play(&mut self, random: &mut Random, seed: u64, frames: usize) {
        let mut circumstances = self.set(random);
        for number in 0..frames {
            if number % STRETCH == 0 {
                circumstances = self.set(random);
            }
            let frame = self.parts.frame(random);
            for at in 0..self.programs.len() {
                self.compare(&circumstances, at, &frame)
                    .unwrap_or_else(|difference| {
                        let name = self.programs[at].0.program();
                        let hex: String =
                            frame.iter().map(|octet| format!("{octet:02x}")).collect();
                        panic!(
                            "{name}, frame {number}, WEIR_FUZZ_SEED={seed}: {difference}\n\
                         {circumstances:?}\n{hex}"
                        )
                    });
            }
        }
        self.everything_has_happened();
    }

    /// Other settings, half of the time those of a daemon with which all is well.
    fn set(&mut self, random: &mut Random) -> Circumstances {
        let mut settings = Settings {
            steer_mark: STEER_MARK,
            mode: MODE_ENFORCE,
            families: FAMILY_IPV4 | FAMILY_IPV6,
            heartbeat_stale_ns: u64::MAX,
            ..Settings::IDLE
        };
        settings.ports[0] = 80u16.to_be();
        settings.followed[..2].copy_from_slice(&[80, 8000].map(u16::to_be));
        let mut lan_valve = [0; 2];
        match random.below(12) {
            0 => settings.mode = MODE_DRAIN,
            1 => settings.families = random.of(&[FAMILY_IPV4, FAMILY_IPV6]),
            2 => settings.overload = 1,
            3 => settings.valve = random.of(&[[0, NO_RETURN_PATH], [NO_RETURN_PATH, 0]]),
            4 => lan_valve = random.of(&[[0, 1], [1, 0]]),
            5 => settings.heartbeat_stale_ns = 0,
            _ => {}
        }
        self.dataplane.set_settings(settings).unwrap();
        for (slot, (index, role)) in (0..).zip([(self.lan, ROLE_LAN), (self.wan, ROLE_WAN)]) {
            let place = Place {
                index,
                framing: Framing::Ethernet,
                role,
                slot,
                lan: 0,
                closed: false,
                bridge: None,
            };
            let valve = if role == ROLE_LAN { lan_valve } else { [0; 2] };
            self.dataplane.set_role(&place, valve).unwrap();
        }
        Circumstances {
            settings,
            from_lan: !random.one_in(6),
            lan_valve,
        }
    }

    /// Runs one program on the frame; what is not as it should be.
    fn compare(
        &mut self,
        circumstances: &Circumstances,
        program: usize,
        frame: &[u8],
    ) -> Result<(), String> {
        let (framing, program) = &self.programs[program];
        let mut context = [0; CONTEXT];
        put(&mut context, MARK, THEIR_MARK);
        let interface = if circumstances.from_lan {
            self.lan
        } else {
            self.wan
        };
        put(&mut context, IFINDEX, interface);
        let (mut out, mut context_out) = (vec![0; frame.len() + 64], [0; CONTEXT]);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ctx_out: Some(&mut context_out),
            ..TestRunOptions::new()
        };
        let before = self.dataplane.counters().unwrap();
        let began = nanoseconds();
        let run = program.test_run(options);
        let between = [began, nanoseconds()];
        let run = match run {
            Err(_) if is_refused(frame) => return Ok(()),
            run => run.map_err(|error| format!("no test run: {error:?}"))?,
        };
        let counted = difference(&before, &self.dataplane.counters().unwrap());
        if run.return_value != NEXT {
            return Err(format!("it returned {:#x}", run.return_value));
        }
        out.truncate(run.data_size_out as usize);
        if out != frame {
            return Err(format!("the frame has changed: {out:02x?}"));
        }
        let network = match framing {
            Framing::Ethernet => 14,
            Framing::None => Model::network(frame),
        };
        let expected = self.model.outcome(circumstances, frame, network, between);
        let Some(expected) = expected else {
            return Ok(());
        };
        let mark = THEIR_MARK | if expected.marked { STEER_MARK } else { 0 };
        let found = get(&context_out, MARK);
        if counted != words(&expected) || found != mark {
            return Err(format!(
                "{expected:?} is due, not {counted:?}, mark {found:#x}"
            ));
        }
        for word in counted {
            *self.seen.entry(word).or_default() += 1;
        }
        Ok(())
    }

    /// A comparison of what never happens would be none.
    fn everything_has_happened(&self) {
        let events = [
            Event::PacketSteered,
            Event::PacketPassed,
            Event::IcmpSteered,
            Event::LaterFragment,
            Event::Malformed,
            Event::FragmentSteered,
            Event::FragmentOvertaken,
            Event::TinyFragment,
        ];
        let reasons = [
            Reason::Intercepted,
            Reason::NotFromLan,
            Reason::FamilyOff,
            Reason::OwnAddress,
            Reason::LocalScope,
            Reason::SelfLoop,
            Reason::Draining,
            Reason::RouteNotWan,
            Reason::NoRoute,
            Reason::NotDelivered,
            Reason::NoReturnPath,
            Reason::Overload,
            Reason::StaleHeartbeat,
        ];
        let all = events.map(Event::as_str).into_iter();
        for word in all.chain(reasons.map(Reason::as_str)) {
            assert!(self.seen.contains_key(word), "no {word}: {:?}", self.seen);
        }
    }
}

/// Newer kernels make no test run of frames that end within the header of IP.
fn is_refused(frame: &[u8]) -> bool {
    match frame[12..14] {
        [8, 0] => frame.len() < 14 + 20,
        [0x86, 0xdd] => frame.len() < 14 + 40,
        _ => false,
    }
}

/// What was counted in between, a word for each time.
fn difference(before: &Counters, after: &Counters) -> Vec<String> {
    let reasons = Reason::ALL.map(|reason| {
        let times = after.flow(reason) - before.flow(reason);
        (reason.as_str(), times)
    });
    let events = Event::ALL.map(|event| {
        let times = after.event(event) - before.event(event);
        (event.as_str(), times)
    });
    let all = reasons.into_iter().chain(events);
    all.flat_map(|(word, times)| (0..times).map(|_| word.to_owned()))
        .collect()
}

/// The words of what should have been counted, in the order of [`difference`].
fn words(outcome: &Outcome) -> Vec<String> {
    let mut events: Vec<_> = outcome.event.into_iter().collect();
    if outcome.overtaken {
        events.push(Event::FragmentOvertaken);
    }
    events.sort_unstable_by_key(|event| *event as u32);
    let events = events.into_iter().map(Event::as_str);
    let all = outcome.flow.map(Reason::as_str).into_iter().chain(events);
    all.map(str::to_owned).collect()
}

/// As the lab's router has it: `lan0`, `wan0`, and nothing else. No address is asked about that
/// is the router's own, or of a local scope.
fn route(flow: &Flow) -> Route {
    let starts = |prefix: &str, octets: usize, address: key::Address| {
        let prefix = key::address(prefix.parse().unwrap()).1;
        bytes(address)[..octets] == bytes(prefix)[..octets]
    };
    if flow.family == IPV4 {
        let broadcast = bytes(flow.daddr)[3] == 255;
        return match () {
            () if starts("203.0.113.0", 3, flow.daddr) && !broadcast => Route::Wan,
            () if starts("10.77.1.0", 3, flow.daddr) && !broadcast => Route::Elsewhere,
            () => Route::None,
        };
    }
    // Addresses of a link, and the loopback's, are never forwarded: `rt6_need_strict`. The first
    // address of a prefix is any router's (RFC 4291 §2.6.1), so this one's, too.
    let loopback = key::address(Ipv6Addr::LOCALHOST.into()).1;
    let unspecified = [0; 4];
    let strict = is_local_scope(flow.family, &flow.saddr) && flow.saddr != unspecified
        || flow.saddr == loopback;
    let anycast = flow.daddr[2..] == [0, 0];
    match () {
        () if strict || anycast => Route::None,
        () if starts("fd77:2::", 8, flow.daddr) => Route::Wan,
        () if starts("fd77:1::", 8, flow.daddr) => Route::Elsewhere,
        () => Route::None,
    }
}

fn bytes(address: key::Address) -> Vec<u8> {
    address.map(u32::to_ne_bytes).concat()
}

/// A connection of the router's with itself, and one that nobody answers, in each family: sockets
/// whose tuples frames may have.
fn sockets(net: &Network) -> (Vec<Socket>, HashMap<Flow, State>) {
    let drop_all = format!(
        "table inet t {{
             chain c {{
                 type filter hook output priority 0
                 ip daddr {} drop
                 ip6 daddr {} drop
             }}
         }}",
        SILENT[0], SILENT[1]
    );
    net.router.nft(&drop_all).unwrap();
    // For hours.
    net.router
        .sysctl("net.ipv4.tcp_syn_retries", "127")
        .unwrap();
    net.router
        .run(|| {
            let (mut sockets, mut states) = (Vec::new(), HashMap::new());
            for (family, silent) in Family::BOTH.into_iter().zip(SILENT) {
                let listener = TcpListener::bind((family.router_lan(), 80)).unwrap();
                let near = TcpStream::connect((family.router_lan(), 80)).unwrap();
                let (far, _) = listener.accept().unwrap();
                for end in [&near, &far] {
                    let from = end.peer_addr().unwrap();
                    states.insert(flow(from, end.local_addr().unwrap()), State::Established);
                }
                sockets.extend([Socket::from(listener), near.into(), far.into()]);
                let to: SocketAddr = (silent.parse::<IpAddr>().unwrap(), 80).into();
                let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                let begun = socket.connect(&to.into()).unwrap_err();
                assert_eq!(
                    begun.raw_os_error(),
                    Some(nix::libc::EINPROGRESS),
                    "{begun}"
                );
                let local = socket.local_addr().unwrap().as_socket().unwrap();
                states.insert(flow(to, local), State::Connecting);
                sockets.push(socket);
            }
            (sockets, states)
        })
        .unwrap()
}

fn flow(from: SocketAddr, to: SocketAddr) -> Flow {
    let (family, saddr) = key::address(from.ip());
    Flow {
        family,
        saddr,
        daddr: key::address(to.ip()).1,
        sport: from.port().to_be(),
        dport: to.port().to_be(),
    }
}

/// IPv4, or IPv6.
fn tuple(flow: &Flow) -> Result<Tuple<Ipv4Addr>, Tuple<Ipv6Addr>> {
    let ends = [(flow.saddr, flow.sport), (flow.daddr, flow.dport)];
    if flow.family == IPV4 {
        Ok(ends.map(|(address, port)| {
            let octets: [u8; 4] = bytes(address)[..4].try_into().unwrap();
            (octets.into(), u16::from_be(port))
        }))
    } else {
        Err(ends.map(|(address, port)| {
            let octets: [u8; 16] = bytes(address).try_into().unwrap();
            (octets.into(), u16::from_be(port))
        }))
    }
}

/// Those of the lab, and others.
fn addresses<A: std::str::FromStr>(family: Family, others: &[&str]) -> Vec<A> {
    let silent = SILENT[usize::from(family == Family::V6)];
    let lab = [
        family.client(),
        family.second_client(),
        family.origin(0),
        family.origin(1),
        family.router_lan(),
        family.router_wan(),
    ];
    let mut all: Vec<_> = lab.map(|address| address.to_string()).into();
    // Most flows are between a client and an origin.
    all.extend_from_within(..4);
    all.extend_from_within(..4);
    all.push(silent.to_owned());
    all.extend(others.iter().map(|&address| address.to_owned()));
    let parse = |text: &String| {
        text.parse()
            .unwrap_or_else(|_| panic!("{text} is no address"))
    };
    all.iter().map(parse).collect()
}

/// Size of `struct __sk_buff`, and where in it there is what a test run takes.
const CONTEXT: usize = 192;
const MARK: usize = 8;
const IFINDEX: usize = 40;

fn put(context: &mut [u8], at: usize, value: u32) {
    context[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

fn get(context: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(context[at..at + 4].try_into().unwrap())
}

/// By the clock of `bpf_ktime_get_ns`.
fn nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(now.tv_sec()).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap()
}

/// `N: lan0@…: <…> … link/ether 02:00:…`
fn link(namespace: &Namespace, name: &str) -> Vec<String> {
    let shown = namespace.ip(&["-o", "link", "show", "dev", name]).unwrap();
    shown.split_whitespace().map(str::to_owned).collect()
}

fn index(namespace: &Namespace, name: &str) -> u32 {
    let words = link(namespace, name);
    words[0].trim_end_matches(':').parse().unwrap()
}
