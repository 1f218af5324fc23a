//! The search alone, a thousand in a row, beside a trie of the kernel's with the same prefixes.

use std::{env, fs, time::Instant};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ArrayOfMaps, LpmTrie, MapData, lpm_trie::Key},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use proxy_ebpf::{
    abi::map,
    key::{IPV4, IPV6},
};
use proxy_userspace::dataplane::bypass::{Bits, Entry};

use crate::{
    MILLION,
    entries::{Kind, Numbers, entries, inside},
    kernel::{Kernel, Table, client},
    memory,
    report::{Report, Samples, count, mebibytes, name},
};

/// Addresses of a sort; the object's `SAMPLES` has room for four sorts.
const SAMPLES: u32 = 1 << 18;
/// Searches of a run.
const SEARCHES: u32 = 1000;
const ROUNDS: u32 = 9;
/// Runs of the same address, and different addresses.
const REPEAT: u32 = 4;
const HOT: u32 = 40;

const PROGRAMS: [&str; 3] = ["bench_nothing", "bench_table", "bench_trie"];

pub(crate) fn measure(report: &mut Report) {
    let Some(path) = env::var_os("WEIR_BENCH_OBJECT") else {
        report.absent(
            "searches",
            "WEIR_BENCH_OBJECT is not set: use cargo xtask bench",
        );
        return;
    };
    let object = fs::read(path).expect("the object of the bench's programs");
    report.part(
        "a search alone, ns, less the loop around it; ratio of the table to the trie",
        "ratio    median       p25       p75",
    );
    for (size, kind) in [
        (10_000, Kind::Destinations),
        (MILLION, Kind::Destinations),
        (MILLION, Kind::Sources),
    ] {
        let lists = [IPV4, IPV6].map(|family| entries(family, size, kind, 1));
        let kernel = Kernel::with(&lists.concat());
        let mut bench = Bench::load(&object, &kernel.table());
        if kind == Kind::Destinations {
            bench.fill_tries(report, &lists);
        }
        bench.fill_samples(&lists);
        for (at, family) in (0..).zip([IPV4, IPV6]) {
            for (sort, listed) in (0..).zip(["anywhere", "in the list"]) {
                let first = (2 * at + sort) * SAMPLES;
                for hot in [false, true] {
                    bench.compare(
                        report,
                        &Case {
                            family,
                            size,
                            kind,
                            listed,
                            first,
                            hot,
                        },
                    );
                }
            }
        }
    }
}

struct Case {
    family: u32,
    size: usize,
    kind: Kind,
    listed: &'static str,
    first: u32,
    hot: bool,
}

struct Bench(Ebpf);

