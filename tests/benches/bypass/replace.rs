//! A million entries in place of none, and in place of a million others.

use std::time::Instant;

use proxy_ebpf::key::{IPV4, IPV6};
use proxy_userspace::dataplane::bypass::Entry;

use crate::{
    MILLION, descriptors,
    entries::{Kind, entries},
    kernel::Kernel,
    memory,
    report::{Report, Samples, mebibytes, name},
};

const ROUNDS: usize = 3;

pub(crate) fn measure(report: &mut Report) {
    report.part("a million entries of a family; medians of 3", "");
    for family in [IPV4, IPV6] {
        let lists = [1, 2].map(|seed| entries(family, MILLION, Kind::Destinations, seed));
        let [mut first, mut second]: [Results; 2] = Default::default();
        for _ in 0..ROUNDS {
            let mut kernel = Kernel::new();
            first.add(&mut kernel, &[], &lists[0]);
            second.add(&mut kernel, &lists[0], &lists[1]);
        }
        let family = name(family);
        first.show(report, &format!("{family}: none → 1 M"));
        second.show(report, &format!("{family}: 1 M → 1 M others"));
    }
}

#[derive(Default)]
struct Results {
    prepare: Samples,
    publish: Samples,
    process: Samples,
    tables: Samples,
}

impl Results {
    fn add(&mut self, kernel: &mut Kernel, removed: &[Entry], added: &[Entry]) {
        let before = table(kernel);
        let ((prepare, publish), peak) = memory::watch(|| {
            let began = Instant::now();
            let prepared = kernel.dataplane.prepare_bypass(removed, added);
            prepared.expect("entries that fit");
            let prepare = began.elapsed();
            let began = Instant::now();
            kernel.dataplane.publish_bypass().expect("a new table");
            (prepare, began.elapsed())
        });
        self.prepare.push(prepare.as_secs_f64());
        self.publish.push(publish.as_secs_f64());
        self.process.push(mebibytes(peak.process));
        self.tables.push(mebibytes(before + table(kernel)));
    }

    fn show(&self, report: &mut Report, what: &str) {
        report.numbers(
            what,
            &[
                ("s", self.prepare.median() + self.publish.median()),
                ("of that to publish, s", self.publish.median()),
                ("both tables MiB", self.tables.median()),
                ("process MiB more", self.process.median()),
            ],
        );
    }
}

/// The kernel's memory of the table in use, in octets.
fn table(kernel: &Kernel) -> u64 {
    let _table = kernel.table();
    descriptors::largest_array()
}
