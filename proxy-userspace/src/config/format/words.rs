//! One word of a few, and lists of prefixes.

use ipnet::IpNet;

use super::{Fault, Value, fault, list, quote, quoted_list, string};
use crate::config::settings::{
    Damaged, Dscp, Forwarded, HostCheck, LogFormat, LogQuery, Missing, Mode, OnFailure, OnOverload,
    SpoofSource, Ttl, Unknown,
};

/// A setting that is one of a few words.
pub(in crate::config) trait Word: Copy + PartialEq + 'static {
    /// All of them, in the order in which they are named.
    const WORDS: &'static [(&'static str, Self)];
}

impl Word for Forwarded {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("off", Self::Off),
        ("x-forwarded-for", Self::XForwardedFor),
        ("forwarded", Self::Forwarded),
    ];
}

impl Word for Unknown {
    const WORDS: &'static [(&'static str, Self)] =
        &[("tunnel", Self::Tunnel), ("reject", Self::Reject)];
}

impl Word for HostCheck {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("label", Self::Label),
        ("strict", Self::Strict),
        ("off", Self::Off),
    ];
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("json", Self::Json),
        ("squid", Self::Squid),
        ("combined", Self::Combined),
    ];
}

impl Word for LogQuery {
    const WORDS: &'static [(&'static str, Self)] =
        &[("keep", Self::Keep), ("redact", Self::Redact)];
}

impl Word for SpoofSource {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("client", Self::Client),
        ("client-port", Self::ClientPort),
        ("proxy", Self::Proxy),
    ];
}

impl Word for Dscp {
    const WORDS: &'static [(&'static str, Self)] = &[("copy", Self::Copy), ("clear", Self::Clear)];
}

impl Word for Ttl {
    const WORDS: &'static [(&'static str, Self)] = &[("copy", Self::Copy), ("own", Self::Own)];
}

impl Word for Damaged {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("direct", Self::Direct)];
}

impl Word for Mode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("enforce", Self::Enforce), ("shadow", Self::Shadow)];
}

impl Word for OnFailure {
    const WORDS: &'static [(&'static str, Self)] =
        &[("open", Self::Open), ("closed", Self::Closed)];
}

impl Word for OnOverload {
    const WORDS: &'static [(&'static str, Self)] = &[("open", Self::Open), ("queue", Self::Queue)];
}

impl Word for Missing {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("wait", Self::Wait)];
}

/// One of the words of a [`Word`].
pub(in crate::config) mod word {
    use super::*;

    pub(in crate::config) fn read<W: Word>(value: &Value<'_>) -> Result<W, Fault> {
        let expected = expected::<W>();
        let text = string(value, &expected)?;
        let found = W::WORDS.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| fault(value, format!("expected {expected}, found {}", quote(text))))
    }

    pub(in crate::config) fn show<W: Word>(value: &W) -> String {
        let word = W::WORDS.iter().find(|(_, meaning)| meaning == value);
        quote(word.map_or("", |(word, _)| word))
    }

    /// `"a", "b" or "c"`
    fn expected<W: Word>() -> String {
        let words: Vec<_> = W::WORDS.iter().map(|(word, _)| quote(word)).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        }
    }
}

/// Address prefixes of both families.
pub(in crate::config) mod prefixes {
    use super::*;

    const EXPECTED: &str = "a prefix, such as \"10.0.0.0/8\" or \"fd00::/8\"";

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<Vec<IpNet>, Fault> {
        let elements = list(value, "a list of prefixes, such as [\"10.0.0.0/8\"]")?;
        elements.iter().map(read_one).collect()
    }

    fn read_one(value: &Value<'_>) -> Result<IpNet, Fault> {
        let text = string(value, EXPECTED)?;
        let address = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
        let prefix: IpNet =
            text.parse().ok().or_else(address).ok_or_else(|| {
                fault(value, format!("expected {EXPECTED}, found {}", quote(text)))
            })?;
        if prefix != prefix.trunc() {
            let message = format!(
                "{text} has bits set behind its length; write {}",
                prefix.trunc()
            );
            return Err(fault(value, message));
        }
        Ok(prefix)
    }

    pub(in crate::config) fn show(prefixes: &[IpNet]) -> String {
        let texts: Vec<_> = prefixes.iter().map(IpNet::to_string).collect();
        quoted_list(texts.iter().map(String::as_str))
    }
}
