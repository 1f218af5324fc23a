//! Octets that a line of text must not hold as they are.

/// As in a URL: SP, controls, DEL and everything beyond become `%XX`, in capitals as Squid has
/// them.
pub(super) fn percent(bytes: &[u8], out: &mut Vec<u8>) {
    escaped(bytes, u8::is_ascii_graphic, out, |byte, out| {
        out.push(b'%');
        hex(byte, b"0123456789ABCDEF", out);
    });
}

/// As Apache does within quotes (`ap_escape_logitem`): `\"`, `\\`, C's letters, and `\xhh` for
/// the rest that is not printable ASCII.
pub(super) fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    escaped(bytes, is_plain, out, |byte, out| {
        let letter = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0b => b'v',
            _ => {
                out.extend_from_slice(b"\\x");
                hex(byte, b"0123456789abcdef", out);
                return;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    });
}

/// As within a string of JSON (RFC 8259 §7); what is not UTF-8 becomes U+FFFD.
pub(super) fn json(bytes: &[u8], out: &mut Vec<u8>) {
    if let Ok(text) = str::from_utf8(bytes) {
        return json_text(text, out);
    }
    for chunk in bytes.utf8_chunks() {
        json_text(chunk.valid(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn json_text(text: &str, out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| !byte.is_ascii_control() && !matches!(byte, b'"' | b'\\');
    escaped(text.as_bytes(), is_plain, out, |byte, out| {
        let letter = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                out.extend_from_slice(b"\\u00");
                hex(byte, b"0123456789abcdef", out);
                return;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    });
}

/// Copies what is plain as it is, run by run, and gives the rest to `escape`.
fn escaped(
    bytes: &[u8],
    is_plain: impl Fn(&u8) -> bool,
    out: &mut Vec<u8>,
    escape: impl Fn(u8, &mut Vec<u8>),
) {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| !is_plain(byte)) {
        out.extend_from_slice(&rest[..at]);
        escape(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn hex(byte: u8, digits: &[u8; 16], out: &mut Vec<u8>) {
    out.push(digits[usize::from(byte >> 4)]);
    out.push(digits[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let mut out = Vec::new();
        percent(b"/a b\x7f\xc3\"%20", &mut out);
        assert_eq!(out, b"/a%20b%7F%C3\"%20");
        out.clear();
        quoted(b"a \"b\" \\ \n\x01\xe4", &mut out);
        assert_eq!(out, br#"a \"b\" \\ \n\x01\xe4"#);
        out.clear();
        json(b"\"\\/ \n\r\t\x08\x1f\x7f\xc3\xbc\xff", &mut out);
        let expected = "\\\"\\\\/ \\n\\r\\t\\u0008\\u001f\\u007fü\u{fffd}";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
