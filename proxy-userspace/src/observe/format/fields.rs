//! Fields of their own before a line, for a sink that has them: the journal.

use std::{fmt::Display, io::Write as _};

use crate::observe::{host::HostLabel, record::AccessRecord};

/// Ends each field, and so divides them from the line. Every format escapes it.
pub(in crate::observe) const FIELD_END: u8 = 0x1f;

/// Writes `WEIR_CLIENT` and so on, as the journal's fields are called, without what is not known.
/// What is long, or as secret as a query, is in the line only.
pub(super) fn write(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    field("WEIR_CLIENT", record.client.0.ip().to_canonical(), out);
    field("WEIR_CLIENT_PORT", record.client.0.port(), out);
    field("WEIR_ORIGIN", record.origin.0.ip().to_canonical(), out);
    field("WEIR_ORIGIN_PORT", record.origin.0.port(), out);
    if let Some(spoofed) = record.spoofed {
        field("WEIR_SPOOFED_PORT", spoofed.0.port(), out);
    }
    text("WEIR_METHOD", record.method, out);
    text("WEIR_HOST", record.host, out);
    if let Some(status) = record.status {
        field("WEIR_STATUS", status, out);
    }
    field("WEIR_REASON", record.reason, out);
    let host_check = record.host_check.map(HostLabel::as_str);
    for (name, value) in [
        ("WEIR_HOST_CHECK", host_check),
        ("WEIR_SNI", record.sni),
        ("WEIR_RULE", record.rule),
    ] {
        text(name, value.map(str::as_bytes), out);
    }
}

fn field(name: &str, value: impl Display, out: &mut Vec<u8>) {
    let _ = write!(out, "{name}={value}");
    out.push(FIELD_END);
}

/// Control octets, which none of them should have, become question marks.
fn text(name: &str, value: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(value) = value else { return };
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    let printable = |&byte: &u8| if byte.is_ascii_control() { b'?' } else { byte };
    out.extend(value.iter().map(printable));
    out.push(FIELD_END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{observe::record::example, reason::Reason};

    fn fields(record: &AccessRecord<'_>) -> Vec<String> {
        let mut out = Vec::new();
        write(record, &mut out);
        assert_eq!(out.pop(), Some(FIELD_END));
        let text = String::from_utf8(out).unwrap();
        text.split('\u{1f}').map(str::to_owned).collect()
    }

    #[test]
    fn all_of_them() {
        let record = AccessRecord {
            sni: Some("a.example"),
            rule: Some("no-ads"),
            ..example()
        };
        assert_eq!(
            fields(&record),
            [
                "WEIR_CLIENT=10.0.0.7",
                "WEIR_CLIENT_PORT=40000",
                "WEIR_ORIGIN=2001:db8::1",
                "WEIR_ORIGIN_PORT=80",
                "WEIR_SPOOFED_PORT=10001",
                "WEIR_METHOD=GET",
                "WEIR_HOST=example.com",
                "WEIR_STATUS=200",
                "WEIR_REASON=served",
                "WEIR_HOST_CHECK=unverified",
                "WEIR_SNI=a.example",
                "WEIR_RULE=no-ads",
            ]
        );
    }

    #[test]
    fn none_ends_within_its_value() {
        let record = AccessRecord {
            method: None,
            host: Some(b"a\n\x1fb"),
            spoofed: None,
            status: None,
            host_check: None,
            reason: Reason::BadRequest,
            ..example()
        };
        assert_eq!(
            fields(&record)[4..],
            ["WEIR_HOST=a??b", "WEIR_REASON=bad-request"]
        );
    }
}
