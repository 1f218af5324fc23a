use proptest::prelude::*;

use super::*;
use crate::bypass::{
    Expired, HostBits, Notice,
    samples::{any_entries, at, entry},
};

#[track_caller]
fn error(text: &str) -> String {
    parse(text, &Options::default()).unwrap_err().to_string()
}

#[test]
fn every_field() {
    let text = r#"[{"destination": "203.0.113.0/24", "source": "10.0.0.0/8", "port": 80,
        "interface": "lan0", "action": "intercept", "expires": "2026-12-01T01:00:00+01:00",
        "comment": " bank ", "owner": "alice", "list": "manual", "hits": 7, "last_hit": null,
        "enabled": true, "reason": {}},
        {"source": "10.0.0.1"}, {"destination": null, "port": 80}, {"interface": "lan0", "action": null}]"#;
    let lines = [
        "intercept 203.0.113.0/24 src 10.0.0.0/8 port 80 in lan0 until 2026-12-01T00:00:00Z \
         owner alice # bank",
        "any src 10.0.0.1",
        "any port 80",
        "any in lan0",
    ];
    let entries = parse(text, &Options::default()).unwrap().entries;
    assert_eq!(entries, lines.map(entry));
    let object = format!("\u{feff} {{\"entries\": {text}}}");
    assert_eq!(
        parse(&object, &Options::default()).unwrap().entries,
        entries
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, message) in [
        (
            "[\n{\"destination\": \"x\"}]",
            "line 2, column 19: \"x\" is neither an address nor",
        ),
        (
            "[{\"destination\": 7}]",
            "line 1, column 18: invalid type: integer `7`, expected an \
          address, a prefix, \"any\" or null",
        ),
        (
            "[{\"source\": \"any\"}]",
            "line 1, column 17: \"any\" is neither",
        ),
        (
            "[{\"destination\": \"10.0.0.1/8\"}]",
            "line 1, column 29: prefix 10.0.0.1/8 has host",
        ),
        ("[{\"port\": 0}]", "line 1, column 11: \"0\" is not a port"),
        (
            "[{\"port\": 65536}]",
            "line 1, column 15: \"65536\" is not a port",
        ),
        (
            "[{\"port\": -1}]",
            "line 1, column 12: \"-1\" is not a port",
        ),
        (
            "[{\"port\": \"80\"}]",
            "line 1, column 14: invalid type: string \"80\", expected a number",
        ),
        (
            "[{\"interface\": \"a b\"}]",
            "line 1, column 20: \"a b\" cannot be an interface's name",
        ),
        (
            "[{\"action\": \"drop\"}]",
            "line 1, column 18: unknown variant `drop`, expected `bypass` or",
        ),
        (
            "[{\"expires\": \"noon\"}]",
            "line 1, column 19: \"noon\" is not a moment",
        ),
        (
            "[{\"comment\": \"a\\nb\"}]",
            "line 1, column 19: the comment has a control character",
        ),
        (
            "[{\"port\": 80, \"port\": 81}]",
            "line 1, column 20: duplicate field `port`",
        ),
        (
            "[{\"ports\": 80}]",
            "line 1, column 9: unknown field `ports`, expected one of",
        ),
        (
            "[{}]",
            "line 1, column 3: an entry needs a destination, a source, a port or an",
        ),
        (
            "[\n{\"action\": \"bypass\"}\n]",
            "line 2, column 20: an entry needs",
        ),
        (
            "[{\"destination\": \"any\"}]",
            "line 1, column 23: entry any covers every connection",
        ),
        (
            "[\n{\"destination\": \"10.0.0.1\",\n\"source\": \"::1\"}\n]",
            "line 3, column 16: \
          destination 10.0.0.1/32 and source ::1/128 are of different families",
        ),
        (
            "[7]",
            "line 1, column 2: invalid type: integer `7`, expected an entry: an object",
        ),
        ("{}", "line 1, column 2: missing field `entries`"),
        (
            "{\"entries\": {}}",
            "line 1, column 12: invalid type: map, expected an array",
        ),
        (
            "{\"entries\": [], \"entries\": []}",
            "line 1, column 25: duplicate field `entries`",
        ),
        (
            "{\"version\": 1}",
            "line 1, column 10: unknown field `version`, expected `entries`",
        ),
        ("[] x", "line 1, column 4: trailing characters"),
        ("[", "line 1, column 1: EOF while parsing a list"),
        ("", "line 1, column 0: EOF while parsing a value"),
    ] {
        let told = error(text);
        assert!(told.starts_with(message), "{text}\n  {told}\n  {message}");
    }
}

#[test]
fn said_twice() {
    let text = "[{\"port\": 80}, {\"port\": 81},\n{\"port\": 80, \"comment\": \"\"}]";
    let parsed = parse(text, &Options::default()).unwrap();
    assert_eq!(parsed.entries.len(), 2);
    assert_eq!(parsed.notices.duplicates, Notice { count: 1, first: 3 });
    assert_eq!(
        error("[{\"port\": 80}, {\"port\": 81},\n{\"port\": 80, \"comment\": \"x\"}\n]"),
        "line 2, column 28: entry any port 80 says something else as entry number 1; leave one of \
         the two"
    );
}

#[test]
fn options_are_heeded() {
    let text = "[{\"destination\": \"any\"}, {\"source\": \"10.0.0.1/8\"},\n \
                {\"port\": 80, \"expires\": \"2026-01-01T00:00:00Z\"}]";
    let now = at("2026-01-01T00:00:00Z");
    let mut options = Options {
        force: true,
        host_bits: HostBits::Normalise,
        expired: Expired::Skip(now),
    };
    let parsed = parse(text, &options).unwrap();
    assert_eq!(parsed.entries, [entry("any"), entry("any src 10.0.0.0/8")]);
    assert_eq!(parsed.notices.normalised, Notice { count: 1, first: 2 });
    assert_eq!(parsed.notices.expired, Notice { count: 1, first: 3 });
    options.expired = Expired::Refuse(now);
    let error = parse(text, &options).unwrap_err();
    assert_eq!(error.line, 2);
    assert!(error.message.contains("which is past"), "{error}");
}

#[test]
fn the_format_is_seen_at_the_first_thing() {
    for json in ["[]", " \n{}", "\u{feff}["] {
        assert_eq!(sniff(json), Format::Json);
    }
    for text in ["", "# [\n", "::1", "any"] {
        assert_eq!(sniff(text), Format::Text);
    }
    let options = Options::default();
    assert_eq!(
        parse_any("[{\"port\":80}]", &options),
        parse_any("any port 80", &options)
    );
}

#[test]
fn one_entry_a_line_is_written() {
    assert_eq!(write([]), "[]\n");
    assert_eq!(
        write(&[entry("any"), entry("192.0.2.1 # x")]),
        "[\n  {\"destination\":\"any\",\"source\":null,\"port\":null,\"interface\":null,\
         \"action\":\"bypass\",\"expires\":null,\"comment\":null,\"owner\":null},\n  \
         {\"destination\":\"192.0.2.1/32\",\"source\":null,\"port\":null,\"interface\":null,\
         \"action\":\"bypass\",\"expires\":null,\"comment\":\"x\",\"owner\":null}\n]\n"
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(entries in any_entries(20)) {
        let text = write(&entries);
        prop_assert_eq!(&parse(&text, &Options::OWN).unwrap().entries, &entries);
        for entry in &entries {
            let value = serde_json::to_value(entry).unwrap();
            prop_assert_eq!(&serde_json::from_value::<Entry>(value).unwrap(), entry);
        }
    }
}
