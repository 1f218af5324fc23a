//! Entries as the kernel's table has them.

use std::collections::BTreeMap;

use ipnet::IpNet;
use nix::time::{ClockId, clock_gettime};
use proxy_ebpf::key::{IPV4, IPV6, address};

use super::lans::Lans;
use crate::{
    bypass::{Action, Entry, Family, ListName, Timestamp},
    dataplane::bypass::{Bits, Entry as Record, Flow},
};

const SECOND: i128 = 1_000_000_000;

/// Beside a list's number, which is below 64, in the records of an entry for both families.
const BOTH: u8 = 64;

/// What it takes to tell the kernel of entries.
pub(super) struct Translation {
    numbers: BTreeMap<ListName, u8>,
    pub(super) lans: Lans,
    clock: Clock,
}

/// What the wall clock says while the one that counts from the start of the system says 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    offset: i128,
}

impl Translation {
    pub(super) fn new(lans: Lans) -> Self {
        Self {
            numbers: BTreeMap::new(),
            lans,
            clock: Clock::read(),
        }
    }

    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Looks at the clock again; true if it has been set.
    pub(super) fn look_at_clock(&mut self) -> bool {
        let now = Clock::read();
        // Corrections of its speed are far less between two looks.
        let set = (now.offset - self.clock.offset).abs() > SECOND / 10;
        if set {
            self.clock = now;
        }
        set
    }

    /// The number of a list, its own until it is [forgotten](Self::forget). There are no more
    /// lists than numbers.
    pub(super) fn number(&mut self, list: &ListName) -> u8 {
        if let Some(number) = self.numbers.get(list) {
            return *number;
        }
        let is_free = |number: &u8| !self.numbers.values().any(|taken| taken == number);
        let number = (0..BOTH).find(is_free).unwrap_or(0);
        self.numbers.insert(list.clone(), number);
        number
    }

    /// A list has not come about.
    pub(super) fn forget(&mut self, list: &ListName) {
        self.numbers.remove(list);
    }

    /// The number of a list that has one.
    pub(super) fn known_number(&self, list: &ListName) -> Option<u8> {
        self.numbers.get(list).copied()
    }

    /// The list of a record.
    pub(super) fn list(&self, record: &Record) -> Option<(u8, &ListName)> {
        let number = record.list & !BOTH;
        let mut numbers = self.numbers.iter();
        numbers
            .find(|(_, of)| **of == number)
            .map(|(list, _)| (number, list))
    }

    /// An entry's records, one for each family that it matches. What is said of both families is
    /// not what is said of one: a bit that the kernel does not look at tells them apart.
    pub(super) fn records(&self, number: u8, entry: &Entry) -> impl Iterator<Item = Record> {
        let key = *entry.key();
        let families: &[u32] = match key.family() {
            Some(Family::V4) => &[IPV4],
            Some(Family::V6) => &[IPV6],
            None => &[IPV4, IPV6],
        };
        let lan = key.interface().map_or(0, |name| {
            // Of a LAN that has no number nothing comes.
            self.lans.known(name).unwrap_or(u32::MAX)
        });
        let intercept = entry.action() == Action::Intercept;
        let list = if key.family().is_none() {
            number | BOTH
        } else {
            number
        };
        let expires = entry.expires().map_or(0, |at| self.clock.since_boot(at));
        families.iter().map(move |family| {
            let (destination, destination_length) = bits(*family, key.destination());
            let (source, source_length) = bits(*family, key.source());
            Record {
                source,
                source_length,
                port: key.port().unwrap_or(0),
                lan,
                list,
                intercept,
                expires,
                ..Record::to(*family, destination, destination_length)
            }
        })
    }
}

impl Clock {
    fn read() -> Self {
        let of = |clock| {
            clock_gettime(clock).map_or(0, |now| {
                i128::from(now.tv_sec()) * SECOND + i128::from(now.tv_nsec())
            })
        };
        Self {
            offset: of(ClockId::CLOCK_REALTIME) - of(ClockId::CLOCK_BOOTTIME),
        }
    }

