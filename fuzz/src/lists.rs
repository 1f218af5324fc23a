//! Bypass lists as text and as JSON: whatever is read is written in a way that reads the same, and
//! what is wrong has a place within the text.

use proxy_userspace::bypass::{Expired, HostBits, Options, Timestamp, json, text};

/// Panics where it does not hold for `input`.
pub fn run(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let Ok(given) = std::str::from_utf8(input) else {
        return;
    };
    let options = Options {
        force: choice & 1 != 0,
        host_bits: if choice & 2 != 0 {
            HostBits::Refuse
        } else {
            HostBits::Normalise
        },
        expired: if choice & 4 != 0 {
            Expired::Keep
        } else {
            Expired::Skip(Timestamp::from_unix(1_800_000_000))
        },
    };
    let entries = match json::parse_any(given, &options) {
        Ok(parsed) => parsed.entries,
        Err(error) => {
            assert!(error.line <= given.matches('\n').count() + 1, "{error}");
            return;
        }
    };
    let lines: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
    let again =
        text::parse(&lines, &Options::OWN).unwrap_or_else(|error| panic!("{error}: {lines}"));
    assert_eq!(again.entries, entries);
    let written = json::write(&entries);
    let again =
        json::parse(&written, &Options::OWN).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(again.entries, entries);
}
