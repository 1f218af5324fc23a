//! A request's head, read by rules of the origin's own, so that it does not share the errors of
//! the codec that it is there to test.

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    /// Its octets as they came, with the empty line.
    pub(super) raw: Vec<u8>,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: String,
    /// Names as they came; values without the white space around them.
    pub(super) fields: Vec<(String, String)>,
    pub(super) framing: Framing,
}

/// How a request's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

impl Head {
    pub(super) fn parse(raw: Vec<u8>) -> Result<Self, &'static str> {
        let text = String::from_utf8_lossy(&raw);
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let line: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, version] = line[..] else {
            return Err("request-line");
        };
        let (method, target, version) = (method.to_owned(), target.to_owned(), version.to_owned());
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or("field-without-colon")?;
            if name.is_empty() || !name.bytes().all(is_token_octet) {
                return Err("field-name");
            }
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
        drop(text);
        let mut head = Self {
            raw,
            method,
            target,
            version,
            fields,
            framing: Framing::Length(0),
        };
        head.framing = head.framing()?;
        Ok(head)
    }

    /// The value of the first field of that name.
    pub(super) fn field<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// Whether the sender closes after this exchange.
    pub(super) fn closes(&self) -> bool {
        let says = |word: &str| {
            self.values("connection")
                .flat_map(|value| value.split(','))
                .any(|option| option.trim().eq_ignore_ascii_case(word))
        };
        says("close") || (self.version == "HTTP/1.0" && !says("keep-alive"))
    }

    /// Whether the sender waits for `100 Continue`.
    pub(super) fn expects_continue(&self) -> bool {
        self.field("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// Whether a body that is not empty follows.
    pub(super) fn has_body(&self) -> bool {
        self.framing != Framing::Length(0)
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// RFC 9112 §6.3, at its strictest: whatever two readers could see differently is refused.
    fn framing(&self) -> Result<Framing, &'static str> {
        let codings: Vec<&str> = self.values("transfer-encoding").collect();
        let lengths: Vec<&str> = self.values("content-length").collect();
        match (&codings[..], &lengths[..]) {
            ([], []) => Ok(Framing::Length(0)),
            ([], [length]) if length.bytes().all(|octet| octet.is_ascii_digit()) => length
                .parse()
                .map(Framing::Length)
                .map_err(|_| "content-length"),
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            _ => Err("ambiguous-framing"),
        }
    }
}

/// Whether a line looks like a request line, of whatever HTTP.
pub(super) fn is_request_line(line: &[u8]) -> bool {
    let mut words = line.split(|octet| *octet == b' ');
    words
        .next()
        .is_some_and(|word| word.iter().all(|octet| is_token_octet(*octet)))
        && words.any(|word| word.starts_with(b"HTTP/"))
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Head, &'static str> {
        Head::parse(head.as_bytes().to_vec())
    }

    #[test]
    fn a_head_and_its_fields() {
        let head = parse("GET /x HTTP/1.1\r\nHost: a\r\nX-Odd:\t b \r\n\r\n").unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/x"));
        assert_eq!(head.field("x-odd"), Some("b"));
        assert!(!head.has_body() && !head.closes());
    }

    #[test]
    fn framing_is_clear_or_refused() {
        let with = |fields: &str| parse(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n"));
        assert_eq!(
            with("Content-Length: 7").unwrap().framing,
            Framing::Length(7)
        );
        assert_eq!(
            with("Transfer-Encoding: chunked").unwrap().framing,
            Framing::Chunked
        );
        for ambiguous in [
            "Content-Length: 7\r\nTransfer-Encoding: chunked",
            "Content-Length: 7\r\nContent-Length: 7",
            "Content-Length: +7",
            "Transfer-Encoding: gzip, chunked",
        ] {
            assert!(with(ambiguous).is_err(), "{ambiguous}");
        }
        assert!(with("Transfer-Encoding : chunked").is_err());
    }

    #[test]
    fn what_is_a_request_line() {
        assert!(is_request_line(b"GET / HTTP/1.1"));
        assert!(!is_request_line(b"SSH-2.0-OpenSSH_9.2"));
        assert!(!is_request_line(b"EHLO me"));
    }
}
