//! Host and port as the target and Host name them.

/// Is `value` a `Host` that can be read in one way: empty, or `uri-host [ ":" port ]`?
pub(super) fn is_valid_host(value: &[u8]) -> bool {
    value.is_empty() || Authority::parse(value).is_some()
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authority<'b> {
    pub(super) host: &'b [u8],
    /// None if absent or empty, which mean the same (RFC 3986 §6.2.3).
    pub(super) port: Option<u16>,
}

impl<'b> Authority<'b> {
    pub(super) fn parse(bytes: &'b [u8]) -> Option<Self> {
        let host_len = if bytes.first() == Some(&b'[') {
            bytes.iter().position(|&byte| byte == b']')? + 1
        } else {
            bytes
                .iter()
                .position(|&byte| byte == b':')
                .unwrap_or(bytes.len())
        };
        let (host, rest) = bytes.split_at(host_len);
        let valid = match host {
            [b'[', inner @ .., b']'] => is_ip_literal(inner),
            _ => is_reg_name(host),
        };
        let port = match rest {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        valid.then_some(Self { host, port })
    }
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The inside of the brackets: an IPv6 address, or what RFC 3986 keeps for later ones.
fn is_ip_literal(inner: &[u8]) -> bool {
    let is_literal = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    inner.contains(&b':') && inner.iter().all(is_literal)
}

/// Not empty, and without the comma that RFC 3986 would allow: `a,b` is also what becomes of two
/// Host fields that somebody combined.
fn is_reg_name(host: &[u8]) -> bool {
    let mut rest = host;
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                tail
            }
            (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~', _) => tail,
            (b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=', _) => tail,
            _ => return false,
        };
    }
    !host.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for host in [
            "",
            "a",
            "a.b:80",
            "a_b",
            "127.0.0.1",
            "[::1]",
            "[::1]:80",
            "a:",
            "%61",
            "a.",
        ] {
            assert!(is_valid_host(host.as_bytes()), "{host}");
        }
        let refused = [
            "a b", "a/b", "a@b", "a,b", "a:b", "a:80:80", "a:99999", "a:+80", ":80", "[::1", "[]",
            "::1", "[::1]x", "[g::]", "a\\b", "a?b", "a#b", "ä", "%6", "a\tb", "\"a\"",
        ];
        for host in refused {
            assert!(!is_valid_host(host.as_bytes()), "{host}");
        }
    }
}