impl Bench {
    fn load(object: &[u8], table: &Table) -> Self {
        let mut ebpf = EbpfLoader::new().load(object).expect("the object");
        for name in PROGRAMS {
            program(&mut ebpf, name)
                .load()
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        let outer = ebpf.map_mut(map::BYPASS).expect("the table's place");
        let mut outer: ArrayOfMaps<&mut MapData, Table> = outer.try_into().expect("its type");
        outer.set(0, table, 0).expect("the table in it");
        Self(ebpf)
    }

    /// An entry a call; in batches it is hardly faster, as it is the trie that takes the time.
    fn fill_tries(&mut self, report: &mut Report, lists: &[Vec<Entry>; 2]) {
        let mut trie: LpmTrie<_, [u8; 4], u32> = self.map("TRIE_V4").try_into().expect("a trie");
        timed(report, IPV4, &lists[0], |entry| {
            let octets = entry.destination.0.to_be_bytes();
            let key = [octets[0], octets[1], octets[2], octets[3]];
            let key = Key::new(entry.destination_length, key);
            trie.insert(&key, 1, 0).expect("room");
        });
        let mut trie: LpmTrie<_, [u8; 16], u32> = self.map("TRIE_V6").try_into().expect("a trie");
        timed(report, IPV6, &lists[1], |entry| {
            let Bits(high, low) = entry.destination;
            let address = u128::from(high) << 64 | u128::from(low);
            let key = Key::new(entry.destination_length, address.to_be_bytes());
            trie.insert(&key, 1, 0).expect("room");
        });
    }

    fn fill_samples(&mut self, lists: &[Vec<Entry>; 2]) {
        let mut samples: Array<_, [u64; 6]> = self.map("SAMPLES").try_into().expect("an array");
        let mut numbers = Numbers(99);
        let mut at = 0;
        for (family, list) in [IPV4, IPV6].into_iter().zip(lists) {
            for listed in [false, true] {
                for _ in 0..SAMPLES {
                    let to = if listed {
                        inside(&list[numbers.below(list.len())], &mut numbers)
                    } else {
                        numbers.address(family)
                    };
                    samples.set(at, query(family, to), 0).expect("room");
                    at += 1;
                }
            }
        }
    }

    fn compare(&mut self, report: &mut Report, case: &Case) {
        let mut results: [Samples; 3] = Default::default();
        for _ in 0..ROUNDS {
            let mut found = [0; 3];
            for ((name, result), found) in PROGRAMS.into_iter().zip(&mut results).zip(&mut found) {
                let time;
                (time, *found) = if case.hot {
                    self.hot(name, case)
                } else {
                    self.random(name, case)
                };
                result.push(time);
            }
            if case.kind == Kind::Destinations {
                assert_eq!(found[1], found[2], "the table finds what the trie finds");
            }
        }
        let [nothing, table, trie] = results;
        let (table, trie) = (table.less(&nothing), trie.less(&nothing));
        let addresses = if case.hot { "one address" } else { "random" };
        let clients = if case.kind == Kind::Sources {
            ", with clients"
        } else {
            ""
        };
        let what = format!(
            "{} {addresses} {}, {}{clients}",
            name(case.family),
            case.listed,
            count(case.size)
        );
        if case.kind == Kind::Destinations {
            report.row(
                &format!("{what}: table"),
                "ns",
                Some(&table.over(&trie)),
                &table,
            );
            report.row(&format!("{what}: trie"), "ns", None, &trie);
        } else {
            report.row(&format!("{what}: table"), "ns", None, &table);
        }
    }

    /// Each address once; the mean, and how many were found.
    fn random(&mut self, name: &'static str, case: &Case) -> (f64, u32) {
        let runs = SAMPLES / SEARCHES;
        let mut sums = (0.0, 0);
        for run in 0..runs {
            let (time, found) = self.run(name, case.first + run * SEARCHES, 1, 1);
            sums = (sums.0 + time, sums.1 + found);
        }
        (sums.0 / f64::from(runs), sums.1)
    }

    /// The median of several addresses, each again and again, and how often one was found.
    fn hot(&mut self, name: &'static str, case: &Case) -> (f64, u32) {
        let apart = SAMPLES / HOT;
        let runs = (0..HOT).map(|at| self.run(name, case.first + at * apart, 0, REPEAT));
        let (times, found): (Vec<f64>, Vec<u32>) = runs.unzip();
        (
            times.into_iter().collect::<Samples>().median(),
            found.iter().sum(),
        )
    }

    /// Nanoseconds of a search, and how many addresses were found.
    fn run(&mut self, name: &'static str, first: u32, step: u32, repeat: u32) -> (f64, u32) {
        let mut data = [0; 64];
        data[..4].copy_from_slice(&first.to_ne_bytes());
        data[4..8].copy_from_slice(&step.to_ne_bytes());
        let run = program(&mut self.0, name).test_run(TestRunOptions {
            data_in: Some(&data),
            repeat,
            ..TestRunOptions::new()
        });
        let run = run.expect("a test run");
        #[expect(clippy::cast_precision_loss, reason = "microseconds")]
        let nanoseconds = run.duration.as_nanos() as f64;
        (nanoseconds / f64::from(SEARCHES), run.return_value)
    }

    fn map(&mut self, name: &str) -> &mut aya::maps::Map {
        self.0
            .map_mut(name)
            .unwrap_or_else(|| panic!("no map {name}"))
    }
}

fn timed(report: &mut Report, family: u32, list: &[Entry], insert: impl FnMut(&Entry)) {
    let (seconds, peak) = memory::watch(|| {
        let began = Instant::now();
        list.iter().for_each(insert);
        began.elapsed().as_secs_f64()
    });
    report.numbers(
        &format!("{} trie filled, {}", name(family), count(list.len())),
        &[("s", seconds), ("kernel MiB", mebibytes(peak.slab))],
    );
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut SchedClassifier {
    let program = ebpf
        .program_mut(name)
        .unwrap_or_else(|| panic!("no program {name}"));
    program.try_into().expect("its type")
}

/// As `proxy_ebpf::bypass::Query` is in memory.
fn query(family: u32, to: Bits) -> [u64; 6] {
    let pair = |first: u32, second: u32| {
        let [a, b, c, d] = first.to_ne_bytes();
        let [e, f, g, h] = second.to_ne_bytes();
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    };
    let from = client(family);
    [pair(family, 1), pair(80, 0), to.0, to.1, from.0, from.1]
}
