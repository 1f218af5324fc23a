//! The whole of `weir_steer`, by test runs of the kernel: a SYN that is intercepted, one that is
//! bypassed, one of an address not seen before, and a packet that is no SYN; each beside the same
//! with an empty table.

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
/// What a SYN of an address in use may cost at most, as a multiple of an empty table.
const SYN_GOAL: f64 = 1.5;
/// The same of other packets, which no entry is looked up for: 1, and noise.
const ACK_GOAL: f64 = 1.05;

/// A data plane with a list of some size.
struct World {
    label: String,
    kernel: Kernel,
    listed: Vec<Entry>,
}

/// With the list, and with an empty table.
#[derive(Default)]
struct Beside {
    full: Samples,
    empty: Samples,
}

#[derive(Default)]
struct Results {
    unlisted: Beside,
    listed: Beside,
    cold: Beside,
    ack: Beside,
}

pub(crate) fn measure(report: &mut Report) {
    let sizes = [
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
            label: format!("{}{clients}", count(size)),
            kernel: Kernel::with(&listed),
            listed,
        }
    });
    report.part(
        "weir_steer, ns a packet; ratio to the same packet with an empty table",
        "ratio    median       p25       p75",
    );
    for family in [IPV4, IPV6] {
        let results = rounds(family, &mut worlds);
        show(report, family, &worlds, &results);
    }
}

fn rounds(family: u32, worlds: &mut [World; 3]) -> [Results; 3] {
    let mut results: [Results; 3] = Default::default();
    let mut numbers = Numbers(u64::from(family) << 32);
    for _ in 0..ROUNDS {
        let unlisted = in_no_list(family, worlds, &mut numbers);
        let listed = in_each_list(family, worlds, &mut numbers);
        let cold: Vec<_> = (0..COLD)
            .map(|_| segment(family, numbers.address(family), SYN))
            .collect();
        let packets = [
            (segment(family, unlisted, SYN), Some(Reason::Intercepted)),
            (
                segment(family, listed, SYN),
                Some(Reason::BypassDestination),
            ),
            (segment(family, unlisted, ACK), None),
        ];
        for (World { kernel, .. }, results) in worlds.iter_mut().zip(&mut results) {
            let to = [&mut results.unlisted, &mut results.listed, &mut results.ack];
            let full = packets.map(|(packet, reason)| time(kernel, &packet, reason));
            let full_cold = each(kernel, &cold);
            let (empty, empty_cold) = kernel.without_entries(|kernel| {
                let times = packets.map(|(packet, reason)| {
                    time(kernel, &packet, reason.and(Some(Reason::Intercepted)))
                });
                (times, each(kernel, &cold))
            });
            for ((beside, full), empty) in to.into_iter().zip(full).zip(empty) {
                beside.full.push(full);
                beside.empty.push(empty);
            }
            results.cold.full.push(full_cold);
            results.cold.empty.push(empty_cold);
        }
    }
    results
}

fn show(report: &mut Report, family: u32, worlds: &[World; 3], results: &[Results; 3]) {
    type Part = fn(&Results) -> &Beside;
    let parts: [(&str, Part, Option<f64>); 4] = [
        (
            "SYN, in no list",
            |results| &results.unlisted,
            Some(SYN_GOAL),
        ),
        (
            "SYN, in the list",
            |results| &results.listed,
            Some(SYN_GOAL),
        ),
        ("SYN, never seen before", |results| &results.cold, None),
        (
            "ACK of no connection",
            |results| &results.ack,
            Some(ACK_GOAL),
        ),
    ];
    let mut goals = Vec::new();
    for (packet, part, goal) in parts {
        let what = format!("{} {packet}", name(family));
        let empty: Samples = results
            .iter()
            .flat_map(|results| part(results).empty.values())
            .collect();
        report.row(&format!("{what}: 0"), "ns", None, &empty);
        for (World { label, .. }, results) in worlds.iter().zip(results) {
            let Beside { full, empty } = part(results);
            let (what, ratio) = (format!("{what}: {label}"), full.over(empty));
            report.row(&what, "ns", Some(&ratio), full);
            if let Some(goal) = goal {
                goals.push((what, ratio.median(), goal));
            }
        }
    }
    for (what, ratio, goal) in goals {
        report.goal(&what, ratio, goal);
    }
}

/// Runs it often and holds that this is what happened each time; without a reason, that the
/// packet is let pass.
fn time(kernel: &mut Kernel, segment: &Segment, expected: Option<Reason>) -> f64 {
    let happened = |kernel: &Kernel| match expected {
        Some(reason) => kernel.flows(reason),
        None => kernel.events(Event::PacketPassed),
    };
    let before = happened(kernel);
    let time = kernel.time(segment, REPEAT);
    let times = happened(kernel) - before;
    assert_eq!(times, u64::from(REPEAT), "{expected:?}: {segment:?}");
    nanoseconds(time)
}

/// The median of running each of them once.
fn each(kernel: &mut Kernel, segments: &[Segment]) -> f64 {
    let before = decided(kernel);
    let times = kernel.time_each(segments, 1);
    assert_eq!(decided(kernel) - before, segments.len() as u64, "verdicts");
    let times: Samples = times.into_iter().map(nanoseconds).collect();
    times.median()
}

fn decided(kernel: &Kernel) -> u64 {
    kernel.flows(Reason::Intercepted) + kernel.flows(Reason::BypassDestination)
}

fn in_no_list(family: u32, worlds: &mut [World; 3], numbers: &mut Numbers) -> Bits {
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

/// An address in the list of every world: the lists begin with the same entries.
fn in_each_list(family: u32, worlds: &mut [World; 3], numbers: &mut Numbers) -> Bits {
    let shortest = worlds[0].listed.len() / 2;
    loop {
        let list = &worlds[2].listed;
        let first = if family == IPV4 { 0 } else { list.len() / 2 };
        let entry = list[first + numbers.below(shortest)];
        if entry.source_length == 0 {
            return inside(&entry, numbers);
        }
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
