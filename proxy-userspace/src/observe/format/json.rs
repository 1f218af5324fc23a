//! A request as a line of JSON.

use super::{digits, escape};
use crate::observe::{host::HostLabel, record::AccessRecord};

/// Writes the line, without its end. The keys and their order are a contract; new ones come last.
///
/// What is not UTF-8 becomes U+FFFD, everything else is kept exactly, with JSON's escapes.
pub(super) fn write(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    digits::rfc3339(record.time, out);
    out.extend_from_slice(b"\",\"client\":\"");
    digits::address(record.client.0.ip(), out);
    out.extend_from_slice(b"\",\"client_port\":");
    digits::number(record.client.0.port(), out);
    out.extend_from_slice(b",\"origin\":\"");
    digits::address(record.origin.0.ip(), out);
    out.extend_from_slice(b"\",\"origin_port\":");
    digits::number(record.origin.0.port(), out);
    let spoofed = record.spoofed.map(|spoofed| spoofed.0.port());
    number(b",\"spoofed_port\":", spoofed, out);
    text(b",\"method\":", record.method, out);
    text(b",\"host\":", record.host, out);
    text(b",\"target\":", record.target, out);
    number(b",\"status\":", record.status, out);
    number(b",\"bytes_in\":", Some(record.bytes_in), out);
    number(b",\"bytes_out\":", Some(record.bytes_out), out);
    out.extend_from_slice(b",\"duration_ms\":");
    digits::milliseconds(record.duration, out);
    word(b",\"reason\":", Some(record.reason.as_str()), out);
    let host_check = record.host_check.map(HostLabel::as_str);
    word(b",\"host_check\":", host_check, out);
    word(b",\"sni\":", record.sni, out);
    word(b",\"rule\":", record.rule, out);
    text(b",\"user_agent\":", record.user_agent, out);
    text(b",\"referer\":", record.referer, out);
    text(b",\"content_type\":", record.content_type, out);
    out.push(b'}');
}

const NULL: &[u8] = b"null";

fn number(key: &[u8], value: Option<impl Into<u64>>, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    match value {
        Some(value) => digits::number(value, out),
        None => out.extend_from_slice(NULL),
    }
}

fn word(key: &[u8], value: Option<&str>, out: &mut Vec<u8>) {
    text(key, value.map(str::as_bytes), out);
}

fn text(key: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    match value {
        Some(value) => {
            out.push(b'"');
            escape::json(value, out);
            out.push(b'"');
        }
        None => out.extend_from_slice(NULL),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{addr::ClientAddr, observe::record::example as record, reason::Reason};

    fn line(record: &AccessRecord<'_>) -> String {
        let mut line = Vec::new();
        write(record, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn the_keys_and_their_order_are_a_contract() {
        assert_eq!(
            line(&record()),
            "{\"time\":\"2026-01-31T08:15:00.042Z\",\"client\":\"10.0.0.7\",\
             \"client_port\":40000,\"origin\":\"2001:db8::1\",\"origin_port\":80,\
             \"spoofed_port\":10001,\"method\":\"GET\",\"host\":\"example.com\",\
             \"target\":\"/a?b=c\",\"status\":200,\"bytes_in\":78,\"bytes_out\":1234567890123,\
             \"duration_ms\":12.345,\"reason\":\"served\",\"host_check\":\"unverified\",\
             \"sni\":null,\"rule\":null,\"user_agent\":\"curl/8\",\"referer\":null,\
             \"content_type\":\"text/html; charset=utf-8\"}"
        );
    }

    #[test]
    fn what_is_unknown_is_null() {
        let record = AccessRecord {
            spoofed: None,
            method: None,
            host: None,
            target: None,
            status: None,
            reason: Reason::HeadTimeout,
            ..record()
        };
        let json: serde_json::Value = serde_json::from_str(&line(&record)).unwrap();
        for key in ["spoofed_port", "method", "host", "target", "status"] {
            assert_eq!(json.get(key), Some(&serde_json::Value::Null), "{key}");
        }
        assert_eq!(json["reason"], "head-timeout");
    }

    #[test]
    fn every_text_survives_on_one_line() {
        let target = "/\"\\\u{0}\u{1f}\n\r\t\u{7f}\u{2028}ü\u{1f980}</script>";
        let line = line(&AccessRecord {
            target: Some(target.as_bytes()),
            ..record()
        });
        assert!(!line.contains(|c: char| c < ' '));
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["target"], target);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        let line = line(&AccessRecord {
            host: Some(b"a\xffb"),
            ..record()
        });
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["host"], "a\u{fffd}b");
    }

    #[test]
    fn mapped_addresses_are_told_as_ipv4() {
        let client = ClientAddr("[::ffff:10.0.0.7]:40000".parse().unwrap());
        let line = line(&AccessRecord { client, ..record() });
        assert!(line.contains("\"client\":\"10.0.0.7\""), "{line}");
    }

    proptest! {
        /// As a reader of JSON has it.
        #[test]
        fn any_octets_come_back(target in prop::collection::vec(any::<u8>(), 0..64)) {
            let line = line(&AccessRecord { target: Some(&target), ..record() });
            let json: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(json["target"].as_str().unwrap(), String::from_utf8_lossy(&target));
            prop_assert_eq!(json["duration_ms"].as_f64(), Some(12.345));
        }
    }
}
