//! Entries as lines of text: the inverse of [`super::text`].

use std::fmt::{self, Formatter};

use ipnet::IpNet;

use super::{
    entry::{Action, Attributes, Entry},
    key::Key,
};

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        entry(self.key(), self.attributes(), f)
    }
}

/// Writes `[intercept ]KEY[ until MOMENT][ owner WORD][  # COMMENT]`.
pub(super) fn entry(which: &Key, attributes: &Attributes, out: &mut dyn fmt::Write) -> fmt::Result {
    if attributes.action == Action::Intercept {
        out.write_str("intercept ")?;
    }
    write!(out, "{which}")?;
    if let Some(moment) = attributes.expires() {
        write!(out, " until {moment}")?;
    }
    if let Some(owner) = attributes.owner() {
        out.write_str(" owner ")?;
        word(owner, out)?;
    }
    if let Some(comment) = attributes.comment() {
        write!(out, "  # {comment}")?;
    }
    Ok(())
}

/// Writes `DESTINATION[ src PREFIX][ port NUMBER][ in INTERFACE]`.
pub(super) fn key(key: &Key, f: &mut Formatter<'_>) -> fmt::Result {
    match key.destination() {
        Some(destination) => prefix(destination, f)?,
        None => f.write_str("any")?,
    }
    if let Some(source) = key.source() {
        f.write_str(" src ")?;
        prefix(source, f)?;
    }
    if let Some(port) = key.port() {
        write!(f, " port {port}")?;
    }
    if let Some(interface) = key.interface() {
        f.write_str(" in ")?;
        word(&interface.to_string(), f)?;
    }
    Ok(())
}

/// A whole address without its length, as people write it.
fn prefix(prefix: IpNet, f: &mut Formatter<'_>) -> fmt::Result {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        write!(f, "{}", prefix.addr())
    } else {
        write!(f, "{prefix}")
    }
}

/// A value as it is, or in quotes if it would be read as something else.
fn word(value: &str, out: &mut dyn fmt::Write) -> fmt::Result {
    if !value.starts_with(['#', ';', '"']) && !value.contains(' ') {
        return out.write_str(value);
    }
    out.write_char('"')?;
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            out.write_char('\\')?;
        }
        out.write_char(character)?;
    }
    out.write_char('"')
}
