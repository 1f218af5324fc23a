//! The form in which hosts and paths are compared, so that nobody goes around a rule by spelling
//! a name in another way. What is forwarded stays as it came.

use std::{io::Write as _, net::Ipv6Addr};

/// Appends the host of a Host field or an authority as rules see it. Nothing is appended for an
/// empty one.
///
/// Without port and trailing dot, in lower case, percent-encoding undone where it need not be
/// (RFC 3986 §6.2.2), IPv6 addresses in brackets as RFC 5952 writes them.
pub fn normal_host(host: &str, out: &mut Vec<u8>) {
    if let Some(rest) = host.strip_prefix('[') {
        let inner = rest.split(']').next().unwrap_or_default();
        match inner.parse::<Ipv6Addr>() {
            Ok(address) => {
                let _infallible = write!(out, "[{address}]");
            }
            Err(_) => {
                out.push(b'[');
                out.extend(inner.bytes().map(|byte| byte.to_ascii_lowercase()));
                out.push(b']');
            }
        }
        return;
    }
    let start = out.len();
    let mut rest = host.split(':').next().unwrap_or_default().as_bytes();
    while let Some(octet) = Octet::next(&mut rest, is_unreserved) {
        octet.write(out);
    }
    out[start..].make_ascii_lowercase();
    while out.len() > start && out.ends_with(b".") {
        out.pop();
    }
}

/// Appends the path that a request's target names as rules see it: in absolute or origin form
/// what is before the query, `*` for `*`, nothing for the `host:port` of a CONNECT.
///
/// - Percent-encoding is undone for every printable character but `%`, `?` and `#`. RFC 3986
///   §6.2.2.2 would leave delimiters encoded; most origins do not. What stays encoded, and
///   octets beyond ASCII that came bare, have upper-case digits.
/// - `\` and `%5C` are slashes, which they are to browsers and to some origins.
/// - Slashes in a row are one; then dot segments go (RFC 3986 §5.2.4).
///
/// To give it its own result again changes nothing.
pub fn normal_path(target: &[u8], out: &mut Vec<u8>) {
    let mut rest = match path_of(target) {
        Path::Other(text) => return out.extend_from_slice(text),
        Path::Slashed(path) => path,
    };
    let root = out.len();
    out.push(b'/');
    // Where the segment under way begins, behind its slash.
    let mut segment = root + 1;
    while let Some(octet) = Octet::next(&mut rest, is_plain_in_path) {
        if let Octet::Plain(b'/' | b'\\') = octet {
            if !close_dots(out, root, segment) && out.len() > segment {
                out.push(b'/');
            }
            segment = out.len();
        } else {
            octet.write(out);
        }
    }
    close_dots(out, root, segment);
}

/// Ends the segment that begins at `segment`; true if it was a dot segment, which is gone then.
fn close_dots(out: &mut Vec<u8>, root: usize, segment: usize) -> bool {
    match &out[segment..] {
        b"." => out.truncate(segment),
        b".." => {
            let parents = &out[root..segment - 1];
            let parent = parents.iter().rposition(|&byte| byte == b'/');
            out.truncate(parent.map_or(root + 1, |slash| root + slash + 1));
        }
        _ => return false,
    }
    true
}

enum Path<'t> {
    /// Begins with a slash, or is empty, which means the same.
    Slashed(&'t [u8]),
    /// Anything else.
    Other(&'t [u8]),
}

fn path_of(target: &[u8]) -> Path<'_> {
    let before = |text: &[u8], ends: &[u8]| {
        let end = text.iter().position(|byte| ends.contains(byte));
        end.unwrap_or(text.len())
    };
    let target = &target[..before(target, b"?#")];
    if target.starts_with(b"/") {
        return Path::Slashed(target);
    }
    match target.windows(3).position(|window| window == b"://") {
        Some(scheme) => {
            let rest = &target[scheme + 3..];
            Path::Slashed(&rest[before(rest, b"/")..])
        }
        None if target == b"*" => Path::Other(target),
        None => Path::Other(b""),
    }
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Printable, and neither the end of a path nor the sign of an encoding.
const fn is_plain_in_path(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'%' | b'?' | b'#')
}

/// What stands for one octet of a name.
#[derive(Clone, Copy)]
enum Octet {
    /// One that stands for itself.
    Plain(u8),
    /// One that is written percent-encoded.
    Encoded(u8),
}

impl Octet {
    /// The first of `rest`, which is shortened; undoes the encoding of what is `plain`.
    fn next(rest: &mut &[u8], plain: fn(u8) -> bool) -> Option<Self> {
        let (octet, len) = match **rest {
            [] => return None,
            [b'%', high, low, ..] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => match high << 4 | low {
                    byte if plain(byte) => (Self::Plain(byte), 3),
                    byte => (Self::Encoded(byte), 3),
                },
                // A percent sign that encodes nothing stands for itself.
                _ => (Self::Encoded(b'%'), 1),
            },
            [b'%', ..] => (Self::Encoded(b'%'), 1),
            [byte @ b' '..=b'~', ..] => (Self::Plain(byte), 1),
            [byte, ..] => (Self::Encoded(byte), 1),
        };
        *rest = &rest[len..];
        Some(octet)
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(byte) => out.push(byte),
            Self::Encoded(byte) => out.extend(encoded(byte)),
        }
    }
}

