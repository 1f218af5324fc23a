//! The request line and the authority in it (RFC 9112 §3).

use crate::{
    http::{
        authority::Authority,
        refusal::Refusal,
        start::MAX_METHOD,
        syntax::{Span, is_token},
    },
    reason::Reason,
};

/// The methods that change how messages are framed; all others are the origin's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodKind {
    /// HEAD: the response has no body, whatever its fields say.
    Head,
    /// CONNECT: a 2xx makes a tunnel of the connection.
    Connect,
    /// Any other.
    Other,
}

/// A request line, by offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine {
    pub(super) method: Span,
    pub(super) kind: MethodKind,
    pub(super) target: Span,
    /// `HTTP/1.x`
    pub(super) version: Span,
    /// As it came, 0 to 9.
    pub(super) minor: u8,
    /// In a target of absolute or authority form.
    pub(super) authority: Option<Span>,
}

impl RequestLine {
    /// Parses a line without its CRLF that was scanned for control octets.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Refusal> {
        let bad = Refusal::bad_request;
        let first = line.iter().position(|&byte| byte == b' ');
        let last = line.iter().rposition(|&byte| byte == b' ');
        let (Some(first), Some(last)) = (first, last) else {
            return Err(bad("request line without space"));
        };
        if first == last {
            return Err(bad("request line without version"));
        }
        let method = Span::new(0, first);
        let target = Span::new(first + 1, last);
        let version = Span::new(last + 1, line.len());
        let kind = method_kind(method.of(line))?;
        let minor = match minor_version(version.of(line)) {
            Some((1, minor)) => minor,
            Some(_) => {
                let detail = "major version is not 1";
                return Err(Refusal {
                    status: 505,
                    reason: Reason::UnknownVersion,
                    detail,
                });
            }
            None => return Err(bad("malformed version")),
        };
        let authority = target_authority(kind, target, line)?;
        Ok(Self {
            method,
            kind,
            target,
            version,
            minor,
            authority,
        })
    }
}

/// `HTTP/` DIGIT `.` DIGIT (RFC 9112 §2.3): major and minor version.
pub(super) fn minor_version(version: &[u8]) -> Option<(u8, u8)> {
    match version {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            major @ b'0'..=b'9',
            b'.',
            minor @ b'0'..=b'9',
        ] => Some((major - b'0', minor - b'0')),
        _ => None,
    }
}

/// Do the target's authority and `Host` name the same (RFC 9112 §3.2.2, §3.2.3)?
///
/// A reader may route by either, so that they must not differ by more than letter case and a
/// port that goes without saying.
pub(super) fn same_authority(
    line: &RequestLine,
    authority: &[u8],
    host: &[u8],
    buf: &[u8],
) -> bool {
    let (Some(left), Some(right)) = (Authority::parse(authority), Authority::parse(host)) else {
        return false;
    };
    let target = line.target.of(buf);
    let begins = |scheme: &[u8]| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let default = match line.kind {
        // The port is there for the tunnel; some clients leave it out of Host.
        MethodKind::Connect => left.port,
        _ if begins(b"http:") => Some(80),
        _ if begins(b"https:") => Some(443),
        _ => None,
    };
    left.host.eq_ignore_ascii_case(right.host) && left.port.or(default) == right.port.or(default)
}

fn method_kind(method: &[u8]) -> Result<MethodKind, Refusal> {
    let bad = Refusal::bad_request;
    match method {
        b"HEAD" => Ok(MethodKind::Head),
        b"CONNECT" => Ok(MethodKind::Connect),
        // Methods are case-sensitive (RFC 9110 §9.1), but not every origin knows; whether the
        // response has a body must not depend on that.
        _ if method.eq_ignore_ascii_case(b"HEAD") || method.eq_ignore_ascii_case(b"CONNECT") => {
            Err(bad("method differs from HEAD or CONNECT by case only"))
        }
        _ if !is_token(method) => Err(bad("method is not a token")),
        _ if method.len() > MAX_METHOD => Err(bad("method too long")),
        _ => Ok(MethodKind::Other),
    }
}

