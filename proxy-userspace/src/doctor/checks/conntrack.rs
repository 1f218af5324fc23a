//! Connection tracking: a table that is full drops first packets, intercepted or not.

use super::super::{Code, Facts, Finding, Level};
use crate::netconf::sysctl;

const CHECK: &str = "conntrack";

pub(super) fn check(_: &Facts<'_>) -> Vec<Finding> {
    let of = |key: &str| {
        sysctl::read(&format!("net/netfilter/{key}"))
            .ok()?
            .parse()
            .ok()
    };
    // Where the module is not loaded, nothing is tracked.
    match (of("nf_conntrack_count"), of("nf_conntrack_max")) {
        (Some(count), Some(most)) => vec![table(count, most)],
        _ => Vec::new(),
    }
}

fn table(count: u64, most: u64) -> Finding {
    const OBJECT: &str = "conntrack table";
    let found = format!("{count} of {most} entries");
    // Near its limit, entries of others are thrown out early.
    let level = match most {
        0 => Level::Ok,
        _ if count >= most => Level::Error,
        _ if count >= most / 100 * 95 => Level::Warning,
        _ => Level::Ok,
    };
    if level == Level::Ok {
        return Finding::ok(CHECK, OBJECT, found);
    }
    Finding::new(Code::ConntrackFull, level, OBJECT, found)
        .because(
            "first packets that find no room are dropped, and an intercepted connection takes two \
             entries: the client's and that to the origin",
        )
        .remedy(format!(
            "sysctl -w net.netfilter.nf_conntrack_max={} (in the first network namespace), or do \
             not track TCP of watched ports (notrack)",
            most.saturating_mul(2)
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_full_and_full() {
        let level = |count, most| table(count, most).level;
        assert_eq!(level(0, 65536), Level::Ok);
        assert_eq!(level(60000, 65536), Level::Ok);
        assert_eq!(level(62500, 65536), Level::Warning);
        assert_eq!(level(65536, 65536), Level::Error);
        // No limit.
        assert_eq!(level(65536, 0), Level::Ok);
    }
}
