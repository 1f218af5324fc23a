//! One entry more, one less, in lists of some sizes: what `prepare_bypass` and `publish_bypass`
//! take together.

use std::time::Instant;

use proxy_ebpf::key::{IPV4, IPV6};
use proxy_userspace::dataplane::bypass::Entry;

use crate::{
    MILLION,
    entries::{Kind, Numbers, both},
    kernel::Kernel,
    report::{Report, Samples, count},
};

/// Pairs of edits; many enough that tables wear out meanwhile.
const PAIRS: usize = 4000;

pub(crate) fn measure(report: &mut Report) {
    report.part("one edit (prepare and publish), µs", "");
    for size in [0, 10_000, MILLION] {
        let mut kernel = Kernel::with(&both(size, Kind::Destinations, 1));
        let mut numbers = Numbers(7);
        let (mut added, mut removed) = (Samples::default(), Samples::default());
        for number in 0..PAIRS {
            let (family, length) = if number % 2 == 0 {
                (IPV4, 32)
            } else {
                (IPV6, 128)
            };
            let one = [Entry::to(family, numbers.address(family), length)];
            let began = Instant::now();
            kernel.replace(&[], &one);
            added.push(began.elapsed().as_secs_f64() * 1e6);
            let began = Instant::now();
            kernel.replace(&one, &[]);
            removed.push(began.elapsed().as_secs_f64() * 1e6);
        }
        for (verb, times) in [("added", added), ("removed", removed)] {
            report.numbers(
                &format!("one entry {verb}, {} a family", count(size)),
                &[
                    ("p50", times.at(0.5)),
                    ("p99", times.at(0.99)),
                    ("worst", times.at(1.0)),
                ],
            );
        }
    }
}
