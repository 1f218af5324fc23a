//! How a request's line in the access log looks.

mod combined;
mod digits;
mod escape;
mod fields;
mod json;
mod redact;
mod squid;

pub(super) use fields::FIELD_END;

use super::record::AccessRecord;

/// Which line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON object.
    #[default]
    Json,
    /// Squid's native format.
    Squid,
    /// The combined format of Apache and NCSA.
    Combined,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Which line.
    pub format: Format,
    /// Leave out what stands behind the `?` or `#` of a URL, and whom it names before an `@`.
    pub redact: bool,
    /// End the lines of Squid and Combined with what these formats have no place for: the
    /// client's port, the spoofed port and the reason. Analysers stop reading before.
    pub extra: bool,
    /// Put fields of their own before the line, for a sink that has them: the journal.
    pub fields: bool,
}

impl Style {
    /// Appends the line, its end included, to `out`.
    pub fn write(&self, record: &AccessRecord<'_>, out: &mut Vec<u8>) {
        let (target, referer);
        let mut record = *record;
        if self.redact {
            let understood = record.method.is_some();
            let redacted = if understood {
                redact::url
            } else {
                redact::request_line
            };
            target = record.target.map(redacted);
            referer = record.referer.map(redact::url);
            record.target = target.as_deref();
            record.referer = referer.as_deref();
        }
        if self.fields {
            fields::write(&record, out);
        }
        match self.format {
            Format::Json => json::write(&record, out),
            Format::Squid => squid::write(&record, self.extra, out),
            Format::Combined => combined::write(&record, self.extra, out),
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::example;

    fn line(style: Style, record: &AccessRecord<'_>) -> String {
        let mut out = Vec::new();
        style.write(record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn redaction_holds_in_every_format() {
        let record = AccessRecord {
            target: Some(b"/a?secret"),
            referer: Some(b"http://b.example/?secret"),
            ..example()
        };
        for format in [Format::Json, Format::Squid, Format::Combined] {
            let style = Style {
                format,
                ..Style::default()
            };
            assert!(line(style, &record).contains("secret"));
            let style = Style {
                redact: true,
                ..style
            };
            let refused = AccessRecord {
                method: None,
                target: Some(b"GET /a?b=c password=secret HTTP/1.1"),
                ..record
            };
            for record in [record, refused] {
                let line = line(style, &record);
                assert!(!line.contains("secret") && line.contains("/a?"), "{line}");
            }
        }
    }

    #[test]
    fn every_line_is_one_line_whatever_is_in_it() {
        let nasty: Vec<u8> = (0..=255).collect();
        let record = AccessRecord {
            target: Some(&nasty),
            host: Some(&nasty),
            method: Some(&nasty),
            user_agent: Some(&nasty),
            referer: Some(&nasty),
            content_type: Some(&nasty),
            ..example()
        };
        for format in [Format::Json, Format::Squid, Format::Combined] {
            let style = Style {
                format,
                extra: true,
                ..Style::default()
            };
            let line = line(style, &record);
            let (end, rest) = line.as_bytes().split_last().unwrap();
            assert_eq!(*end, b'\n');
            assert!(!rest.iter().any(|byte| *byte < b' '), "{line:?}");
        }
    }

    #[test]
    fn the_journal_has_fields_before_the_line() {
        let style = Style {
            fields: true,
            ..Style::default()
        };
        let line = line(style, &example());
        let parts: Vec<_> = line.split('\u{1f}').collect();
        assert_eq!(parts.len(), 11);
        assert_eq!(parts[0], "WEIR_CLIENT=10.0.0.7");
        assert!(parts[10].starts_with("{\"time\":"), "{line}");
    }
}
