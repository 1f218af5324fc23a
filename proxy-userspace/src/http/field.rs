//! The fields of a head that was scanned: names and values as httparse reads them.
//!
//! The scan decides what is well-formed, httparse what is name and value. The two were written
//! apart, and a head on which they disagree is not forwarded.

use httparse::{EMPTY_HEADER, Header, Status};

use crate::http::{
    scan::Layout,
    syntax::{Span, trim},
};

/// Fields that fit without an allocation. Requests of browsers have about 20.
const INLINE: usize = 32;

/// Room for the fields of one head.
pub(super) struct FieldTable<'b> {
    inline: [Header<'b>; INLINE],
    spilled: Vec<Header<'b>>,
}

/// One field of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'b> {
    /// The whole line with its CRLF, as offsets into the buffer.
    pub(super) line: Span,
    pub(super) name: &'b str,
    /// Without whitespace around it.
    pub(super) value: &'b [u8],
}

/// The fields of a head in their order.
#[derive(Clone, Debug)]
pub(super) struct Fields<'t, 'b> {
    buf: &'b [u8],
    pos: usize,
    headers: std::slice::Iter<'t, Header<'b>>,
}

impl<'b> FieldTable<'b> {
    pub(super) const fn new() -> Self {
        Self {
            inline: [EMPTY_HEADER; INLINE],
            spilled: Vec::new(),
        }
    }

    /// Divides the head of `layout` in `buf`. `None` if httparse reads it differently.
    pub(super) fn split<'t>(
        &'t mut self,
        buf: &'b [u8],
        layout: &Layout,
    ) -> Option<Fields<'t, 'b>> {
        let room = if layout.count <= INLINE {
            &mut self.inline[..layout.count]
        } else {
            self.spilled.resize(layout.count, EMPTY_HEADER);
            &mut self.spilled[..]
        };
        let section = buf.get(layout.fields()..layout.len)?;
        match httparse::parse_headers(section, room) {
            Ok(Status::Complete((len, headers)))
                if len == section.len() && headers.len() == layout.count =>
            {
                Some(Fields {
                    buf,
                    pos: layout.fields(),
                    headers: headers.iter(),
                })
            }
            _ => None,
        }
    }
}

/// The value of the first field `name` in the head of `layout`, without whitespace around it.
///
/// Looks for the line itself: for one field, that is less than a split of them all.
pub(super) fn first<'b>(buf: &'b [u8], layout: &Layout, name: &str) -> Option<&'b [u8]> {
    let section = buf.get(layout.fields()..layout.len)?;
    section
        .split_inclusive(|&byte| byte == b'\n')
        .find_map(|line| {
            let (found, rest) = line.split_at_checked(name.len())?;
            let value = rest.strip_prefix(b":")?;
            found
                .eq_ignore_ascii_case(name.as_bytes())
                .then(|| trim(value.strip_suffix(b"\r\n").unwrap_or(value)))
        })
}

impl<'b> Iterator for Fields<'_, 'b> {
    type Item = Field<'b>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.headers.next()?;
        let start = self.pos;
        // The scan has let LF through only where a line ends, which is not before all this.
        let least = start + header.name.len() + 1 + header.value.len();
        let rest = self.buf.get(least..)?;
        let lf = rest.iter().position(|&byte| byte == b'\n')?;
        self.pos = least + lf + 1;
        let line = Span::new(start, self.pos);
        Some(Field {
            line,
            name: header.name,
            value: header.value,
        })
    }
}

impl Field<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Where the value is in `buf`, the buffer that the field came from.
    pub(super) fn value_span(&self, buf: &[u8]) -> Span {
        let start = self.line.start + self.name.len() + 1;
        let after_colon = Span::new(start, self.line.end).of(buf);
        let ows = after_colon
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        if self.value.is_empty() {
            return Span::new(start, start);
        }
        Span::new(start + ows, start + ows + self.value.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_values_and_lines() {
        let buf = b"GET / HTTP/1.1\r\nHost: a\r\nX:\t b c \t\r\nEmpty: \r\n\r\n";
        let layout = Layout {
            line: 14,
            count: 3,
            len: buf.len(),
        };
        let mut table = FieldTable::new();
        let fields: Vec<_> = table.split(buf, &layout).unwrap().collect();
        let read: Vec<_> = fields
            .iter()
            .map(|field| (field.name, field.value))
            .collect();
        assert_eq!(
            read,
            [("Host", b"a".as_slice()), ("X", b"b c"), ("Empty", b"")]
        );
        assert_eq!(fields[1].line.of(buf), b"X:\t b c \t\r\n");
        for field in &fields {
            assert_eq!(field.value_span(buf).of(buf), field.value);
        }
        assert!(fields[0].is("hOST") && !fields[0].is("hos"));
        assert_eq!(first(buf, &layout, "HOST"), Some(b"a".as_slice()));
        assert_eq!(first(buf, &layout, "x"), Some(b"b c".as_slice()));
        assert_eq!(first(buf, &layout, "empty"), Some(b"".as_slice()));
        for absent in ["", "Hos", "Hosts", "Host: a", "GET", "\r\n"] {
            assert_eq!(first(buf, &layout, absent), None, "{absent:?}");
        }
        assert_eq!(first(&buf[..20], &layout, "host"), None);
    }

    #[test]
    fn many_fields_spill() {
        let mut buf = b"GET / HTTP/1.1\r\n".to_vec();
        for _ in 0..200 {
            buf.extend_from_slice(b"a: b\r\n");
        }
        buf.extend_from_slice(b"\r\n");
        let layout = Layout {
            line: 14,
            count: 200,
            len: buf.len(),
        };
        let mut table = FieldTable::new();
        assert_eq!(table.split(&buf, &layout).unwrap().count(), 200);
    }

    #[test]
    fn disagreement_is_noticed() {
        let buf = b"GET / HTTP/1.1\r\na: b\r\nc: d\r\n\r\n";
        let layout = Layout {
            line: 14,
            count: 1,
            len: buf.len(),
        };
        assert!(FieldTable::new().split(buf, &layout).is_none());
        let layout = Layout {
            line: 14,
            count: 2,
            len: buf.len() - 2,
        };
        assert!(FieldTable::new().split(buf, &layout).is_none());
    }
}
