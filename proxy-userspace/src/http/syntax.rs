//! Octet classes and the small grammar that heads and bodies share (RFC 9110 §5.6).

/// Is `byte` a `tchar` (RFC 9110 §5.6.2)?
pub(super) const fn is_token_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

/// May `byte` stand in a field value, a reason phrase or a chunk extension: HTAB, SP, VCHAR or
/// obs-text (RFC 9110 §5.5)? Control octets, DEL among them, may not.
pub(super) const fn is_text_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & TEXT != 0
}

/// How many of the first octets of `bytes` are text ([`is_text_byte`]).
///
/// Values and targets are most of a head. They are looked at in blocks, which the compiler makes
/// single comparisons of; HTAB is rare enough to be left to the octet-wise rest.
pub(super) fn text_len(bytes: &[u8]) -> usize {
    const BLOCK: usize = 16;
    let mut len = 0;
    while let Some(block) = bytes[len..].first_chunk::<BLOCK>() {
        let plain = |ok, byte: &u8| ok & (*byte >= b' ') & (*byte != 0x7f);
        if !block.iter().fold(true, plain) {
            break;
        }
        len += BLOCK;
    }
    let rest = bytes[len..].iter();
    len + rest.take_while(|&&byte| is_text_byte(byte)).count()
}

/// How many of the first octets of `bytes` may stand in a token.
pub(super) fn token_len(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|&&byte| is_token_byte(byte))
        .count()
}

/// Is `bytes` a `token`: not empty, and nothing but `tchar`?
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Are `left` and `right` the same field name for readers to whom letter case and the difference
/// between `_` and `-` are nothing?
pub(super) fn is_same(left: &[u8], right: &[u8]) -> bool {
    let plain = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    left.iter().map(plain).eq(right.iter().map(plain))
}

/// `value` without the optional whitespace around it (RFC 9110 §5.6.3).
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let is_ows = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = value.iter().position(|byte| !is_ows(byte)) else {
        return &[];
    };
    let end = value
        .iter()
        .rposition(|byte| !is_ows(byte))
        .map_or(start, |last| last + 1);
    &value[start..end]
}

/// The elements of a comma-separated list, trimmed; empty ones are left out (RFC 9110 §5.6.1.2).
///
/// Commas in quoted strings divide too: none of the lists that are read here may hold any.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// `1*DIGIT` as a length.
///
/// `None` for anything else, and for more than `i64::MAX`: a reader that counts in signed numbers
/// must not come to another length than we do (RFC 9110 §8.6 warns of exactly that).
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })?;
    (value <= MAX_LENGTH).then_some(value)
}

/// The longest length that a body or a chunk may announce, bytes. See [`decimal`].
pub(super) const MAX_LENGTH: u64 = i64::MAX as u64;

/// A piece of the caller's buffer, by offsets, so that a head can outlive borrows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The bytes; nothing if `buf` is not the buffer that the span was made for.
    pub(super) fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start..self.end).unwrap_or_default()
    }
}

const TOKEN: u8 = 1;
const TEXT: u8 = 2;

static CLASSES: [u8; 256] = {
    let mut classes = [0u8; 256];
    let mut index = 0u8;
    loop {
        let token = index.is_ascii_alphanumeric()
            || matches!(
                index,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        let text = matches!(index, b'\t' | b' '..=b'~' | 0x80..);
        classes[index as usize] = (token as u8 * TOKEN) | (text as u8 * TEXT);
        if index == u8::MAX {
            break classes;
        }
        index += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octet_classes() {
        for byte in 0..=u8::MAX {
            let separators = b"\"(),/:;<=>?@[\\]{}";
            let token = byte.is_ascii_graphic() && !separators.contains(&byte);
            assert_eq!(is_token_byte(byte), token, "{byte:#x}");
            let text = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
            assert_eq!(is_text_byte(byte), text, "{byte:#x}");
        }
    }

    #[test]
    fn text_ends_at_the_first_other_octet() {
        for len in 0..50 {
            let text = "a\t\u{e4}~ ".repeat(10).into_bytes();
            assert_eq!(text_len(&text[..len]), len);
            for other in [0, b'\n', b'\r', 0x1f, 0x7f] {
                let mut bytes = [b'x'; 50];
                bytes[len] = other;
                assert_eq!(text_len(&bytes), len, "{other:#x}");
            }
        }
    }

    #[test]
    fn whitespace_is_trimmed_around_only() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b""), b"");
    }

    #[test]
    fn lists_skip_empty_elements() {
        let list: Vec<&[u8]> = elements(b", a ,,b\t,c d,").collect();
        assert_eq!(list, [b"a".as_slice(), b"b", b"c d"]);
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"007"), Some(7));
        assert_eq!(decimal(b"9223372036854775807"), Some(MAX_LENGTH));
        let refused = [
            "",
            "+5",
            "-5",
            " 5",
            "5 ",
            "0x5",
            "5,5",
            "5.0",
            "9223372036854775808",
            "99999999999999999999",
        ];
        for digits in refused {
            assert_eq!(decimal(digits.as_bytes()), None, "{digits:?}");
        }
    }
}
