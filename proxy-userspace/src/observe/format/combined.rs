//! The combined format of Apache and NCSA:
//! `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`.

use std::{io::Write as _, time::SystemTime};

use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::escape;
use crate::observe::record::AccessRecord;

/// Writes the line, without its end. With `extra` one more quoted word follows.
pub(super) fn write(record: &AccessRecord<'_>, extra: bool, out: &mut Vec<u8>) {
    let _ = write!(
        out,
        "{} - - [{}] \"",
        record.client.0.ip().to_canonical(),
        clf_time(record.time),
    );
    match (record.method, record.target) {
        (Some(method), Some(target)) => {
            escape::quoted(method, out);
            out.push(b' ');
            escape::quoted(target, out);
            let _ = write!(out, " HTTP/1.{}", record.minor.unwrap_or(1));
        }
        // What there is of a line that could not be read.
        (_, Some(line)) => escape::quoted(line, out),
        (_, None) => out.push(b'-'),
    }
    out.extend_from_slice(b"\" ");
    match record.status {
        Some(status) => {
            let _ = write!(out, "{status:03}");
        }
        None => out.push(b'-'),
    }
    match record.bytes_out.saturating_sub(record.head_out) {
        0 => out.extend_from_slice(b" -"),
        body => {
            let _ = write!(out, " {body}");
        }
    }
    for field in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        escape::quoted(field.unwrap_or(b"-"), out);
        out.push(b'"');
    }
    if extra {
        let _ = write!(out, " \"{} ", record.client.0.port());
        match record.spoofed {
            Some(spoofed) => {
                let _ = write!(out, "{}", spoofed.0.port());
            }
            None => out.push(b'-'),
        }
        let _ = write!(out, " {}\"", record.reason);
    }
}

/// `10/Oct/2000:13:55:36 +0000`
fn clf_time(time: SystemTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    OffsetDateTime::from(time)
        .format(FORMAT)
        .unwrap_or_default()
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
