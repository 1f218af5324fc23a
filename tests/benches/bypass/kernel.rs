//! The loaded programs on the router of a throwaway network, and test runs of them.

use std::{fs::File, net::TcpListener, time::Duration};

use aya::{
    maps::{Array, ArrayOfMaps, MapData, loaded_maps},
    programs::{SchedClassifier, TestRun as _, TestRunOptions, loaded_programs},
};
use proxy_ebpf::{
    abi::{MAX_WORKERS, PROGRAM_STEER, map},
    bypass::layout::WORDS,
    counter::Event,
    framing::Framing,
    key::IPV4,
    settings::{FAMILY_IPV4, FAMILY_IPV6, MODE_ENFORCE, ROLE_LAN, ROLE_WAN, Settings},
    verdict::Reason,
};
use proxy_userspace::{
    dataplane::{
        Dataplane,
        attach::{ListenLink, Place},
        bypass::{Bits, Entry},
    },
    listener,
};
use weir_tests::{Family, LAN, Layout, Network, WAN, network};

use crate::{
    descriptors,
    packets::{Mac, Segment},
};

/// A bypass table's map.
pub(crate) type Table = Array<MapData, [u64; WORDS]>;

/// The kernel's `struct __sk_buff`, of which only the interface is set.
const CONTEXT: usize = 192;
/// Where it has `ifindex`.
const IFINDEX: usize = 40;

/// Programs and maps as a daemon has them loaded, without the daemon.
pub(crate) struct Kernel {
    pub(crate) dataplane: Dataplane,
    program: SchedClassifier,
    outer: ArrayOfMaps<MapData, Table>,
    /// Of no entries.
    empty: Table,
    lan: (u32, Mac),
    _link: ListenLink,
    _listeners: [TcpListener; 2],
    pub(crate) network: Network,
}

impl Kernel {
    /// A network and a data plane of its own, without entries.
    pub(crate) fn new() -> Self {
        let network = network(&Layout::default());
        for family in Family::BOTH {
            // Every origin is behind the WAN.
            let via = family.origin(0).to_string();
            let route = network.router.ip(&["route", "add", "default", "via", &via]);
            route.expect("a default route");
        }
        let before = [descriptors::programs(), descriptors::maps()];
        let mut dataplane = Dataplane::load(1).expect("the programs");
        let program = loaded_programs()
            .flatten()
            .find(|program| {
                program.name_as_str() == Some(PROGRAM_STEER)
                    && !before[0].contains(&program.id())
                    && descriptors::programs().contains(&program.id())
            })
            .expect("the program that we have loaded");
        let program = SchedClassifier::from_program_info(program, PROGRAM_STEER.into());
        let outer = loaded_maps()
            .flatten()
            .find(|info| {
                info.name_as_str() == Some(map::BYPASS)
                    && !before[1].contains(&info.id())
                    && descriptors::maps().contains(&info.id())
            })
            .expect("the map that we have loaded");
        let outer = MapData::from_id(outer.id()).expect("our map");
        let outer = ArrayOfMaps::try_from(aya::maps::Map::ArrayOfMaps(outer));
        let (lan, (wan, _)) = (link(&network, LAN), link(&network, WAN));
        let (link, listeners) = network
            .router
            .run(|| prepare(&mut dataplane, lan.0, wan))
            .expect("the router's namespace");
        let outer = outer.expect("an array of maps");
        Self {
            dataplane,
            program: program.expect("our program"),
            empty: outer.get(&0, 0).expect("a table"),
            outer,
            lan,
            _link: link,
            _listeners: listeners,
            network,
        }
    }

    /// The same with these entries.
    pub(crate) fn with(entries: &[Entry]) -> Self {
        let mut kernel = Self::new();
        kernel.replace(&[], entries);
        kernel
    }

    /// An edit.
    pub(crate) fn replace(&mut self, removed: &[Entry], added: &[Entry]) {
        let prepared = self.dataplane.prepare_bypass(removed, added);
        prepared.expect("entries that fit");
        self.dataplane.publish_bypass().expect("a new table");
    }

    /// The table that the programs look at now.
    pub(crate) fn table(&self) -> Table {
        self.outer.get(&0, 0).expect("a table")
    }

