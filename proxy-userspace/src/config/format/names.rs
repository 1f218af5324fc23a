//! Words, names and paths.

use std::path::{Path, PathBuf};

use tracing_subscriber::EnvFilter;

use super::{Fault, Value, fault, list, mistyped, quote, quoted_list, string};
use crate::config::settings::{AccessTarget, Families};

/// Names of network interfaces, and patterns of them.
pub(in crate::config) mod interfaces {
    use super::*;

    const EXPECTED: &str = "a list of interface names, such as [\"eth1\"]";

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<Vec<String>, Fault> {
        let elements = list(value, EXPECTED)?;
        let names: Result<Vec<_>, _> = elements
            .iter()
            .map(|element| string(element, "an interface name"))
            .collect();
        check(names?.into_iter()).map_err(|(index, message)| {
            Fault::new(elements.get(index).unwrap_or(value).span(), message)
        })
    }

    /// The names as they are, or the position and mistake of the first that is wrong.
    pub(in crate::config) fn check<'a>(
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<String>, (usize, String)> {
        let mut checked: Vec<String> = Vec::new();
        for (index, name) in names.enumerate() {
            if let Some(mistake) = mistake(name) {
                return Err((
                    index,
                    format!("{} is no interface name: {mistake}", quote(name)),
                ));
            }
            if checked.iter().any(|earlier| earlier == name) {
                return Err((index, format!("interface \"{name}\" is listed twice")));
            }
            checked.push(name.to_owned());
        }
        Ok(checked)
    }

    /// The kernel's own rules (`dev_valid_name`). Stars can stand for nothing.
    fn mistake(name: &str) -> Option<&'static str> {
        let least = name.len() - name.matches('*').count();
        let forbidden = |c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace();
        match name {
            "" => Some("it is empty"),
            "." | ".." => Some("it names a directory"),
            _ if least > 15 => Some("it is longer than 15 bytes"),
            _ if name.contains(forbidden) => Some("it has a slash, a colon or white space in it"),
            _ => None,
        }
    }

    pub(in crate::config) fn show(names: &[String]) -> String {
        quoted_list(names.iter().map(String::as_str))
    }
}

/// `["ipv4", "ipv6"]`
pub(in crate::config) mod families {
    use super::*;

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<Families, Fault> {
        let mut families = Families {
            ipv4: false,
            ipv6: false,
        };
        for element in list(value, "a list of \"ipv4\" and \"ipv6\"")? {
            let family = match string(element, "\"ipv4\" or \"ipv6\"")? {
                "ipv4" => &mut families.ipv4,
                "ipv6" => &mut families.ipv6,
                other => {
                    let message = format!("expected \"ipv4\" or \"ipv6\", found {}", quote(other));
                    return Err(fault(element, message));
                }
            };
            if std::mem::replace(family, true) {
                return Err(fault(element, "this address family is listed twice"));
            }
        }
        if families
            == (Families {
                ipv4: false,
                ipv6: false,
            })
        {
            return Err(fault(
                value,
                "expected at least one of \"ipv4\" and \"ipv6\"",
            ));
        }
        Ok(families)
    }

    pub(in crate::config) fn show(families: &Families) -> String {
        let words = [("ipv4", families.ipv4), ("ipv6", families.ipv6)];
        quoted_list(
            words
                .into_iter()
                .filter(|(_, on)| *on)
                .map(|(word, _)| word),
        )
    }
}

/// `true` or `false`
pub(in crate::config) mod boolean {
    use super::*;

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<bool, Fault> {
        value
            .get_ref()
            .as_bool()
            .ok_or_else(|| mistyped(value, "true or false"))
    }

    pub(in crate::config) fn show(boolean: &bool) -> String {
        boolean.to_string()
    }
}

/// Where the access log goes.
pub(in crate::config) mod access {
    use super::*;

    const EXPECTED: &str = "\"off\", \"stdout\", \"journald\" or the absolute path of a file";

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<AccessTarget, Fault> {
        match string(value, EXPECTED)? {
            "off" => Ok(AccessTarget::Off),
            "stdout" => Ok(AccessTarget::Stdout),
            "journald" => Ok(AccessTarget::Journald),
            path if is_file(path) => Ok(AccessTarget::File(path.into())),
            other => Err(fault(
                value,
                format!("expected {EXPECTED}, found {}", quote(other)),
            )),
        }
    }

    pub(in crate::config) fn show(target: &AccessTarget) -> String {
        match target {
            AccessTarget::Off => quote("off"),
            AccessTarget::Stdout => quote("stdout"),
            AccessTarget::Journald => quote("journald"),
            AccessTarget::File(path) => quote(&path.to_string_lossy()),
        }
    }
}

/// A filter of messages.
pub(in crate::config) mod level {
    use super::*;

    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<String, Fault> {
        let text = string(value, "a level such as \"info\", or a list of filters")?;
        // A lone word that is no level is a target to `tracing`, and everything else falls
        // silent: not what a mistyped "inof" means.
        let lone_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if lone_word && !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text)) {
            let levels = LEVELS.join(", ");
            return Err(fault(
                value,
                format!("{} is no level; there are: {levels}", quote(text)),
            ));
        }
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(fault(
                value,
                format!("{} is no filter: {error}", quote(text)),
            )),
        }
    }

    pub(in crate::config) fn show(level: &str) -> String {
        quote(level)
    }
}

/// An absolute path, or none.
pub(in crate::config) mod file {
    use super::*;

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<Option<PathBuf>, Fault> {
        match string(value, "the absolute path of a file")? {
            "" => Ok(None),
            path if is_file(path) => Ok(Some(path.into())),
            other => {
                let message = format!(
                    "expected the absolute path of a file, found {}",
                    quote(other)
                );
                Err(fault(value, message))
            }
        }
    }

    pub(in crate::config) fn show(file: &Option<PathBuf>) -> String {
        quote(&file.as_deref().unwrap_or(Path::new("")).to_string_lossy())
    }
}

/// Whether `path` can be a file's: absolute, not ending like a directory's, sayable to the kernel.
pub(super) fn is_file(path: &str) -> bool {
    path.starts_with('/') && !path.ends_with('/') && !path.contains('\0')
}
