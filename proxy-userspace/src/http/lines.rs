//! Field lines, octet by octet, of heads and of trailers.

use crate::http::syntax::{is_text_byte, is_token_byte, text_len, token_len};

/// Strict reader of field lines, for heads and for trailers (RFC 9112 §5, §7.1.2).
#[derive(Debug, Default)]
pub(super) struct FieldLines {
    state: LineState,
}

#[derive(Clone, Copy, Debug, Default)]
enum LineState {
    /// At the first octet of a line.
    #[default]
    Start,
    Name,
    Value,
    /// After the CR that ends a field line.
    ValueLf,
    /// After the CR of the empty line.
    EmptyLf,
}

/// Where [`FieldLines::advance`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// All the input was taken, in the middle of a line.
    Partial,
    /// After the CRLF of a field line.
    Field,
    /// After the empty line that ends the section.
    Empty,
}

impl FieldLines {
    /// Reads `input`, octets not seen before, up to the end of a line; says how many it took.
    pub(super) fn advance(&mut self, input: &[u8]) -> Result<(usize, Line), &'static str> {
        let mut pos = 0;
        while let Some(&byte) = input.get(pos) {
            pos += 1;
            self.state = match (self.state, byte) {
                (LineState::Start, b'\r') => LineState::EmptyLf,
                (LineState::Start, b' ' | b'\t') => {
                    return Err("line begins with whitespace (obs-fold)");
                }
                (LineState::Start, b':') => return Err("field without a name"),
                (LineState::Name, b':') => LineState::Value,
                (LineState::Start | LineState::Name, byte) if is_token_byte(byte) => {
                    pos += token_len(&input[pos..]);
                    LineState::Name
                }
                (LineState::Name, b' ' | b'\t') => return Err("whitespace in or after field name"),
                (LineState::Start | LineState::Name, _) => {
                    return Err("invalid octet in field name");
                }
                (LineState::Value, b'\r') => LineState::ValueLf,
                (LineState::Value, b'\n') => return Err("LF without CR in field"),
                (LineState::Value, byte) if is_text_byte(byte) => {
                    pos += text_len(&input[pos..]);
                    LineState::Value
                }
                (LineState::Value, _) => return Err("control octet in field value"),
                (LineState::ValueLf, b'\n') => {
                    self.state = LineState::Start;
                    return Ok((pos, Line::Field));
                }
                (LineState::EmptyLf, b'\n') => {
                    self.state = LineState::Start;
                    return Ok((pos, Line::Empty));
                }
                (LineState::ValueLf | LineState::EmptyLf, _) => {
                    return Err("CR without LF in field");
                }
            };
        }
        Ok((pos, Line::Partial))
    }
}