    /// Does something while the programs look at an empty table. Another data plane without
    /// entries would not do for a comparison: where the kernel puts a program makes a difference
    /// of up to a tenth.
    pub(crate) fn without_entries<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let table = self.table();
        self.outer.set(0, &self.empty, 0).expect("an empty table");
        let result = work(self);
        self.outer.set(0, &table, 0).expect("the table again");
        result
    }

    /// The mean time of `weir_steer` for this segment from the LAN, of so many times.
    pub(crate) fn time(&mut self, segment: &Segment, repeat: u32) -> Duration {
        self.time_each(std::slice::from_ref(segment), repeat)[0]
    }

    /// The same for each of them.
    pub(crate) fn time_each(&mut self, segments: &[Segment], repeat: u32) -> Vec<Duration> {
        let (index, mac) = self.lan;
        let mut context = [0; CONTEXT];
        context[IFINDEX..IFINDEX + 4].copy_from_slice(&index.to_ne_bytes());
        let frames: Vec<_> = segments.iter().map(|segment| segment.frame(mac)).collect();
        self.dataplane.heartbeats().beat(0);
        let program = &mut self.program;
        let run = || {
            let each = frames.iter().map(|frame| {
                let run = program.test_run(TestRunOptions {
                    data_in: Some(frame),
                    ctx_in: Some(&context),
                    repeat,
                    ..TestRunOptions::new()
                });
                run.expect("a test run").duration
            });
            each.collect()
        };
        self.network
            .router
            .run(run)
            .expect("the router's namespace")
    }

    /// How many SYNs this has happened to.
    pub(crate) fn flows(&self, reason: Reason) -> u64 {
        self.dataplane.counters().expect("counters").flow(reason)
    }

    /// How often this has happened.
    pub(crate) fn events(&self, event: Event) -> u64 {
        self.dataplane.counters().expect("counters").event(event)
    }
}

/// The family's first client, as the table has it.
pub(crate) fn client(family: u32) -> Bits {
    let family_of = if family == IPV4 {
        Family::V4
    } else {
        Family::V6
    };
    let (_, words) = proxy_ebpf::key::address(family_of.client());
    Bits::new(family, &words)
}

/// What the daemon does before it intercepts.
fn prepare(dataplane: &mut Dataplane, lan: u32, wan: u32) -> (ListenLink, [TcpListener; 2]) {
    for (slot, (index, role)) in (0..).zip([(lan, ROLE_LAN), (wan, ROLE_WAN)]) {
        let place = Place {
            index,
            framing: Framing::Ethernet,
            role,
            slot,
            lan: slot + 1,
            closed: false,
            bridge: None,
        };
        dataplane.set_role(&place, [0; 2]).expect("a role");
    }
    for family in Family::BOTH {
        for own in [family.router_lan(), family.router_wan()] {
            dataplane.add_own(own.into()).expect("an own address");
        }
    }
    let mut settings = Settings {
        steer_mark: 1 << 28,
        mode: MODE_ENFORCE,
        families: FAMILY_IPV4 | FAMILY_IPV6,
        workers: 1,
        probe: 100,
        heartbeat_stale_ns: u64::MAX,
        ..Settings::IDLE
    };
    settings.ports[0] = 80u16.to_be();
    settings.followed[0] = 80u16.to_be();
    dataplane.set_settings(settings).expect("settings");
    let families = [
        (listener::Family::V4, 0),
        (listener::Family::V6, MAX_WORKERS),
    ];
    let listeners = families.map(|(family, slot)| {
        let listener = listener::open(family, 1 << 29).expect("a listener");
        dataplane.set_listener(slot, &listener).expect("its slot");
        listener
    });
    let netns = File::open("/proc/thread-self/ns/net").expect("our namespace");
    let link = dataplane.attach_listen(netns).expect("socket lookups");
    (link, listeners)
}

/// Index and link-layer address of an interface of the router.
fn link(network: &Network, interface: &str) -> (u32, Mac) {
    let text = network.router.ip(&["-json", "link", "show", interface]);
    let links: serde_json::Value =
        serde_json::from_str(&text.expect("the interface")).expect("JSON of iproute2");
    let index = links[0]["ifindex"]
        .as_u64()
        .and_then(|index| index.try_into().ok());
    let mut octets = links[0]["address"]
        .as_str()
        .expect("an address")
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).expect("an octet"));
    let mac = std::array::from_fn(|_| octets.next().expect("six octets"));
    (index.expect("an index"), mac)
}
