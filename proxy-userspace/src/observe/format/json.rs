//! A request as a line of JSON.

use std::{
    borrow::Cow,
    io,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::observe::{host::HostLabel, record::AccessRecord};

/// Writes the line, without its end. The keys and their order are a contract; new ones come last.
///
/// What is not UTF-8 becomes U+FFFD, everything else is kept exactly, with JSON's escapes.
pub(super) fn write(record: &AccessRecord<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    let line = Line {
        time: rfc3339(record.time),
        client: record.client.0.ip().to_canonical(),
        client_port: record.client.0.port(),
        origin: record.origin.0.ip().to_canonical(),
        origin_port: record.origin.0.port(),
        spoofed_port: record.spoofed.map(|spoofed| spoofed.0.port()),
        method: record.method.map(String::from_utf8_lossy),
        host: record.host.map(String::from_utf8_lossy),
        target: record.target.map(String::from_utf8_lossy),
        status: record.status,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        duration_ms: milliseconds(record.duration),
        reason: record.reason.as_str(),
        host_check: record.host_check.map(HostLabel::as_str),
        sni: record.sni,
        rule: record.rule,
        user_agent: record.user_agent.map(String::from_utf8_lossy),
        referer: record.referer.map(String::from_utf8_lossy),
        content_type: record.content_type.map(String::from_utf8_lossy),
    };
    serde_json::to_writer(out, &line).map_err(io::Error::from)
}

/// The JSON, in its order.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    client: IpAddr,
    client_port: u16,
    origin: IpAddr,
    origin_port: u16,
    spoofed_port: Option<u16>,
    method: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
    target: Option<Cow<'a, str>>,
    status: Option<u16>,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: f64,
    reason: &'static str,
    host_check: Option<&'static str>,
    sni: Option<&'a str>,
    rule: Option<&'a str>,
    user_agent: Option<Cow<'a, str>>,
    referer: Option<Cow<'a, str>>,
    content_type: Option<Cow<'a, str>>,
}

/// `2026-01-31T08:15:00.042Z`. Always three decimals: lines sort as text.
fn rfc3339(time: SystemTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    // A clock that stands outside of the years that RFC 3339 can tell is not worth a lost line.
    OffsetDateTime::from(time)
        .format(FORMAT)
        .unwrap_or_default()
}

/// Whole microseconds divided once: the shortest decimal of the result has three places at most.
fn milliseconds(duration: Duration) -> f64 {
    // Exact below 2^53 microseconds, which are 285 years.
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{addr::ClientAddr, observe::record::example as record, reason::Reason};

    fn line(record: &AccessRecord<'_>) -> String {
        let mut line = Vec::new();
        write(record, &mut line).unwrap();
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

    #[test]
    fn times_have_three_decimals() {
        let at = |duration| rfc3339(SystemTime::UNIX_EPOCH + duration);
        assert_eq!(at(Duration::ZERO), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            at(Duration::from_nanos(1_999_999)),
            "1970-01-01T00:00:00.001Z"
        );
        assert_eq!(
            at(Duration::from_millis(1_709_251_199_999)),
            "2024-02-29T23:59:59.999Z"
        );
    }

    #[test]
    fn durations_have_three_decimals_at_most() {
        let written = |duration| serde_json::to_string(&milliseconds(duration)).unwrap();
        assert_eq!(written(Duration::ZERO), "0.0");
        assert_eq!(written(Duration::from_nanos(1_999)), "0.001");
        assert_eq!(written(Duration::from_micros(1_100)), "1.1");
        assert_eq!(written(Duration::from_micros(3_600_000_001)), "3600000.001");
        for micros in (0..100_000_000_u64).step_by(99_991) {
            let text = written(Duration::from_micros(micros));
            let decimals = text
                .split_once('.')
                .map_or(0, |(_, decimals)| decimals.len());
            assert!(decimals <= 3, "{text}");
        }
    }
}
