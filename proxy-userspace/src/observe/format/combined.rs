//! The combined format of Apache and NCSA:
//! `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`.

use super::{digits, escape};
use crate::observe::record::AccessRecord;

/// Writes the line, without its end. With `extra` one more quoted word follows.
pub(super) fn write(record: &AccessRecord<'_>, extra: bool, out: &mut Vec<u8>) {
    digits::address(record.client.0.ip(), out);
    out.extend_from_slice(b" - - [");
    digits::clf(record.time, out);
    out.extend_from_slice(b"] \"");
    match (record.method, record.target) {
        (Some(method), Some(target)) => {
            escape::quoted(method, out);
            out.push(b' ');
            escape::quoted(target, out);
            out.extend_from_slice(b" HTTP/1.");
            digits::number(record.minor.unwrap_or(1), out);
        }
        // What there is of a line that could not be read.
        (_, Some(line)) => escape::quoted(line, out),
        (_, None) => out.push(b'-'),
    }
    out.extend_from_slice(b"\" ");
    match record.status {
        Some(status) => digits::padded(status.into(), 3, b'0', out),
        None => out.push(b'-'),
    }
    out.push(b' ');
    match record.bytes_out.saturating_sub(record.head_out) {
        0 => out.push(b'-'),
        body => digits::number(body, out),
    }
    for field in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        escape::quoted(field.unwrap_or(b"-"), out);
        out.push(b'"');
    }
    if extra {
        out.extend_from_slice(b" \"");
        digits::number(record.client.0.port(), out);
        out.push(b' ');
        digits::port(record.spoofed.map(|spoofed| spoofed.0), out);
        out.push(b' ');
        out.extend_from_slice(record.reason.as_str().as_bytes());
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{observe::record::example, reason::Reason};

    fn line(record: &AccessRecord<'_>, extra: bool) -> String {
        let mut out = Vec::new();
        write(record, extra, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_apache_writes_it() {
        assert_eq!(
            line(&example(), false),
            "10.0.0.7 - - [31/Jan/2026:08:15:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 1234567890000 \
             \"-\" \"curl/8\""
        );
        assert!(line(&example(), true).ends_with(" \"curl/8\" \"40000 10001 served\""));
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        let record = AccessRecord {
            method: None,
            target: None,
            status: None,
            bytes_out: 0,
            user_agent: None,
            spoofed: None,
            reason: Reason::ClientClosed,
            ..example()
        };
        assert!(line(&record, false).ends_with("] \"-\" - - \"-\" \"-\""));
        assert!(line(&record, true).ends_with(" \"-\" \"40000 - client-closed\""));
    }

    #[test]
    fn quotes_cannot_be_broken_out_of() {
        let record = AccessRecord {
            user_agent: Some(b"\" 200 1 \"\n"),
            ..example()
        };
        assert!(line(&record, false).ends_with(r#" "\" 200 1 \"\n""#));
    }
}
