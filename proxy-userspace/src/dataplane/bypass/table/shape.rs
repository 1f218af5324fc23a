//! How large a table is, and where its parts begin.

use proxy_ebpf::bypass::layout::{BUCKETS_AHEAD, VARIABLE};

/// How large the parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane::bypass) struct Shape {
    /// Most records.
    pub(super) records: u32,
    /// Lines.
    pub(super) filters: u32,
    /// Lines that are first for some entry.
    pub(super) buckets: u32,
}

/// Records that even a table without entries has room for.
const SPARE: u32 = 2048;

impl Shape {
    /// For so many entries and about an eighth more; the `attempt`th, as each has more room.
    /// A new table has to wait for the programs that look at the old one, which takes
    /// milliseconds: a small one has room for many edits, too.
    pub(in crate::dataplane::bypass) fn new(entries: usize, attempt: u32) -> Self {
        let entries = u32::try_from(entries).unwrap_or(u32::MAX / 64);
        let records = entries + entries / 8 + SPARE;
        Self {
            records,
            filters: records / 4,
            buckets: (records / 4) << attempt,
        }
    }

    /// Lines of the whole table.
    pub(in crate::dataplane::bypass) const fn lines(&self) -> u32 {
        self.first_counter() + self.records / 4 + 1
    }

    pub(super) const fn first_bucket(&self) -> u32 {
        VARIABLE + self.filters
    }

    /// Behind the last bucket, which stays empty, as every search ends there. Records are
    /// numbered from 1.
    pub(super) const fn first_record(&self) -> u32 {
        self.first_bucket() + self.buckets + BUCKETS_AHEAD
    }

    pub(super) const fn first_counter(&self) -> u32 {
        self.first_record() + self.records + 1
    }
}
