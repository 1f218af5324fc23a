//! How each kind of value is written in the file: a module per kind, each with `read` (which
//! makes the plain type or says what is wrong) and `show` (which makes TOML of it again).

mod lists;
mod names;
mod numbers;
mod sockets;
mod words;

pub(super) use lists::{account, feeds};
pub(super) use names::{access, boolean, families, file, interfaces, level};
pub(super) use numbers::{count, duration, mark, number, port_range, ports, size, table, within};
pub(super) use sockets::endpoint;
pub(super) use words::{prefixes, word};

use toml::de::{DeArray, DeValue};

use super::document::{Fault, Value, kind};

/// A fault for the whole of `value`.
pub(super) fn fault(value: &Value<'_>, message: impl Into<String>) -> Fault {
    Fault::new(value.span(), message)
}

/// A fault for a value of the wrong type; `expected` is a noun with its article.
pub(super) fn mistyped(value: &Value<'_>, expected: &str) -> Fault {
    fault(
        value,
        format!("expected {expected}, found {}", kind(value.get_ref())),
    )
}

pub(super) fn string<'v>(value: &'v Value<'_>, expected: &str) -> Result<&'v str, Fault> {
    value
        .get_ref()
        .as_str()
        .ok_or_else(|| mistyped(value, expected))
}

pub(super) fn list<'v, 'i>(value: &'v Value<'i>, expected: &str) -> Result<&'v DeArray<'i>, Fault> {
    value
        .get_ref()
        .as_array()
        .ok_or_else(|| mistyped(value, expected))
}

fn integer(value: &Value<'_>, expected: &str) -> Result<i128, Fault> {
    let DeValue::Integer(integer) = value.get_ref() else {
        return Err(mistyped(value, expected));
    };
    i128::from_str_radix(integer.as_str(), integer.radix())
        .map_err(|_| fault(value, format!("expected {expected}, found {integer}")))
}

/// A TOML basic string. `Debug` of a `str` will not do: its escapes are Rust's.
pub(super) fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn quoted_list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.map(quote).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;
