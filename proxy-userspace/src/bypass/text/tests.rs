use proptest::prelude::*;

use super::*;
use crate::bypass::{
    Expired, HostBits, Notice,
    samples::{any_entries, any_entry, at, entry, key},
};

mod wrong;

#[track_caller]
fn read_all(text: &str) -> Parsed {
    parse(text, &Options::default()).unwrap()
}

#[test]
fn every_way_to_write_a_line() {
    for (line, written) in [
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7/32", "203.0.113.7"),
        ("2001:DB8:0::/48", "2001:db8::/48"),
        ("\t 203.0.113.0/24 \t", "203.0.113.0/24"),
        ("intercept 203.0.113.7", "intercept 203.0.113.7"),
        ("any src 10.0.0.99", "any src 10.0.0.99"),
        ("any in guest0", "any in guest0"),
        ("any in \"#1\"", "any in \"#1\""),
        ("0.0.0.0/0 port 80", "0.0.0.0/0 port 80"),
        (
            "203.0.113.0/24 owner alice until 2026-12-01T01:00:00+01:00 in lan0 port 80 \
             src 10.0.0.0/8  ;the bank ",
            "203.0.113.0/24 src 10.0.0.0/8 port 80 in lan0 until 2026-12-01T00:00:00Z owner alice  \
             # the bank",
        ),
        ("192.0.2.0/24 ; SBL1", "192.0.2.0/24  # SBL1"),
        ("192.0.2.0/24 #a\tb # c", "192.0.2.0/24  # a b # c"),
        ("192.0.2.0/24 #", "192.0.2.0/24"),
        (
            r#"any src 10.0.0.1 owner "a b\"\\c""#,
            r#"any src 10.0.0.1 owner "a b\"\\c""#,
        ),
        (r#"any src 10.0.0.1 owner "" # x"#, "any src 10.0.0.1  # x"),
    ] {
        assert_eq!(entry(line).to_string(), written, "{line}");
        assert_eq!(entry(written), entry(line));
    }
}

#[test]
fn what_is_no_entry_is_nothing() {
    let parsed = read_all("\u{feff}# c\r\n\r\n  ; d\n\t\n 192.0.2.1\r\n; e");
    assert_eq!(parsed.entries, [entry("192.0.2.1")]);
    assert_eq!(parsed.notices, super::super::Notices::default());
    assert_eq!(read_all(""), Parsed::default());
}

#[test]
fn everything_needs_force_only_to_be_bypassed() {
    for line in ["any", "0.0.0.0/0", "any src ::/0"] {
        assert!(parse(line, &Options::default()).is_err());
        assert_eq!(parse(line, &Options::OWN).unwrap().entries.len(), 1);
        read_all(&format!("intercept {line}"));
    }
    read_all("any port 80\nany in lan0\n0.0.0.0/1");
}

#[test]
fn host_bits_are_cleared_if_that_is_asked_for() {
    let options = Options {
        host_bits: HostBits::Normalise,
        ..Options::default()
    };
    let text = "192.0.2.0/24\n10.0.0.7/8 src 192.0.2.9/24\nany src 10.9.9.9/8";
    let parsed = parse(text, &options).unwrap();
    assert_eq!(parsed.entries[1], entry("10.0.0.0/8 src 192.0.2.0/24"));
    assert_eq!(parsed.notices.normalised, Notice { count: 2, first: 2 });
    let error = parse("192.0.2.7/0", &options).unwrap_err();
    assert!(error.message.contains("every connection"), "{error}");
    let error = parse("::ffff:192.0.2.7/100", &options).unwrap_err();
    assert!(error.message.contains("wire"), "{error}");
}

#[test]
fn what_has_ended_is_kept_refused_or_left_out() {
    let now = at("2026-01-01T00:00:00Z");
    let text =
        "192.0.2.1\n192.0.2.2 until 2026-01-01T00:00:00Z\n192.0.2.3 until 2026-01-01T00:00:01Z";
    assert_eq!(read_all(text).entries.len(), 3);
    let with = |expired| {
        let options = Options {
            expired,
            ..Options::default()
        };
        parse(text, &options)
    };
    let parsed = with(Expired::Skip(now)).unwrap();
    assert_eq!(parsed.entries.len(), 2);
    assert_eq!(parsed.notices.expired, Notice { count: 1, first: 2 });
    assert_eq!(
        with(Expired::Refuse(now)).unwrap_err().to_string(),
        "line 2, column 17: the entry ended at 2026-01-01T00:00:00Z, which is past; write a later \
         moment, or none"
    );
}

#[test]
fn said_twice_in_the_same_words_is_said_once() {
    let text = "192.0.2.9\n192.0.2.1 # x\n192.0.2.9/32\n192.0.2.1;\n";
    let error = parse(text, &Options::default()).unwrap_err();
    assert!(error.message.contains("neither"), "{error}");
    let parsed = read_all("192.0.2.9\n192.0.2.1 # x\n192.0.2.9/32\n192.0.2.1 ;x\n192.0.2.9");
    assert_eq!(parsed.entries, [entry("192.0.2.9"), entry("192.0.2.1 # x")]);
    assert_eq!(parsed.notices.duplicates, Notice { count: 3, first: 3 });
}

#[test]
fn said_twice_and_not_the_same_is_an_error() {
    for (text, message) in [
        (
            "192.0.2.9\n192.0.2.1 # x\n\n  intercept 192.0.2.9\n192.0.2.1 # y",
            "line 4, column 13: entry 192.0.2.9 says something else on line 1; leave one of the two",
        ),
        (
            "192.0.2.9\n192.0.2.9\n 192.0.2.9 # z",
            "line 3, column 2: entry 192.0.2.9 says something else on line 1; leave one of the two",
        ),
    ] {
        let error = parse(text, &Options::default()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_reader_goes_on_behind_a_wrong_line() {
    let mut reader = Reader::new(Options::default());
    reader.line("192.0.2.1").unwrap();
    assert_eq!(reader.line("x").unwrap_err().line, 2);
    reader.line("\u{feff}192.0.2.2").unwrap_err();
    reader.line("192.0.2.2").unwrap();
    assert_eq!(reader.finish().unwrap().entries.len(), 2);
}

#[test]
fn one_entry_and_a_key_are_just_that() {
    for text in ["", "# x", "192.0.2.1\n192.0.2.2"] {
        assert!(parse_entry(text, &Options::OWN).is_err(), "{text}");
    }
    for text in ["intercept 192.0.2.1", "192.0.2.1 # x", "192.0.2.1 owner a"] {
        let error = text.parse::<Key>().unwrap_err();
        assert!(
            error.message.contains("only what an entry matches"),
            "{error}"
        );
    }
}

/// A long list with little in common between neighbours.
fn long(lines: u32) -> String {
    use std::fmt::Write as _;
    (0..lines).fold(String::new(), |mut text, n| {
        let [_, b, c, d] = n.wrapping_mul(0x009e_3779).to_be_bytes();
        writeln!(text, "10.{b}.{c}.{d} src 192.0.2.0/24 port 80 in lan0").unwrap();
        text
    })
}

#[test]
fn a_line_costs_no_allocation() {
    let text = long(20_000);
    let info = allocation_counter::measure(|| {
        assert_eq!(read_all(&text).entries.len(), 20_000);
    });
    assert!(info.count_total < 100, "{info:?}");
}

#[test]
#[ignore = "a measurement, for a machine that does nothing else"]
fn a_million_lines_are_read_within_a_second() {
    let text = long(1_000_000);
    let begin = std::time::Instant::now();
    assert_eq!(read_all(&text).entries.len(), 1_000_000);
    let took = begin.elapsed();
    assert!(took.as_millis() < 1000, "{took:?}");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(entry in any_entry()) {
        let line = entry.to_string();
        prop_assert_eq!(parse_entry(&line, &Options::OWN), Ok(entry), "{}", line);
    }

    #[test]
    fn keys_come_back(key in key()) {
        prop_assert_eq!(key.to_string().parse::<Key>(), Ok(key));
    }

    #[test]
    fn lists_come_back(entries in any_entries(20)) {
        let text: String = entries.iter().map(|entry| format!("{entry}\r\n")).collect();
        prop_assert_eq!(parse(&text, &Options::OWN).unwrap().entries, entries);
    }

    #[test]
    fn nothing_makes_it_panic(text in "(any |src |port |in |owner |# |\"|\\\\|1.2.3.4|\\PC|\n){0,20}") {
        drop(parse(&text, &Options::default()));
    }
}
