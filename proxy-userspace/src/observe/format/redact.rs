//! URLs without what is nobody's business: queries, fragments, and the users that they name.

use std::borrow::Cow;

/// A URL without query, fragment and user.
///
/// The `?` stays, as Squid's `strip_query_terms` leaves it: there was a query. Where the URL is
/// malformed, nobody knows where its parts end, and more is left out rather than less: a space
/// ends neither a query nor a user.
pub(super) fn url(text: &[u8]) -> Cow<'_, [u8]> {
    let end = text.iter().position(|byte| matches!(byte, b'?' | b'#'));
    let kept = &text[..end.map_or(text.len(), |at| at + 1)];
    if kept.contains(&b'@') {
        Cow::Owned(without_users(kept))
    } else {
        Cow::Borrowed(kept)
    }
}

/// The first line of a request that could not be read, its target as by [`url`].
pub(super) fn request_line(line: &[u8]) -> Cow<'_, [u8]> {
    let (line, version) = line.split_at(version_start(line));
    let (method, target) = line.split_at(target_start(line));
    match url(target) {
        Cow::Borrowed(whole) if whole.len() == target.len() && version.is_empty() => {
            Cow::Borrowed(line)
        }
        url => Cow::Owned([method, &url, version].concat()),
    }
}

/// Behind the method; 0 if there is none, as a part of a URL must not be taken for it.
fn target_start(line: &[u8]) -> usize {
    let end = line.iter().position(|byte| !byte.is_ascii_alphanumeric());
    match end {
        Some(at) if line[at] == b' ' => at + 1,
        _ => 0,
    }
}

/// Where ` HTTP/1.1` begins, which has no secret in it.
fn version_start(line: &[u8]) -> usize {
    let at = line.len().saturating_sub(b" HTTP/1.1".len());
    match &line[at..] {
        [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            at
        }
        _ => line.len(),
    }
}

/// Without what stands before the `@` of each authority (RFC 3986 §3.2). There may be several:
/// some URLs have another one in their path.
fn without_users(text: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(text.len());
    let mut rest = text;
    if let Some(start) = leading_authority(text) {
        left.extend_from_slice(&text[..start]);
        rest = behind_user(&text[start..]);
    }
    while let Some(at) = rest.windows(3).position(|part| part == b"://") {
        left.extend_from_slice(&rest[..at + 3]);
        rest = behind_user(&rest[at + 3..]);
    }
    left.extend_from_slice(rest);
    left
}

/// Where an authority begins that no scheme stands before, as in `//host/` and CONNECT's target.
fn leading_authority(text: &[u8]) -> Option<usize> {
    let slash = text.iter().position(|&byte| byte == b'/');
    match slash {
        Some(0) => text.starts_with(b"//").then_some(2),
        Some(at) if text[at - 1..].starts_with(b"://") => None,
        _ => Some(0),
    }
}

/// `rest`, which begins with an authority, from its host on.
fn behind_user(rest: &[u8]) -> &[u8] {
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let user_end = rest[..end].iter().rposition(|&byte| byte == b'@');
    &rest[user_end.map_or(0, |at| at + 1)..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_fragments_and_users_are_left_out() {
        for (text, left) in [
            ("", ""),
            ("*", "*"),
            ("/a", "/a"),
            ("/a?", "/a?"),
            ("/a?b=c", "/a?"),
            ("/a?b=c?d", "/a?"),
            ("/a#token", "/a#"),
            ("/a?b=c d=e", "/a?"),
            ("/@user/a", "/@user/a"),
            ("http://a.example/x", "http://a.example/x"),
            ("http://user:secret@a.example/x?y", "http://a.example/x?"),
            ("http://user:a@b@a.example/x", "http://a.example/x"),
            ("http://user:sec ret@a.example/x", "http://a.example/x"),
            ("http://a.example?y@z", "http://a.example?"),
            ("http://a.example/@x", "http://a.example/@x"),
            ("/http://user:secret@a.example/x", "/http://a.example/x"),
            ("http://u:s@a/http://u:s@b/", "http://a/http://b/"),
            ("//user:secret@a.example/x", "//a.example/x"),
            ("user:secret@a.example:443", "a.example:443"),
            ("user:secret@a.example/x", "a.example/x"),
        ] {
            let url = url(text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&url), left, "{text}");
        }
    }

    #[test]
    fn request_lines_keep_their_method_and_version() {
        for (text, left) in [
            ("", ""),
            ("GET / HTTP/1.1", "GET / HTTP/1.1"),
            ("GET /a?secret=1 HTTP/1.1", "GET /a? HTTP/1.1"),
            // What browsers would have escaped; the password is part of the query.
            ("GET /a?user=b password=c HTTP/1.1", "GET /a? HTTP/1.1"),
            ("GET /a?b c", "GET /a?"),
            ("GET /a?b HTTP/1.12", "GET /a?"),
            ("GET /a?b HTTP/1.x", "GET /a?"),
            ("GET http://u:s@a/ HTTP/1.1", "GET http://a/ HTTP/1.1"),
            ("GET http://u:s t@a/ HTTP/1.1", "GET http://a/ HTTP/1.1"),
            ("CONNECT u:s@a:443 HTTP/1.1", "CONNECT a:443 HTTP/1.1"),
            ("/a?b", "/a?"),
            ("a?b c", "a?"),
            ("u:s@a c", "a c"),
        ] {
            let line = request_line(text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&line), left, "{text}");
        }
    }

    proptest! {
        /// Whatever stands around it.
        #[test]
        fn nothing_behind_a_query_is_left(before in "[A-Z]{0,4} ?[ -~]{0,20}", after in "[ -~]{0,20}") {
            for redacted in [url, request_line] {
                let text = format!("{before}?SECRET{after}");
                let left = String::from_utf8(redacted(text.as_bytes()).into_owned()).unwrap();
                prop_assert!(before.contains("SECRET") || !left.contains("SECRET"), "{text}: {left}");
            }
        }
    }
}