/// `%XX`
pub(super) const fn encoded(byte: u8) -> [u8; 3] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [
        b'%',
        DIGITS[(byte >> 4) as usize],
        DIGITS[(byte & 15) as usize],
    ]
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(target: impl AsRef<[u8]>) -> String {
        let mut out = b"before".to_vec();
        normal_path(target.as_ref(), &mut out);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    fn host(host: &str) -> String {
        let mut out = b"before.".to_vec();
        normal_host(host, &mut out);
        String::from_utf8(out.split_off(7)).unwrap()
    }

    #[test]
    fn paths_of_all_forms() {
        assert_eq!(path("/a/b?c=/d"), "/a/b");
        assert_eq!(path("/a#b"), "/a");
        assert_eq!(path("http://a.example:80/b?c"), "/b");
        assert_eq!(path("http://a.example"), "/");
        assert_eq!(path("http://a.example?x=://y/z"), "/");
        assert_eq!(path("/x?u=http://a/b"), "/x");
        assert_eq!(path("*"), "*");
        assert_eq!(path("a.example:443"), "");
        assert_eq!(path(""), "");
    }

    #[test]
    fn spellings_of_one_path() {
        for target in [
            "/admin",
            "/%61dmin",
            "/%61%64%6D%69%6e",
            "//admin",
            "/a/../admin",
            "/./admin",
            "/a/%2e%2E/admin",
            "/../admin",
            "/%2fadmin",
            "/a%2f..%2fadmin",
            "/a\\..\\admin",
            "/a%5c..%5Cadmin",
            "/a//../admin",
            "///./..//admin",
            "/%2e/admin",
            "http://h/a/../admin",
            "http://h//admin?x",
            "/a/b/../../admin",
            "/admin#",
        ] {
            assert_eq!(path(target), "/admin", "{target}");
        }
        assert_eq!(path("/admin/"), "/admin/");
        assert_eq!(path("/admin/."), "/admin/");
        assert_eq!(path("/admin/.."), "/");
        assert_eq!(path("/.."), "/");
        assert_eq!(path("/admin/..."), "/admin/...");
        assert_eq!(path("/.git"), "/.git");
    }

    #[test]
    fn what_stays_encoded() {
        assert_eq!(
            path("/%3f%23%25%00%0a%7f%c3%a9"),
            "/%3F%23%25%00%0A%7F%C3%A9"
        );
        assert_eq!(path(b"/\xc3\xa9"), "/%C3%A9");
        // Decoded once only.
        assert_eq!(path("/%2561dmin"), "/%2561dmin");
        assert_eq!(path("/100%"), "/100%25");
        assert_eq!(path("/%zz%4"), "/%25zz%254");
        assert_eq!(path("/a%20b"), "/a b");
    }

    #[test]
    fn hosts() {
        assert_eq!(host("A.Example"), "a.example");
        assert_eq!(host("a.example.:8080"), "a.example");
        assert_eq!(host("a.example%2E"), "a.example");
        assert_eq!(host("%41.example"), "a.example");
        assert_eq!(host("a%3A80"), "a%3a80");
        assert_eq!(host("[2001:DB8::0:1]:80"), "[2001:db8::1]");
        assert_eq!(host("[V1.x:Y]"), "[v1.x:y]");
        assert_eq!(host("192.0.2.1:80"), "192.0.2.1");
        assert_eq!(host(""), "");
        assert_eq!(host("."), "");
        assert_eq!(host(":80"), "");
    }

    /// Targets with much of what is treated specially.
    fn targets() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"/".to_vec()),
            Just(b".".to_vec()),
            Just(b"%2e".to_vec()),
            Just(b"%2F".to_vec()),
            Just(b"\\".to_vec()),
            Just(b"%".to_vec()),
            Just(b"a".to_vec()),
            Just(b"%25".to_vec()),
            Just(b"2e".to_vec()),
            any::<u8>().prop_map(|byte| vec![byte]),
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_normal_path_is_its_own(target in targets()) {
            let mut target = target;
            target.insert(0, b'/');
            let once = path(&target);
            prop_assert_eq!(path(&once), once.clone());
            prop_assert!(once.starts_with('/'));
            prop_assert!(!once.contains("//") && !once.contains("/../") && !once.contains("/./"));
            prop_assert!(!once.ends_with("/..") && !once.ends_with("/."));
            prop_assert!(once.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }

        #[test]
        fn a_normal_host_is_its_own(name in "[\\[\\]:.%0-9a-fA-F-]{0,20}") {
            let once = host(&name);
            prop_assert_eq!(host(&once), once.clone());
        }
    }
}
