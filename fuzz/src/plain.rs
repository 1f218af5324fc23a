//! A reader of chunked bodies that is not ours.

/// A chunked body, as a reader of RFC 9112 §7.1.3 decodes it who checks nothing else.
#[derive(Debug, PartialEq, Eq)]
pub enum Plain {
    /// Ends after `len` bytes.
    Complete {
        /// With framing.
        len: usize,
        /// Without.
        content: Vec<u8>,
    },
    /// Bytes are missing.
    Incomplete,
    /// Not what the grammar has.
    Malformed,
}

/// Reads the body at the beginning of `body`.
#[must_use]
pub fn read_chunked(body: &[u8]) -> Plain {
    let (mut at, mut content) = (0, Vec::new());
    loop {
        let Some(line) = line(&body[at..]) else {
            return Plain::Incomplete;
        };
        at += line.len() + 2;
        let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let Some(size) = size else {
            return Plain::Malformed;
        };
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let Some(data) = body[at..].get(..size) else {
            return Plain::Incomplete;
        };
        content.extend_from_slice(data);
        at += size;
        match body[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Plain::Incomplete,
            _ => return Plain::Malformed,
        }
    }
    while let Some(line) = line(&body[at..]) {
        at += line.len() + 2;
        if line.is_empty() {
            return Plain::Complete { len: at, content };
        }
    }
    Plain::Incomplete
}

fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some(&bytes[..end])
}