/// Checks that the target has one of the four forms of RFC 9112 §3.2.
fn target_authority(kind: MethodKind, target: Span, line: &[u8]) -> Result<Option<Span>, Refusal> {
    let bad = Refusal::bad_request;
    let bytes = target.of(line);
    if bytes.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
        return Err(bad("whitespace in target"));
    }
    if kind == MethodKind::Connect {
        return match Authority::parse(bytes) {
            Some(Authority { port: Some(_), .. }) => Ok(Some(target)),
            _ => Err(bad("CONNECT target is not host:port")),
        };
    }
    if bytes.starts_with(b"/") || bytes == b"*" {
        return Ok(None);
    }
    let scheme = bytes.iter().position(|&byte| byte == b':').unwrap_or(0);
    let is_scheme = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes[..scheme]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let Some(rest) = bytes[scheme..].strip_prefix(b"://").filter(|_| is_scheme) else {
        return Err(bad("target has no form of RFC 9112 section 3.2"));
    };
    let len = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    // Userinfo fails here too: RFC 9110 §4.2.4 wants it to be treated as an error.
    if Authority::parse(&rest[..len]).is_none() {
        return Err(bad("malformed authority in target"));
    }
    let start = target.start + scheme + 3;
    Ok(Some(Span::new(start, start + len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        let line = b"GET http://a.example:80/x?y HTTP/1.1";
        let parsed = RequestLine::parse(line).unwrap();
        assert_eq!(parsed.method.of(line), b"GET");
        assert_eq!(parsed.target.of(line), b"http://a.example:80/x?y");
        assert_eq!(parsed.version.of(line), b"HTTP/1.1");
        assert_eq!(parsed.authority.unwrap().of(line), b"a.example:80");
        assert_eq!((parsed.kind, parsed.minor), (MethodKind::Other, 1));
        let obs = b"GET /\xff\xc3 HTTP/1.0";
        assert_eq!(
            RequestLine::parse(obs).unwrap().target.of(obs),
            b"/\xff\xc3"
        );
    }

    #[test]
    fn refused_request_lines() {
        let cases = [
            ("GET", 400),
            ("GET /", 400),
            ("GET /\t HTTP/1.1", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET /  HTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
            (" GET / HTTP/1.1", 400),
            ("GET\t/ HTTP/1.1", 400),
            ("GET / x HTTP/1.1", 400),
            ("GET / http/1.1", 400),
            ("GET / HTTP/1.10", 400),
            ("GET / HTTP/1", 400),
            ("GET / HTTP/+1.1", 400),
            ("GET x HTTP/1.1", 400),
            ("GET : HTTP/1.1", 400),
            ("GET 1a://b/ HTTP/1.1", 400),
            ("GET http:/a HTTP/1.1", 400),
            ("GET http:///a HTTP/1.1", 400),
            ("GET http://u@a/ HTTP/1.1", 400),
            ("G(T / HTTP/1.1", 400),
            ("head / HTTP/1.1", 400),
            ("Connect a:1 HTTP/1.1", 400),
            ("CONNECT / HTTP/1.1", 400),
            ("CONNECT a HTTP/1.1", 400),
            ("CONNECT http://a:1/ HTTP/1.1", 400),
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/0.9", 505),
        ];
        for (line, status) in cases {
            let refusal = RequestLine::parse(line.as_bytes()).unwrap_err();
            assert_eq!(refusal.status, status, "{line:?}");
        }
    }

    #[test]
    fn authority_and_host() {
        let same = |line: &str, host: &str| {
            let bytes = line.as_bytes();
            let line = RequestLine::parse(bytes).unwrap();
            same_authority(
                &line,
                line.authority.unwrap().of(bytes),
                host.as_bytes(),
                bytes,
            )
        };
        assert!(same("GET http://a/ HTTP/1.1", "A"));
        assert!(same("GET http://a:80/ HTTP/1.1", "a"));
        assert!(same("GET HTTP://a HTTP/1.1", "a:80"));
        assert!(same("GET https://a?b HTTP/1.1", "a:443"));
        assert!(same("CONNECT a:443 HTTP/1.1", "a:443"));
        assert!(same("CONNECT a:443 HTTP/1.1", "a"));
        assert!(!same("GET http://a/ HTTP/1.1", "b"));
        assert!(!same("GET http://a/ HTTP/1.1", ""));
        assert!(!same("GET http://a/ HTTP/1.1", "a:81"));
        assert!(!same("GET ftp://a:80/ HTTP/1.1", "a"));
        assert!(!same("CONNECT a:443 HTTP/1.1", "a:80"));
    }
}
