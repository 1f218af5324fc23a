//! Octets that a line of text must not hold as they are.

/// As in a URL: SP, controls, DEL and everything beyond become `%XX`, in
/// capitals as Squid has them.
pub(super) fn percent(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if byte.is_ascii_graphic() {
            out.push(byte);
        } else {
            out.push(b'%');
            hex(byte, b"0123456789ABCDEF", out);
        }
    }
}

/// As Apache does within quotes (`ap_escape_logitem`): `\"`, `\\`, C's letters, and `\xhh` for
/// the rest that is not printable ASCII.
pub(super) fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        let letter = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0b => b'v',
            b' '..=b'~' => {
                out.push(byte);
                continue;
            }
            _ => {
                out.extend_from_slice(b"\\x");
                hex(byte, b"0123456789abcdef", out);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
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
    }
}
