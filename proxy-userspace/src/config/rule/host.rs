//! Conditions on the host that a request names.

use std::net::{IpAddr, Ipv6Addr};

use super::{Pattern, normal_host};

/// Hosts that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This one, in [normal form](super::normal_host).
    Exact(String),
    /// This domain and all below it, in normal form, without a dot in front.
    Below(String),
    /// Those whose normal form matches.
    Regex(Pattern),
}

/// Octets of a name, without trailing dot (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

impl HostPattern {
    /// Reads `a.example`, `.example`, `~regex` or an address.
    ///
    /// # Errors
    ///
    /// What is wrong, and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(regex) = text.strip_prefix('~') {
            return Pattern::parse(regex, true).map(Self::Regex);
        }
        let inner = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = inner.unwrap_or(text).parse::<Ipv6Addr>() {
            return Ok(Self::Exact(format!("[{address}]")));
        }
        if let Some(below) = text.strip_prefix("*.") {
            return Err(format!(
                "\"{text}\" is no host; write \".{below}\" for the domain and all below it"
            ));
        }
        if let Some(domain) = text.strip_prefix('.') {
            if domain.parse::<IpAddr>().is_ok() {
                return Err(format!("nothing is below an address; write \"{domain}\""));
            }
            return name(domain)
                .map(Self::Below)
                .map_err(|mistake| format!("\"{text}\" is no domain: {mistake}"));
        }
        name(text)
            .map(Self::Exact)
            .map_err(|mistake| format!("\"{text}\" is no host: {mistake}"))
    }
}

/// The normal form of a name.
fn name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if !text.is_ascii() {
        return Err("it is not ASCII; write it as browsers send it, with xn--");
    }
    if text.contains('/') {
        return Err(
            "it has a slash; a scheme is not part of it, and paths and prefixes are \
                    conditions of their own",
        );
    }
    if text.contains(':') {
        return Err("it has a colon; a port is a condition of its own");
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    for label in name.split('.') {
        if label.is_empty() {
            return Err("it has an empty label");
        }
        if label.len() > MAX_LABEL {
            return Err("a label of it is longer than 63 characters");
        }
        if !label.bytes().all(is_name_byte) {
            return Err("names have letters, digits, hyphens and dots; a regex begins with ~");
        }
    }
    if name.len() > MAX_NAME {
        return Err("it is longer than 253 characters");
    }
    let mut normal = Vec::with_capacity(name.len());
    normal_host(name, &mut normal);
    String::from_utf8(normal).map_err(|_| "it is not ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_told_apart() {
        let exact = |text: &str| HostPattern::Exact(text.to_owned());
        let parse = |text| HostPattern::parse(text).unwrap();
        assert_eq!(parse("A.Example."), exact("a.example"));
        assert_eq!(parse("localhost"), exact("localhost"));
        assert_eq!(parse("192.0.2.1"), exact("192.0.2.1"));
        assert_eq!(parse("2001:DB8::0:1"), exact("[2001:db8::1]"));
        assert_eq!(parse("[2001:db8::1]"), exact("[2001:db8::1]"));
        assert_eq!(parse(".Example."), HostPattern::Below("example".to_owned()));
        assert!(matches!(parse("~^AD"), HostPattern::Regex(regex) if regex.as_str() == "^AD"));
    }

    #[test]
    fn what_is_no_host() {
        for (text, hint) in [
            ("", "it is empty"),
            (".", "it is empty"),
            ("*.example", "write \".example\""),
            ("a.example:80", "port is a condition of its own"),
            ("http://a.example", "slash"),
            ("10.0.0.0/8", "prefixes are conditions"),
            ("a..example", "empty label"),
            ("a b", "letters, digits"),
            ("a.*", "a regex begins with ~"),
            ("bücher.example", "xn--"),
            (".192.0.2.1", "write \"192.0.2.1\""),
            ("~(", "is no regex"),
        ] {
            let said = HostPattern::parse(text).unwrap_err();
            assert!(said.contains(hint), "{text}: {said}");
        }
        let long = "a".repeat(64);
        assert!(HostPattern::parse(&long).unwrap_err().contains("63"));
        let many = "a.".repeat(127) + "a";
        assert!(HostPattern::parse(&many).unwrap_err().contains("253"));
    }
}
