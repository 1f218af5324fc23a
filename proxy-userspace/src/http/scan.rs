//! Finds the end of a head, and lets nothing through that two readers could divide differently.
//!
//! RFC 9112 allows a recipient to take a bare LF for a line end (§2.2) and to unfold continued
//! lines (§5.2); httparse takes some of these liberties. Of two readers in a row one may and the
//! other may not, so here every octet is looked at once, strictly, before anything else reads the
//! head.

use crate::http::{
    lines::{FieldLines, Line},
    refusal::HeadLimits,
    syntax::{is_text_byte, text_len},
};

/// Progress through a head that arrives in pieces.
///
/// Each octet is looked at once, however small the pieces are. Give it the same buffer again,
/// with more at the end; it starts over by itself once a head was complete.
#[derive(Debug, Default)]
pub struct HeadScanner {
    /// Octets that were looked at.
    pos: usize,
    /// Octets of the start line without its CRLF, once it is complete.
    line: Option<usize>,
    /// The start line ended in a CR, of which the LF is still to come.
    line_cr: bool,
    fields: FieldLines,
    count: usize,
}

/// Where the parts of a complete head are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Length of the start line, without CRLF.
    pub(super) line: usize,
    /// Number of field lines.
    pub(super) count: usize,
    /// Length of the whole head, with the empty line.
    pub(super) len: usize,
}

impl Layout {
    /// Offset of the first field line.
    pub(super) const fn fields(&self) -> usize {
        self.line + 2
    }
}

/// What is wrong with a head, before its direction is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Malformed(&'static str),
    LineTooLong,
    HeadTooLong,
    TooManyFields,
}

impl HeadScanner {
    /// A scanner at the beginning of a head.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Length of the start line as soon as it is complete, and whether this call completed it.
    pub(super) fn start_line(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<(usize, bool)>, Flaw> {
        if let Some(line) = self.line {
            // Another buffer than before, if it is shorter: there is no line in it.
            return Ok((line < buf.len()).then_some((line, false)));
        }
        let seen = within(buf, limits);
        while let Some(&byte) = seen.get(self.pos) {
            match byte {
                b'\n' if self.line_cr => {
                    let line = self.pos - 1;
                    self.line = Some(line);
                    self.pos += 1;
                    return Ok(Some((line, true)));
                }
                _ if self.line_cr => return Err(Flaw::Malformed("CR without LF in start line")),
                b'\r' if self.pos == 0 => return Err(Flaw::Malformed("empty start line")),
                b'\r' => self.line_cr = true,
                b'\n' => return Err(Flaw::Malformed("LF without CR in start line")),
                _ if is_text_byte(byte) => self.pos += text_len(&seen[self.pos + 1..]),
                _ => return Err(Flaw::Malformed("control octet in start line")),
            }
            self.pos += 1;
        }
        if self.pos >= limits.head_bytes {
            Err(Flaw::LineTooLong)
        } else {
            Ok(None)
        }
    }

    /// The layout once the head is complete; to be called after the start line was.
    pub(super) fn head(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<Layout>, Flaw> {
        let Some(line) = self.line else {
            return Ok(None);
        };
        let seen = within(buf, limits);
        loop {
            let (taken, event) = self
                .fields
                .advance(&seen[self.pos.min(seen.len())..])
                .map_err(Flaw::Malformed)?;
            self.pos += taken;
            match event {
                Line::Partial if self.pos >= limits.head_bytes => return Err(Flaw::HeadTooLong),
                Line::Partial => return Ok(None),
                Line::Field if self.count == limits.fields => return Err(Flaw::TooManyFields),
                Line::Field => self.count += 1,
                Line::Empty => {
                    let layout = Layout {
                        line,
                        count: self.count,
                        len: self.pos,
                    };
                    *self = Self::default();
                    return Ok(Some(layout));
                }
            }
        }
    }
}

/// As much of `buf` as a head may fill.
fn within<'b>(buf: &'b [u8], limits: &HeadLimits) -> &'b [u8] {
    &buf[..buf.len().min(limits.head_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        head_bytes: 64,
        fields: 3,
    };

    fn scan(scanner: &mut HeadScanner, buf: &[u8]) -> Result<Option<Layout>, Flaw> {
        scanner.start_line(buf, &LIMITS)?;
        scanner.head(buf, &LIMITS)
    }

    #[test]
    fn layout_of_a_head() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\nC:\r\n\r\nrest";
        let layout = Layout {
            line: 14,
            count: 2,
            len: 28,
        };
        assert_eq!(scan(&mut HeadScanner::new(), head), Ok(Some(layout)));
        assert_eq!(layout.fields(), 16);
    }

    #[test]
    fn byte_by_byte_and_then_the_next_head() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        let mut scanner = HeadScanner::new();
        for _ in 0..2 {
            for len in 0..head.len() {
                assert_eq!(scan(&mut scanner, &head[..len]), Ok(None), "{len}");
            }
            let layout = Layout {
                line: 14,
                count: 1,
                len: head.len(),
            };
            assert_eq!(scan(&mut scanner, head), Ok(Some(layout)));
        }
    }

    #[test]
    fn malformed_lines() {
        let fields = [
            "A: b\nC: d\r\n",
            "A: b\rC: d\r\n",
            "A: b\r\r\n",
            "A: b\r\n c\r\n",
            " A: b\r\n",
            "\tA: b\r\n",
            "A : b\r\n",
            "A\t: b\r\n",
            "A B: c\r\n",
            ": b\r\n",
            "A\r\n",
            "A\n",
            "A: \0\r\n",
            "A: \x0b\r\n",
            "A: \x7f\r\n",
            "A\0: b\r\n",
            "A(: b\r\n",
            "\n",
            "\r\r\n",
        ];
        for fields in fields {
            let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            let verdict = scan(&mut HeadScanner::new(), head.as_bytes());
            assert!(
                matches!(verdict, Err(Flaw::Malformed(_))),
                "{fields:?}: {verdict:?}"
            );
        }
        for line in [
            "GET /\nA: b\r\n\r\n",
            "GET\0\r\n\r\n",
            "GET\r \r\n\r\n",
            "\r\n\r\n",
            "\n",
        ] {
            let verdict = scan(&mut HeadScanner::new(), line.as_bytes());
            assert!(
                matches!(verdict, Err(Flaw::Malformed(_))),
                "{line:?}: {verdict:?}"
            );
        }
    }

    #[test]
    fn obs_text_and_tabs_are_values() {
        let head = b"GET / HTTP/1.1\r\nA: \xc3\xa4\tb \t\r\n\r\n";
        assert!(matches!(scan(&mut HeadScanner::new(), head), Ok(Some(_))));
    }

    #[test]
    fn limits_are_exact() {
        let fill = |len: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(len - 18));
        let mut scanner = HeadScanner::new();
        assert_eq!(
            scan(&mut scanner, fill(64).as_bytes()).map(|l| l.map(|l| l.len)),
            Ok(Some(64))
        );
        let verdict = scan(&mut HeadScanner::new(), fill(65).as_bytes());
        assert_eq!(verdict, Err(Flaw::HeadTooLong));
        let verdict = scan(&mut HeadScanner::new(), fill(67).as_bytes());
        assert_eq!(verdict, Err(Flaw::LineTooLong));
        let three = b"G / HTTP/1.1\r\na:\r\nb:\r\nc:\r\n\r\n";
        assert!(scan(&mut HeadScanner::new(), three).is_ok());
        let four = b"G / HTTP/1.1\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n";
        assert_eq!(
            scan(&mut HeadScanner::new(), four),
            Err(Flaw::TooManyFields)
        );
    }
}
