use super::*;
use crate::bypass::{
    Edit,
    samples::{at, edit, entries, name},
};

/// The list and the entry that decide about `192.0.2.7:80` from `10.0.0.1` on `lan0`.
fn decided(lists: &[(&str, &[&str])]) -> Option<String> {
    let mut set = Set::new(100);
    for (list, lines) in lists {
        edit(&mut set, list, Edit::Add(entries(lines)));
    }
    decide(&set, "192.0.2.7", "10.0.0.1", Some("lan0"))
}

fn decide(set: &Set, destination: &str, source: &str, interface: Option<&str>) -> Option<String> {
    let interface = interface.map(|name| name.parse::<InterfaceName>().unwrap());
    let flow = Flow {
        destination: destination.parse().unwrap(),
        source: source.parse().unwrap(),
        port: 80,
        interface: interface.as_ref(),
    };
    set.decide(&flow, at("2026-01-01T00:00:00Z"))
        .map(|(list, entry)| format!("{list}: {entry}"))
}

#[test]
fn whatever_an_entry_says_must_hold() {
    for line in [
        "192.0.2.0/24",
        "any src 10.0.0.0/8",
        "any port 80",
        "any in lan0",
        "192.0.2.7 src 10.0.0.1 port 80 in lan0 until 2026-01-01T00:00:01Z",
        "0.0.0.0/0",
        "any",
    ] {
        assert_eq!(decided(&[("a", &[line])]), Some(format!("a: {line}")));
    }
    for line in [
        "192.0.3.0/24",
        "192.0.2.7 src 10.0.0.2",
        "192.0.2.7 port 443",
        "192.0.2.7 in lan1",
        "192.0.2.7 until 2026-01-01T00:00:00Z",
        "::/0",
        "any src ::/0",
    ] {
        assert_eq!(decided(&[("a", &[line])]), None, "{line}");
    }
}

#[test]
fn the_narrower_goes_first() {
    // Each before all that are below it.
    let ranks = [
        "192.0.2.7",
        "192.0.2.0/24 src 10.0.0.1 port 80 in lan0",
        "192.0.2.0/24 src 10.0.0.1 port 80",
        "192.0.2.0/24 src 10.0.0.1 in lan0",
        "192.0.2.0/24 src 10.0.0.1",
        "192.0.2.0/24 src 10.0.0.0/8 port 80 in lan0",
        "192.0.2.0/24",
        "192.0.0.0/16 src 10.0.0.1 port 80 in lan0",
        "any src 10.0.0.1",
        "any src 10.0.0.0/8 port 80",
        "any port 80 in lan0",
        "any port 80",
        "any in lan0",
        "any",
    ];
    for (place, line) in ranks.iter().enumerate() {
        let told = decided(&[("a", &ranks[place..])]);
        assert_eq!(told, Some(format!("a: {line}")));
        for lower in &ranks[place + 1..] {
            let lower = format!("intercept {lower}");
            let told = decided(&[("a", &[lower.as_str()]), ("b", &[line])]);
            assert_eq!(told, Some(format!("b: {line}")), "before {lower}");
        }
    }
}

#[test]
fn among_equals_intercepting_goes_first_and_then_the_list() {
    let intercept = ["intercept 192.0.2.0/24"];
    let bypass = ["192.0.2.0/24"];
    assert_eq!(
        decided(&[("a", &bypass), ("b", &intercept), ("c", &intercept)]),
        Some("b: intercept 192.0.2.0/24".to_owned())
    );
    assert_eq!(
        decided(&[("b", &bypass), ("a", &bypass)]),
        Some("a: 192.0.2.0/24".to_owned())
    );
    // A whole family is as long as no destination.
    assert_eq!(
        decided(&[("a", &["0.0.0.0/0"]), ("b", &["intercept any"])]),
        Some("b: intercept any".to_owned())
    );
}

#[test]
fn disabled_lists_mapped_addresses_and_unknown_interfaces() {
    let mut set = Set::new(100);
    edit(
        &mut set,
        "a",
        Edit::Add(entries(&["192.0.2.7", "any in lan0", "any src 10.0.0.1"])),
    );
    let mapped = decide(&set, "::ffff:192.0.2.7", "::ffff:10.0.0.9", None);
    assert_eq!(mapped, Some("a: 192.0.2.7".to_owned()));
    let mapped = decide(&set, "::ffff:192.0.2.8", "::ffff:10.0.0.1", None);
    assert_eq!(mapped, Some("a: any src 10.0.0.1".to_owned()));
    assert_eq!(decide(&set, "192.0.2.8", "10.0.0.9", None), None);
    edit(&mut set, "a", Edit::Enable(false));
    assert_eq!(decide(&set, "192.0.2.7", "10.0.0.1", Some("lan0")), None);
    assert!(set.list(&name("a")).is_some());
}
