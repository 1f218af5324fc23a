//! The whole of `weir_steer`, by test runs of the kernel: a SYN that is intercepted, one that is
//! bypassed, one of addresses not seen before, and a packet that is no SYN.

use proxy_ebpf::{
    counter::Event,
    key::{IPV4, IPV6},
    verdict::Reason,
};
use proxy_userspace::dataplane::bypass::{Bits, Entry, Flow};

use crate::{
    MILLION,
    entries::{Kind, Numbers, both, inside},
    kernel::{Kernel, client},
    packets::{ACK, SYN, Segment},
    report::{Report, Samples, count, name},
};

/// Each with other addresses, the same ones in every world.
const ROUNDS: usize = 21;
/// Runs of one packet, so that what they need is in the caches.
const REPEAT: u32 = 20_000;
/// Packets that are run once each.
const COLD: usize = 1000;
/// What a SYN may cost at most with a million entries, as a multiple of an empty list.
const GOAL: f64 = 1.5;

/// A data plane with a list of some size.
struct World {
    label: String,
    kernel: Kernel,
    listed: Vec<Entry>,
}

#[derive(Default)]
struct Results {
    unlisted: Samples,
    listed: Samples,
    cold: Samples,
    ack: Samples,
}

pub(crate) fn measure(report: &mut Report) {
    let sizes = [
        (0, Kind::Destinations),
        (10_000, Kind::Destinations),
        (MILLION, Kind::Destinations),
        (MILLION, Kind::Sources),
    ];
    let mut worlds = sizes.map(|(size, kind)| {
        let listed = both(size, kind, 1);
        let clients = if kind == Kind::Sources {
            ", 1 % with clients"
        } else {
            ""
        };
        World {
            label: format!("{} a family{clients}", count(size)),
            kernel: Kernel::with(&listed),
            listed,
        }
    });
    report.part(
        "weir_steer, ns a packet; ratio to the intercepted SYN (or what is named) with no entries",
        "ratio    median       p25       p75",
    );
    for family in [IPV4, IPV6] {
        let results = rounds(family, &mut worlds);
        show(report, family, &worlds, &results);
    }
}

fn rounds(family: u32, worlds: &mut [World; 4]) -> [Results; 4] {
    let mut results: [Results; 4] = Default::default();
    let mut numbers = Numbers(u64::from(family) << 32);
    for round in 0..ROUNDS {
        let unlisted = in_no_list(family, worlds, &mut numbers);
        let listed = in_each_list(family, worlds, &mut numbers);
        let cold: Vec<_> = (0..COLD)
            .map(|_| segment(family, numbers.address(family), SYN))
            .collect();
        // Whoever is measured first has no advantage.
        for turn in 0..worlds.len() {
            let at = (turn + round) % worlds.len();
            let (World { kernel, .. }, results) = (&mut worlds[at], &mut results[at]);
            let time = one(kernel, &segment(family, unlisted, SYN), Reason::Intercepted);
            results.unlisted.push(time);
            if at != 0 {
                let syn = segment(family, listed, SYN);
                let time = one(kernel, &syn, Reason::BypassDestination);
                results.listed.push(time);
            }
            let before = decided(kernel);
            let each = kernel.time_each(&cold, 1);
            assert_eq!(decided(kernel) - before, COLD as u64, "verdicts");
            let each: Samples = each.iter().map(|time| nanoseconds(*time)).collect();
            results.cold.push(each.median());

            let before = kernel.events(Event::PacketPassed);
            let time = kernel.time(&segment(family, unlisted, ACK), REPEAT);
            let passed = kernel.events(Event::PacketPassed) - before;
            assert_eq!(passed, u64::from(REPEAT), "packets that pass");
            results.ack.push(nanoseconds(time));
        }
    }
    results
}

fn show(report: &mut Report, family: u32, worlds: &[World; 4], results: &[Results; 4]) {
    let family = name(family);
    let empty = &results[0];
    let mut hot = Vec::new();
    for (World { label, .. }, results) in worlds.iter().zip(results) {
        let ratio = results.unlisted.over(&empty.unlisted);
        let what = format!("{family} SYN, in no list, {label}");
        report.row(&what, "ns", Some(&ratio), &results.unlisted);
        hot.push((what, ratio));
    }
    for (World { label, .. }, results) in worlds.iter().zip(results).skip(1) {
        let ratio = results.listed.over(&empty.unlisted);
        let what = format!("{family} SYN, in the list, {label}");
        report.row(&what, "ns", Some(&ratio), &results.listed);
        hot.push((what, ratio));
    }
    for (World { label, .. }, results) in worlds.iter().zip(results) {
        let ratio = results.cold.over(&empty.cold);
        let what = format!("{family} SYN, never seen before, {label}");
        report.row(&what, "ns", Some(&ratio), &results.cold);
    }
    let mut packets = Vec::new();
    for (World { label, .. }, results) in worlds.iter().zip(results) {
        let ratio = results.ack.over(&empty.ack);
        let what = format!("{family} ACK of no connection, {label}");
        report.row(&what, "ns", Some(&ratio), &results.ack);
        packets.push((what, ratio));
    }
    for (what, ratio) in hot {
        report.goal(&what, ratio.median(), GOAL);
    }
    for (what, ratio) in packets {
        report.goal(&what, ratio.median(), 1.1);
    }
}

/// Runs it often and holds that this is what happened each time.
fn one(kernel: &mut Kernel, segment: &Segment, expected: Reason) -> f64 {
    let before = kernel.flows(expected);
    let time = kernel.time(segment, REPEAT);
    let happened = kernel.flows(expected) - before;
    assert_eq!(happened, u64::from(REPEAT), "{expected:?}: {segment:?}");
    nanoseconds(time)
}

fn decided(kernel: &Kernel) -> u64 {
    kernel.flows(Reason::Intercepted) + kernel.flows(Reason::BypassDestination)
}

fn in_no_list(family: u32, worlds: &mut [World; 4], numbers: &mut Numbers) -> Bits {
    loop {
        let address = numbers.address(family);
        let in_one = worlds.iter_mut().any(|world| {
            let found = world.kernel.dataplane.match_bypass(&flow(family, address));
            found.expect("a search").is_some()
        });
        if !in_one {
            return address;
        }
    }
}

/// An address in the list of every world that has one: the lists begin with the same entries.
fn in_each_list(family: u32, worlds: &mut [World; 4], numbers: &mut Numbers) -> Bits {
    let own = |world: &World| -> usize { world.listed.len() / 2 };
    loop {
        let at = numbers.below(own(&worlds[1]));
        let first = |world: &World| if family == IPV4 { 0 } else { own(world) };
        let entry = worlds[3].listed[first(&worlds[3]) + at];
        if entry.source_length != 0 {
            continue;
        }
        let address = inside(&entry, numbers);
        let in_all = worlds.iter_mut().skip(1).all(|world| {
            let found = world.kernel.dataplane.match_bypass(&flow(family, address));
            found.expect("a search").is_some()
        });
        assert!(in_all, "{entry:?}");
        return address;
    }
}

fn flow(family: u32, destination: Bits) -> Flow {
    Flow {
        family,
        lan: 1,
        port: 80,
        reserved: 0,
        destination,
        source: client(family),
    }
}

fn segment(family: u32, to: Bits, flags: u8) -> Segment {
    Segment {
        family,
        from: client(family),
        to,
        source_port: 40_000,
        port: 80,
        flags,
    }
}

#[expect(clippy::cast_precision_loss, reason = "small")]
fn nanoseconds(time: std::time::Duration) -> f64 {
    time.as_nanos() as f64
}
