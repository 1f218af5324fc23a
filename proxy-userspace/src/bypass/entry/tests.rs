use super::*;

fn spec(text: &str) -> Result<String, String> {
    EntrySpec::parse(text, false)
        .map(|EntrySpec(prefix)| prefix.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn addresses_and_prefixes_are_read() {
    assert_eq!(spec("192.0.2.7").as_deref(), Ok("192.0.2.7/32"));
    assert_eq!(spec("192.0.2.0/24").as_deref(), Ok("192.0.2.0/24"));
    assert_eq!(spec("2001:db8::1").as_deref(), Ok("2001:db8::1/128"));
    assert_eq!(spec("2001:DB8:0::/32").as_deref(), Ok("2001:db8::/32"));
    assert_eq!(spec("128.0.0.0/1").as_deref(), Ok("128.0.0.0/1"));
}

#[test]
fn what_is_no_prefix_is_named() {
    for text in [
        "",
        "example.com",
        "192.0.2",
        "192.0.2.0/33",
        "fe80::1%eth0",
        " 192.0.2.7",
    ] {
        let error = spec(text).unwrap_err();
        assert!(
            error.starts_with(&format!("\"{text}\" is neither")),
            "{error}"
        );
    }
}

#[test]
fn host_bits_are_refused_with_the_right_prefix() {
    assert_eq!(
        spec("192.0.2.7/24").unwrap_err(),
        "prefix 192.0.2.7/24 has host bits set; \
         write 192.0.2.0/24, or 192.0.2.7 for the address"
    );
    assert!(
        spec("2001:db8::1/64")
            .unwrap_err()
            .contains("write 2001:db8::/64")
    );
    assert!(spec("10.0.0.1/0").unwrap_err().contains("write 0.0.0.0/0"));
}

#[test]
fn a_whole_family_has_to_be_forced() {
    for text in ["0.0.0.0/0", "::/0"] {
        assert!(spec(text).unwrap_err().contains("--yes"));
        assert!(EntrySpec::parse(text, true).is_ok());
    }
    assert!(
        EntrySpec::parse("10.0.0.1/0", true).is_err(),
        "host bits are not forced"
    );
}

#[test]
fn mapped_addresses_are_refused_with_the_right_one() {
    let error = spec("::ffff:192.0.2.7").unwrap_err();
    assert!(
        error.ends_with("is never seen on the wire; write 192.0.2.7/32"),
        "{error}"
    );
    assert!(
        spec("::ffff:192.0.2.0/120")
            .unwrap_err()
            .ends_with("write 192.0.2.0/24")
    );
    assert_eq!(
        spec("::/64").as_deref(),
        Ok("::/64"),
        "wider than the mapped range"
    );
}

#[test]
fn the_json_has_every_key() {
    let entry = EntrySpec::parse("192.0.2.0/24", false)
        .unwrap()
        .destination(None);
    let json = r#"{"destination":"192.0.2.0/24","source":null,"list":"manual","comment":null}"#;
    assert_eq!(serde_json::to_string(&entry).unwrap(), json);
    assert_eq!(serde_json::from_str::<Entry>(json).unwrap(), entry);

    let entry = EntrySpec::parse("::1", false)
        .unwrap()
        .source(Some("a \"b\"".into()));
    let json = r#"{"destination":null,"source":"::1/128","list":"manual","comment":"a \"b\""}"#;
    assert_eq!(serde_json::to_string(&entry).unwrap(), json);
    assert_eq!(serde_json::from_str::<Entry>(json).unwrap(), entry);
}

#[test]
fn json_is_checked_as_strictly_as_words() {
    let read = |destination: &str, source: &str| {
        let json = format!(
            r#"{{"destination":{destination},"source":{source},"list":"manual","comment":null}}"#
        );
        serde_json::from_str::<Entry>(&json).map_err(|error| error.to_string())
    };
    assert!(
        read("\"10.0.0.0/8\"", "\"10.0.0.0/8\"")
            .unwrap_err()
            .contains("yet")
    );
    assert!(
        read("null", "null")
            .unwrap_err()
            .contains("needs a destination or a source")
    );
    assert!(
        read("\"10.0.0.1/8\"", "null")
            .unwrap_err()
            .contains("write 10.0.0.0/8")
    );
    assert!(
        read("null", "\"::ffff:10.0.0.1/128\"")
            .unwrap_err()
            .contains("10.0.0.1/32")
    );
    assert!(
        read("\"0.0.0.0/0\"", "null").is_ok(),
        "forced when it was made"
    );
    let more = r#"{"destination":null,"source":"::1/128","list":"manual","comment":null,"x":1}"#;
    assert!(serde_json::from_str::<Entry>(more).is_err());
}

#[test]
fn entries_name_themselves() {
    let spec = EntrySpec::parse("192.0.2.0/24", false).unwrap();
    assert_eq!(
        spec.destination(None).to_string(),
        "destination 192.0.2.0/24"
    );
    assert_eq!(spec.source(None).to_string(), "source 192.0.2.0/24");
}