    /// `CLOCK_BOOTTIME` nanoseconds at that moment, at least 1.
    fn since_boot(self, moment: Timestamp) -> u64 {
        let since = i128::from(moment.unix()) * SECOND - self.offset;
        u64::try_from(since.max(1)).unwrap_or(u64::MAX)
    }

    /// The moment of so many nanoseconds after the start of the system.
    pub(super) fn moment(self, since_boot: u64) -> Timestamp {
        let seconds = (i128::from(since_boot) + self.offset) / SECOND;
        Timestamp::from_unix(u64::try_from(seconds).unwrap_or(0))
    }
}

/// Whether two records are of one entry, whatever its action and end.
pub(super) fn is_same(one: &Record, other: &Record) -> bool {
    let plain = |record: &Record| Record {
        intercept: false,
        expires: 0,
        since: 0,
        until: 0,
        next: 0,
        ..*record
    };
    plain(one) == plain(other)
}

/// What the kernel is asked about a connection, from the LAN with that number; 0: from none.
pub(super) fn flow(
    source: std::net::IpAddr,
    destination: std::net::IpAddr,
    port: u16,
    lan: u32,
) -> Flow {
    let (family, to) = address(destination.to_canonical());
    let (_, from) = address(source.to_canonical());
    Flow {
        family,
        lan,
        port: port.into(),
        reserved: 0,
        destination: Bits::new(family, &to),
        source: Bits::new(family, &from),
    }
}

fn bits(family: u32, prefix: Option<IpNet>) -> (Bits, u32) {
    prefix.map_or((Bits::default(), 0), |prefix| {
        let (_, words) = address(prefix.network());
        (Bits::new(family, &words), prefix.prefix_len().into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bypass::text;

    fn records(line: &str) -> Vec<Record> {
        let entry = |line| text::parse_entry(line, &crate::bypass::Options::default()).unwrap();
        let mut translation = Translation::new(Lans::new(None));
        for met in ["any in lan0", "any in lan1", line] {
            if !met.contains("other0") {
                translation.lans.meet(&entry(met));
            }
        }
        translation.records(3, &entry(line)).collect()
    }

    #[test]
    fn an_entry_is_one_record_or_one_for_each_family() {
        let [record] = records("intercept 192.0.2.0/24 src 10.0.0.0/8 port 80 in lan1")[..] else {
            panic!("one record");
        };
        assert_eq!(
            (record.family, record.list, record.intercept),
            (IPV4, 3, true)
        );
        assert_eq!((record.port, record.lan, record.expires), (80, 2, 0));
        assert_eq!((record.destination_length, record.source_length), (24, 8));
        assert_eq!(record.destination.0 >> 32, 0xc000_0200);
        let families: Vec<_> = records("any in lan0")
            .iter()
            .map(|r| (r.family, r.lan))
            .collect();
        assert_eq!(families, [(IPV4, 1), (IPV6, 1)]);
        assert_eq!(records("any in other0")[0].lan, u32::MAX);
    }

    #[test]
    fn numbers_are_the_lists_own() {
        let mut translation = Translation::new(Lans::new(None));
        let name = |number: u8| format!("list{number}").parse::<ListName>().unwrap();
        for number in 0..64 {
            assert_eq!(translation.number(&name(number)), number);
        }
        assert_eq!(translation.number(&name(7)), 7);
        translation.forget(&name(7));
        assert_eq!(translation.known_number(&name(7)), None);
        assert_eq!(translation.number(&name(99)), 7);
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_once_and_one_that_runs_is_not() {
        let mut translation = Translation::new(Lans::new(None));
        assert!(!translation.look_at_clock());
        for step in [-SECOND, SECOND] {
            translation.clock.offset += step;
            assert!(translation.look_at_clock());
            assert!(!translation.look_at_clock());
        }
    }

    #[test]
    fn moments_are_told_by_the_other_clock() {
        let clock = Clock {
            offset: 1_000 * SECOND,
        };
        let at = |seconds| Timestamp::from_unix(seconds);
        assert_eq!(clock.since_boot(at(1_500)), 500_000_000_000);
        assert_eq!(clock.since_boot(at(10)), 1, "before the start, and over");
        assert_eq!(clock.moment(500_900_000_000), at(1_500));
    }
}
