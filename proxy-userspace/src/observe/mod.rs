//! Room `observe`: what is written down and what is counted.

mod access;
mod asymmetry;
mod exposition;
mod format;
mod histogram;
mod host;
mod journal;
mod output;
mod record;
mod seldom;
mod stats;

pub use access::AccessLog;
pub use asymmetry::Asymmetry;
pub use exposition::{CONTENT_TYPE, Exposition};
pub use format::{Format, Style};
pub use histogram::{Buckets, Histogram};
pub use host::HostLabel;
pub use journal::JOURNAL_SOCKET;
pub use output::{AccessLogError, Sink};
pub use record::AccessRecord;
pub use seldom::Seldom;
pub use stats::{Active, Connections, Snapshot, Stats, Timings};
