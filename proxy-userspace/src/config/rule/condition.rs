//! How the conditions of a rule are written: one value, or a list of which any does.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::{Day, Days, Fault, HostPattern, PathPattern, Period, edits::is_token};
use crate::config::{
    document::Value,
    format::{fault, quote, string, within},
    nearest::nearest,
};

pub(super) fn prefixes(value: &Value<'_>) -> Result<Vec<IpNet>, Fault> {
    any_of(value, |value| {
        let text = string(value, "an address or a prefix, such as \"10.0.0.0/8\"")?;
        prefix(text).map_err(|message| fault(value, message))
    })
}

pub(super) fn ports(value: &Value<'_>) -> Result<Vec<u16>, Fault> {
    any_of(value, |value| within(value, &(1..=u16::MAX)))
}

pub(super) fn hosts(value: &Value<'_>) -> Result<Vec<HostPattern>, Fault> {
    any_of(value, |value| {
        let text = string(
            value,
            "a host, such as \"a.example\", \".example\" or \"~^ad[0-9]\"",
        )?;
        HostPattern::parse(text).map_err(|message| fault(value, message))
    })
}

pub(super) fn methods(value: &Value<'_>) -> Result<Vec<String>, Fault> {
    any_of(value, |value| {
        let text = string(value, "a method, such as \"GET\"")?;
        if !is_token(text) {
            return Err(fault(value, format!("{} is no method", quote(text))));
        }
        Ok(text.to_ascii_uppercase())
    })
}

pub(super) fn paths(value: &Value<'_>) -> Result<Vec<PathPattern>, Fault> {
    any_of(value, |value| {
        let text = string(value, "a path, such as \"/admin\" or \"~\\\\.exe$\"")?;
        PathPattern::parse(text).map_err(|message| fault(value, message))
    })
}

pub(super) fn periods(value: &Value<'_>) -> Result<Vec<Period>, Fault> {
    any_of(value, |value| {
        let text = string(value, "a part of the day, such as \"08:00-17:30\"")?;
        Period::parse(text).map_err(|message| fault(value, message))
    })
}

pub(super) fn days(value: &Value<'_>) -> Result<Days, Fault> {
    let days = any_of(value, |value| {
        let text = string(value, "a day, such as \"mon\"")?;
        let named = Day::ALL.into_iter().find(|day| day.word() == text);
        named.ok_or_else(|| fault(value, unknown_day(text)))
    })?;
    Ok(days.into_iter().collect())
}

/// The address or prefix that `text` is, without host bits and of a family that packets have.
pub(super) fn prefix(text: &str) -> Result<IpNet, String> {
    let prefix = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| {
            format!(
                "{} is neither an address nor a prefix; write e.g. 192.0.2.7 or 2001:db8::/32",
                quote(text)
            )
        })?;
    if let IpNet::V6(v6) = prefix
        && let Some(length) = v6.prefix_len().checked_sub(96)
        && let Some(v4) = Ipv6Addr::to_ipv4_mapped(&v6.addr())
        && let Ok(right) = IpNet::new(v4.into(), length)
    {
        return Err(format!("{prefix} is never seen on the wire; write {right}"));
    }
    match prefix.trunc() {
        right if right == prefix => Ok(prefix),
        right => Err(format!(
            "prefix {prefix} has host bits set; write {right}, or {} for the address",
            prefix.addr()
        )),
    }
}

/// One value or a list of at least one, each as `read` reads it.
fn any_of<'v, 'i, T>(
    value: &'v Value<'i>,
    read: impl Fn(&'v Value<'i>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let Some(elements) = value.get_ref().as_array() else {
        return read(value).map(|only| vec![only]);
    };
    if elements.is_empty() {
        return Err(fault(
            value,
            "none of nothing can hold; leave the key out where it does not matter",
        ));
    }
    elements.iter().map(read).collect()
}

fn unknown_day(text: &str) -> String {
    let words = Day::ALL.map(Day::word);
    let begun = words
        .into_iter()
        .find(|word| text.len() > word.len() && text.to_ascii_lowercase().starts_with(*word));
    match begun.or_else(|| nearest(&text.to_ascii_lowercase(), words)) {
        Some(word) => format!("unknown day {}; did you mean \"{word}\"?", quote(text)),
        None => format!(
            "unknown day {}; there are: {}",
            quote(text),
            words.join(", ")
        ),
    }
}
