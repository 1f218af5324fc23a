//! Max-Forwards: how far a TRACE or OPTIONS goes (RFC 9110 §7.6.2), and what the last recipient
//! answers.

use bytes::BufMut;

use crate::http::{
    field::{Field, Fields},
    syntax::{MAX_LENGTH, decimal},
};

/// What Max-Forwards says, as its lines are noted one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxForwards {
    lines: usize,
    /// None if it is no number.
    value: Option<u64>,
}

impl MaxForwards {
    /// Takes note of `field`, a Max-Forwards.
    pub(super) fn note(&mut self, field: &Field<'_>) {
        self.lines += 1;
        self.value = number(field.value);
    }

    /// What it says to a request with `method`: nothing, but for TRACE and OPTIONS.
    ///
    /// One that has no number, or two, is refused there: the next recipient might count from
    /// another one, and the request would go farther than it should.
    pub(super) fn check(self, method: &[u8]) -> Result<Option<u64>, &'static str> {
        match (self.lines, self.value) {
            (0, _) => Ok(None),
            _ if !matches!(method, b"TRACE" | b"OPTIONS") => Ok(None),
            (1, Some(value)) => Ok(Some(value)),
            (1, None) => Err("malformed Max-Forwards"),
            _ => Err("more than one Max-Forwards"),
        }
    }
}

/// `1*DIGIT`; no number is too large, as we may lower it to the largest that we know.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(decimal(value).unwrap_or(MAX_LENGTH))
}

/// Writes the answer to a TRACE: its own head as it came, `line` and the fields that are not
/// likely to be secret (RFC 9110 §9.3.8).
pub(super) fn write_trace(buf: &[u8], line: &[u8], fields: Fields<'_, '_>, out: &mut impl BufMut) {
    let mut seen = line.to_vec();
    for field in fields.filter(|field| !is_sensitive(field.name)) {
        seen.extend_from_slice(field.line.of(buf));
    }
    seen.extend_from_slice(b"\r\n");
    let head = format!(
        "HTTP/1.1 200 OK\r\n\
         Content-Type: message/http\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\r\n",
        seen.len()
    );
    out.put_slice(head.as_bytes());
    out.put_slice(&seen);
}

/// Writes the answer to an OPTIONS: we have no options of our own to tell of.
pub(super) fn write_options(out: &mut impl BufMut) {
    out.put_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

/// What names of fields with credentials have in them: Cookie, Authorization,
/// Proxy-Authorization, X-Api-Key, X-CSRF-Token and the like.
const SENSITIVE: [&[u8]; 7] = [
    b"auth", b"cookie", b"key", b"passw", b"secret", b"session", b"token",
];

fn is_sensitive(name: &str) -> bool {
    SENSITIVE.iter().any(|part| {
        let mut windows = name.as_bytes().windows(part.len());
        windows.any(|window| window.eq_ignore_ascii_case(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"010"), Some(10));
        assert_eq!(number(b"99999999999999999999999"), Some(MAX_LENGTH));
        for value in ["", "-1", "+1", "1, 1", "1 1", "0x1", "1.0", "one"] {
            assert_eq!(number(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn secrets() {
        for name in [
            "Cookie",
            "COOKIE2",
            "Authorization",
            "Proxy-Authorization",
            "X-Auth-Token",
            "x-api-key",
            "X-Amz-Security-Token",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in [
            "Host",
            "Via",
            "User-Agent",
            "X-Forwarded-For",
            "Max-Forwards",
        ] {
            assert!(!is_sensitive(name), "{name}");
        }
    }
}
